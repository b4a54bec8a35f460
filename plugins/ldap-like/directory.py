"""The settings, and a login against the entries of a file.

Plain Python without a word of the component's world: the tests run as they are.
"""

import dataclasses
import re
from collections.abc import Iterable

import filters
import hashes
import ldif

# Octets of a file: what is parsed at each login has to be small.
MOST_OCTETS = 8 << 20
# Values of userPassword that one login is checked against.
MOST_PASSWORDS = 4

_SCOPES = ("base", "one", "sub")
_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*", re.ASCII)


class Problems(Exception):
    """What is wrong with the settings or the file, a line each."""

    def __init__(self, lines: list[str]):
        super().__init__("; ".join(lines))
        self.lines = lines


class Unknown(Exception):
    """No entry is this user's."""


class Rejected(Exception):
    """There is such a user, and this is not the password; or nobody may log in so."""


@dataclasses.dataclass(frozen=True)
class Account:
    """Who logged in."""

    user: str
    maildrop: str
    attributes: list[tuple[str, str]]


@dataclasses.dataclass
class Settings:
    """What the settings ask for."""

    file: str = ""
    base: tuple[str, ...] = ()
    scope: str = "sub"
    filter: filters.Match = filters.parse("(|(uid={user})(mail={user}))")
    groups: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
    user_attribute: str = "uid"
    maildrop_attribute: str | None = None
    attributes: list[str] = dataclasses.field(default_factory=list)


def settings(pairs: Iterable[tuple[str, str]]) -> Settings:
    """Reads the settings. Raises Problems, each of which names its key."""
    taken = Settings()
    problems = []
    for key, value in pairs:
        try:
            _take(taken, key, value)
        except ValueError as problem:
            problems.append(f"{key}: {problem}")
    if not taken.file:
        problems.append('file: is missing; name the LDIF file inside a granted directory: "/directory/users.ldif"')
    if problems:
        raise Problems(problems)
    return taken


def _take(taken: Settings, key: str, value: str) -> None:
    match key:
        case "file":
            if not value.startswith("/"):
                raise ValueError('is no path inside a granted directory: "/directory/users.ldif"')
            taken.file = value
        case "base":
            taken.base = dn(value)
        case "scope":
            if value not in _SCOPES:
                raise ValueError(f"{value!r} is none; there are {', '.join(_SCOPES)}")
            taken.scope = value
        case "filter":
            taken.filter = filters.parse(value)
        case "groups":
            taken.groups = [dn(line) for line in _lines(value)]
        case "user-attribute":
            taken.user_attribute = _attribute(value)
        case "maildrop-attribute":
            taken.maildrop_attribute = _attribute(value)
        case "attributes":
            taken.attributes = [_attribute(line) for line in _lines(value)]
        case _:
            raise ValueError(
                "unknown setting; there are file, base, scope, filter, groups, user-attribute, "
                "maildrop-attribute and attributes"
            )


def _lines(value: str) -> list[str]:
    return [line.strip() for line in value.split("\n") if line.strip()]


def _attribute(name: str) -> str:
    if not _ATTRIBUTE.fullmatch(name):
        raise ValueError(f"{name!r} is no attribute's name")
    return name.lower()


def dn(text: str) -> tuple[str, ...]:
    """A distinguished name (RFC 4514) as its parts, to compare: blanks around
    them do not count, and neither does case. Raises ValueError."""
    parts = []
    for part in re.split(r"(?<!\\),", text) if text.strip() else []:
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{part.strip()!r} is no part of a DN, which are like ou=people,dc=example,dc=org")
        parts.append(f"{filters.normal(name)}={filters.normal(value)}")
    return tuple(parts)


@dataclasses.dataclass
class Person:
    """An entry whose DN makes sense."""

    dn: tuple[str, ...]
    entry: ldif.Entry


