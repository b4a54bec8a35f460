"""Hours of a week, and what a client is told outside of them.

Plain Python without a word of the component's world: the tests run as they are.
"""

import dataclasses
import datetime
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator

from zones import zone

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

# Lines of `hours`, `closed` and `always-from` together: each is looked at for
# each client.
MOST_LINES = 1_000
# Octets of `words`: a response line has 512 (RFC 2449 section 4), and the day
# and hour are put in.
MOST_WORDS = 300
# The host makes nobody wait longer, in milliseconds.
LONGEST_DELAY = 30_000

_DEFAULT_WORDS = "mail is handed out during office hours, again {opens}"
_MIDNIGHT = 24 * 60


class Problems(Exception):
    """What is wrong with the settings, a line each."""

    def __init__(self, lines: list[str]):
        super().__init__("; ".join(lines))
        self.lines = lines


@dataclasses.dataclass(frozen=True)
class Admit:
    """Let in at once."""


@dataclasses.dataclass(frozen=True)
class Deny:
    """Sent away with these words."""

    words: str


@dataclasses.dataclass(frozen=True)
class Delay:
    """Let in after so many milliseconds."""

    milliseconds: int


@dataclasses.dataclass(frozen=True)
class Span:
    """From a minute of the day up to, and without, another; the other may lie in
    the night behind it."""

    weekday: int
    start: int
    end: int


@dataclasses.dataclass(frozen=True)
class Closed:
    """A day without office hours; without a year, in each."""

    year: int | None
    month: int
    day: int

    def holds(self, date: datetime.date) -> bool:
        return (self.month, self.day) == (date.month, date.day) and self.year in (
            None,
            date.year,
        )


@dataclasses.dataclass
class Office:
    """What the settings ask for."""

    spans: list[Span] = dataclasses.field(default_factory=list)
    closed: list[Closed] = dataclasses.field(default_factory=list)
    zone: datetime.tzinfo = datetime.timezone.utc
    always_from: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = dataclasses.field(
        default_factory=list
    )
    # None: who comes outside of the hours is denied.
    delay: int | None = None
    words: str = _DEFAULT_WORDS

    def answer(self, client: str, now: datetime.datetime) -> Admit | Deny | Delay:
        """What a client hears that comes from this address now."""
        if self.is_always_let_in(client) or self.is_open(now):
            return Admit()
        if self.delay is not None:
            return Delay(self.delay)
        return Deny(self.words.replace("{opens}", self.opens(now)))

    def is_always_let_in(self, client: str) -> bool:
        address = ipaddress.ip_address(client.partition("%")[0])
        # A dual-stack listener may show IPv4 clients so (RFC 4291 section 2.5.5.2).
        if address.version == 6 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.always_from)

    def is_open(self, now: datetime.datetime) -> bool:
        """Whether a moment lies in the hours, by the clock on the wall."""
        now = now.astimezone(self.zone)
        today = now.date()
        minute = now.hour * 60 + now.minute
        # A night belongs to the day on which it begins.
        yesterday = today - datetime.timedelta(days=1)
        return self._covers(today, minute) or self._covers(yesterday, minute + _MIDNIGHT)

    def _covers(self, date: datetime.date, minute: int) -> bool:
        return any(span.start <= minute < span.end for span in self._spans(date))

    def _spans(self, date: datetime.date) -> Iterator[Span]:
        if any(closed.holds(date) for closed in self.closed):
            return
        for span in self.spans:
            if span.weekday == date.weekday():
                yield span

    def opens(self, now: datetime.datetime) -> str:
        """When it opens next: "today from 08:00 (CET)", "on Mon, 5 Jan, from 08:00 (CET)"."""
        now = now.astimezone(self.zone)
        today = now.date()
        # Further ahead than a year nobody waits.
        for ahead in range(367):
            date = today + datetime.timedelta(days=ahead)
            for span in sorted(self._spans(date), key=lambda span: span.start):
                hour, minute = divmod(span.start, 60)
                time = datetime.time(hour, minute)
                moment = datetime.datetime.combine(date, time, tzinfo=self.zone)
                if moment <= now:
                    continue
                if ahead == 0:
                    day = "today"
                else:
                    # strftime's names would follow the locale.
                    month = _MONTHS[date.month - 1]
                    day = f"on {DAYS[date.weekday()]}, {date.day} {month},"
                return f"{day} from {moment:%H:%M} ({moment.tzname()})"
        return "at a time that is not known yet"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def parse(settings: Iterable[tuple[str, str]]) -> Office:
    """The settings as hours. Raises Problems, each of which names its key."""
    office = Office()
    problems: list[str] = []
    settings = dict(settings)
    for key, value in settings.items():
        take = _KEYS.get(key)
        if take is None:
            problems.append(f"{key}: unknown setting; there are {', '.join(_KEYS)}")
            continue
        for problem in take(office, value):
            problems.append(f"{key}: {problem}")
    if "hours" not in settings:
        problems.append('hours: is missing; say when clients are let in: "Mon-Fri 08:00-18:00"')
    lines = len(office.spans) + len(office.closed) + len(office.always_from)
    if lines > MOST_LINES:
        problems.append(f"hours: {lines} hours, days and networks; there may be {MOST_LINES}")
    if "delay" in settings and settings.get("outside") != "delay":
        problems.append('delay: needs outside = "delay" beside it')
    if "words" in settings and settings.get("outside") == "delay":
        problems.append('words: nobody hears them with outside = "delay"')
    if problems:
        raise Problems(problems)
    return office


