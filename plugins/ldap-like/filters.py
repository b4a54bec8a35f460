"""Search filters of LDAP (RFC 4515): text to something that entries match.

`and`, `or`, `not`, equality, presence and substrings. Values are compared in
whichever case and without blanks around them, as the attributes of people are
(caseIgnoreMatch, RFC 4517 section 4.2.11), but for one thing: letters beyond ASCII
have one case. Several of them fold into one of ASCII (KELVIN SIGN into "k"), and who
has such a name would be somebody else.

A value may hold `{user}`, `{local}` and `{domain}`. They are put in behind the
parser: whatever a client calls itself, it cannot change what the filter asks.
"""

import re
import string
from collections.abc import Callable, Mapping

from ldif import Entry

# How deep parentheses may go.
DEPTH = 50

Match = Callable[[Entry, Mapping[str, str]], bool]

_PLACEHOLDER = re.compile(r"\{(user|local|domain)\}")
_ATTRIBUTE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*", re.ASCII)
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_BLANKS = re.compile(r"[ \t\n\r\f\v]+")
_BRACES = re.compile(r"\{([^{}]*)\}")


def parse(text: str) -> Match:
    """Raises ValueError with what is wrong, and where."""
    filter_, end = _filter(text, _blanks(text, 0), 0)
    end = _blanks(text, end)
    if end != len(text):
        raise ValueError(f"there is more behind the filter: {text[end:]!r}")
    return filter_


def normal(value: str) -> str:
    """Values that compare equal become the same."""
    return _BLANKS.sub(" ", value).strip(" ").translate(_LOWER)


def _blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _filter(text: str, at: int, depth: int) -> tuple[Match, int]:
    """The filter that begins here, and where it ends."""
    if depth > DEPTH:
        raise ValueError(f"there are more than {DEPTH} parentheses in each other")
    if at >= len(text) or text[at] != "(":
        raise ValueError(f'expected "(" at {text[at:]!r}')
    at += 1
    kind = text[at : at + 1]
    if kind and kind in "&|!":
        parts, at = _list(text, at + 1, depth + 1)
        filter_ = _combined(kind, parts)
    else:
        end = at
        while end < len(text) and text[end] not in "()":
            end += 1
        filter_ = _item(text[at:end])
        at = end
    if text[at : at + 1] != ")":
        raise ValueError(f'expected ")" at {text[at:]!r}')
    return filter_, at + 1


def _list(text: str, at: int, depth: int) -> tuple[list[Match], int]:
    parts = []
    at = _blanks(text, at)
    while text[at : at + 1] == "(":
        part, at = _filter(text, at, depth)
        parts.append(part)
        at = _blanks(text, at)
    return parts, at


def _combined(kind: str, parts: list[Match]) -> Match:
    if kind == "&":
        # RFC 4526: "(&)" is true, "(|)" is false.
        return lambda entry, names: all(part(entry, names) for part in parts)
    if kind == "|":
        return lambda entry, names: any(part(entry, names) for part in parts)
    if len(parts) != 1:
        raise ValueError("(!…) takes one filter")
    return lambda entry, names: not parts[0](entry, names)


def _item(text: str) -> Match:
    attribute, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f'{text!r} is not "attribute=value"')
    if attribute[-1:] in ("<", ">", "~", ":"):
        raise ValueError(f"{attribute[-1]}= is not known here; there are =, =* and * in a value")
    if not _ATTRIBUTE.fullmatch(attribute):
        raise ValueError(f"{attribute!r} is no attribute's name")
    for found in _BRACES.finditer(value):
        if not _PLACEHOLDER.fullmatch(found[0]):
            raise ValueError(f"{found[0]} stands for nothing; there are {{user}}, {{local}}, {{domain}}")
    # A "*" that is meant is written \2a, so each one here parts the value.
    parts = [_unescaped(part) for part in value.split("*")]
    if parts == ["", ""]:
        return lambda entry, names: bool(entry.values(attribute))
    if len(parts) == 1:
        return lambda entry, names: any(
            normal(there) == normal(_filled(parts[0], names)) for there in entry.values(attribute)
        )
    return lambda entry, names: any(
        _has_parts(normal(there), [normal(_filled(part, names)) for part in parts])
        for there in entry.values(attribute)
    )


def _unescaped(text: str) -> str:
    """`\\28` and the like (RFC 4515 section 3) are octets of UTF-8."""
    octets = bytearray()
    at = 0
    while at < len(text):
        if text[at] != "\\":
            octets += text[at].encode()
            at += 1
            continue
        digits = text[at + 1 : at + 3]
        if not re.fullmatch("[0-9A-Fa-f]{2}", digits):
            raise ValueError(f"behind a backslash there are two hex digits: {text[at:]!r}")
        octets.append(int(digits, 16))
        at += 3
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{text!r} is not UTF-8") from None


def _filled(text: str, names: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: names[found[1]], text)


def _has_parts(value: str, parts: list[str]) -> bool:
    """Whether a value begins with the first part, ends with the last, and has
    the others between, in their order."""
    first, *middle, last = parts
    if not value.startswith(first):
        return False
    at = len(first)
    for part in middle:
        found = value.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(value) - at >= len(last) and value.endswith(last)