class Directory:
    """The entries of a file, seen through the settings."""

    def __init__(self, settings: Settings, octets: bytes):
        """Raises Problems."""
        self._settings = settings
        if len(octets) > MOST_OCTETS:
            raise Problems([f"file: has more than {MOST_OCTETS} octets"])
        try:
            self._all = [Person(dn(entry.dn), entry) for entry in ldif.entries(octets)]
        except (ldif.Malformed, ValueError) as problem:
            raise Problems([f"file: {problem}"]) from None
        wanted = set(settings.groups)
        self._groups = [person.entry for person in self._all if person.dn in wanted]
        self._members = {
            self._member(value)
            for group in self._groups
            for attribute in ("member", "uniquemember")
            for value in group.values(attribute)
        }
        self._member_names = {
            filters.normal(value) for group in self._groups for value in group.values("memberuid")
        }

    def problems(self) -> list[str]:
        """What would keep everybody out, for the look over the settings."""
        there = {person.dn for person in self._all}
        found = [f"groups: there is no {', '.join(group)}" for group in self._settings.groups if group not in there]
        if not any(self._is_in_scope(person.dn) for person in self._all):
            found.append("base: there is nothing below it in the file")
        return found

    def login(self, user: str, secret: str, verify: hashes.Verify) -> Account:
        """Raises Unknown, Rejected, hashes.Unusable, and Problems where an entry
        lacks what the settings ask for."""
        person = self._find(user)
        if person is None:
            self._take_as_long(secret, verify)
            raise Unknown
        values = person.entry.values("userpassword")
        if len(values) > MOST_PASSWORDS:
            raise Problems([f"file: an entry has more than {MOST_PASSWORDS} passwords"])
        # All are checked, so that time does not tell which one it was.
        is_right = [hashes.check(value, secret, verify) for value in values]
        # An empty password logs nobody in, whatever its hash (RFC 4513 section 5.1.2).
        if not secret or not any(is_right) or not self._is_member(person):
            raise Rejected
        return self._account(person.entry)

    def _take_as_long(self, secret: str, verify: hashes.Verify) -> None:
        """Holds the password of somebody unknown against the first hash there is."""
        for person in self._all:
            values = person.entry.values("userpassword")
            if values and self._is_in_scope(person.dn):
                try:
                    hashes.check(values[0], secret, verify)
                except hashes.Unusable:
                    continue
                return

    def _find(self, user: str) -> Person | None:
        local, at, domain = user.rpartition("@")
        names = {"user": user, "local": local if at else user, "domain": domain}
        found = [
            person
            for person in self._all
            if self._is_in_scope(person.dn) and self._settings.filter(person.entry, names)
        ]
        if len(found) > 1:
            # Nobody can say whose mail it is.
            raise Problems([f"filter: finds {len(found)} entries for one user"])
        return found[0] if found else None

    def _is_in_scope(self, name: tuple[str, ...]) -> bool:
        base = self._settings.base
        depth = len(name) - len(base)
        if depth < 0 or name[depth:] != base:
            return False
        return {"base": depth == 0, "one": depth == 1, "sub": True}[self._settings.scope]

    def _is_member(self, person: Person) -> bool:
        if not self._settings.groups:
            return True
        names = {filters.normal(uid) for uid in person.entry.values("uid")}
        return person.dn in self._members or bool(names & self._member_names)

    @staticmethod
    def _member(value: str) -> tuple[str, ...] | None:
        try:
            return dn(value)
        except ValueError:
            return None

    def _account(self, entry: ldif.Entry) -> Account:
        name = self._settings.user_attribute
        users = entry.values(name)
        if not users:
            raise Problems([f"user-attribute: an entry has no {name}"])
        maildrop = self._settings.maildrop_attribute
        maildrops = users if maildrop is None else entry.values(maildrop)
        if not maildrops:
            raise Problems([f"maildrop-attribute: an entry has no {maildrop}"])
        attributes = [
            (name, values[0]) for name in self._settings.attributes if (values := entry.values(name))
        ]
        return Account(users[0], maildrops[0], attributes)