def _each(value: str, read: Callable[[str], Iterable], into: list) -> Iterator[str]:
    """Reads the lines of a value; the problems with them."""
    for line in value.split("\n"):
        if line.strip():
            try:
                into.extend(read(line.strip()))
            except ValueError as problem:
                yield str(problem)


def _take_hours(office: Office, value: str) -> Iterator[str]:
    problems = list(_each(value, _spans_of, office.spans))
    yield from problems
    if not office.spans and not problems:
        yield 'names none; say when clients are let in: "Mon-Fri 08:00-18:00"'


def _take_closed(office: Office, value: str) -> Iterator[str]:
    yield from _each(value, lambda line: [_closed_day(line)], office.closed)


def _take_networks(office: Office, value: str) -> Iterator[str]:
    yield from _each(value, lambda line: [_network(line)], office.always_from)


def _take_zone(office: Office, value: str) -> Iterator[str]:
    try:
        office.zone = zone(value)
    except ValueError as problem:
        yield str(problem)


def _take_outside(office: Office, value: str) -> Iterator[str]:
    if value == "delay" and office.delay is None:
        office.delay = 10_000
    elif value not in ("deny", "delay"):
        yield f'{value!r} is neither "deny" nor "delay"'


def _take_delay(office: Office, value: str) -> Iterator[str]:
    found = re.fullmatch(r"(\d{1,6})(ms|s)", value, re.ASCII)
    if found is None:
        yield f'{value!r} is no duration; write "10s" or "500ms"'
        return
    milliseconds = int(found[1]) * (1_000 if found[2] == "s" else 1)
    if not 1 <= milliseconds <= LONGEST_DELAY:
        yield f"{value} is not between 1ms and {LONGEST_DELAY // 1_000}s"
        return
    office.delay = milliseconds


def _take_words(office: Office, value: str) -> Iterator[str]:
    if len(value.encode()) > MOST_WORDS:
        yield f"has more than {MOST_WORDS} octets"
    elif not value.strip() or not value.isprintable():
        yield "is not one line of text"
    else:
        office.words = value


_KEYS: dict[str, Callable[[Office, str], Iterator[str]]] = {
    "hours": _take_hours,
    "closed": _take_closed,
    "time-zone": _take_zone,
    "always-from": _take_networks,
    "outside": _take_outside,
    "delay": _take_delay,
    "words": _take_words,
}


def _spans_of(line: str) -> list[Span]:
    """`Mon-Fri,Sun 08:00-18:00`."""
    days, _, times = line.partition(" ")
    start, dash, end = times.strip().partition("-")
    if not dash:
        raise ValueError(f'{line!r} is not like "Mon-Fri 08:00-18:00"')
    first, last = _minute(start.strip(), line), _minute(end.strip(), line)
    if first == last or first == _MIDNIGHT:
        raise ValueError(f"{line!r} ends where it begins; a whole day is 00:00-24:00")
    if last < first:
        last += _MIDNIGHT
    return [Span(day, first, last) for day in sorted(_weekdays(days, line))]


def _minute(text: str, line: str) -> int:
    found = re.fullmatch(r"(\d{1,2}):(\d\d)", text, re.ASCII)
    minute = int(found[1]) * 60 + int(found[2]) if found else -1
    if found is None or int(found[2]) > 59 or minute > _MIDNIGHT:
        raise ValueError(f"{line!r}: {text!r} is no time of day; write 08:00, or 24:00 for its end")
    return minute


def _weekdays(text: str, line: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        start = _weekday(first, line)
        end = _weekday(last, line) if dash else start
        # Fri-Mon goes round the end of the week.
        found.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    return found


def _weekday(text: str, line: str) -> int:
    try:
        return DAYS.index(text.strip().capitalize())
    except ValueError:
        raise ValueError(
            f"{line!r}: {text!r} is no day of the week; there are {', '.join(DAYS)}"
        ) from None


def _closed_day(line: str) -> Closed:
    found = re.fullmatch(r"(?:(\d{4})-)?(\d\d)-(\d\d)", line, re.ASCII)
    if found is None:
        raise ValueError(f"{line!r} is no day; write 2026-12-24, or 12-24 for each year's")
    year = int(found[1]) if found[1] else None
    closed = Closed(year, int(found[2]), int(found[3]))
    try:
        # 2024 had a 29th of February.
        datetime.date(2024 if year is None else year, closed.month, closed.day)
    except ValueError as problem:
        raise ValueError(f"{line!r}: {problem}") from None
    return closed


def _network(line: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(line)
    except ValueError as problem:
        raise ValueError(f"{problem}; write a network such as 192.0.2.0/24") from None
