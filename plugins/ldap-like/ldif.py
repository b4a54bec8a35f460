"""LDIF (RFC 2849): octets to entries.

Content alone; a file of changes ("changetype:") is refused, and so are values
that stand elsewhere ("attribute:< URL").
"""

import base64
import binascii
import dataclasses
from collections.abc import Iterator


class Malformed(Exception):
    """What is wrong, and in which line."""


@dataclasses.dataclass
class Entry:
    """One entry. Attribute names are in lower case, without options
    (";lang-de"); values stand in the order of the file."""

    dn: str
    attributes: dict[str, list[str]]

    def values(self, attribute: str) -> list[str]:
        return self.attributes.get(attribute.lower(), [])


def entries(octets: bytes) -> Iterator[Entry]:
    """The entries of a file. Raises Malformed; values are never in its words."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as problem:
        line = octets.count(b"\n", 0, problem.start) + 1
        raise Malformed(f"line {line}: is not UTF-8; such a value wants base64") from None
    entry: Entry | None = None
    for number, line in _unfolded(text):
        if not line:
            if entry is not None:
                yield entry
            entry = None
            continue
        name, value = _attribute(line, number)
        if entry is not None:
            if name == "dn":
                raise Malformed(f"line {number}: a second dn; entries have a blank line between")
            if name == "changetype":
                raise Malformed(f"line {number}: changes are not entries")
            entry.attributes.setdefault(name, []).append(value)
        elif name == "dn":
            entry = Entry(value, {})
        elif name != "version":
            raise Malformed(f"line {number}: an entry begins with its dn")
        elif value != "1":
            raise Malformed(f"line {number}: LDIF has no version but 1 (RFC 2849)")
    if entry is not None:
        yield entry


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """Lines with the number of their first one, without comments. A line that
    begins with a blank goes on with the one before."""
    number, logical = 1, None
    for at, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1):
        if line.startswith(" ") and logical:
            logical += line[1:]
            continue
        if logical is not None and not logical.startswith("#"):
            yield number, logical
        number, logical = at, line
    if logical is not None and not logical.startswith("#"):
        yield number, logical


def _attribute(line: str, number: int) -> tuple[str, str]:
    description, colon, value = line.partition(":")
    name = description.partition(";")[0].lower()
    if not colon or not name or not name.replace("-", "").replace(".", "").isalnum():
        raise Malformed(f'line {number}: is not "attribute: value"')
    if value.startswith("<"):
        raise Malformed(f"line {number}: values from elsewhere (:<) are not fetched")
    if not value.startswith(":"):
        return name, value.lstrip(" ")
    try:
        octets = base64.b64decode(value[1:].strip(), validate=True)
    except binascii.Error:
        raise Malformed(f"line {number}: the value is no base64") from None
    # Photographs and certificates are no text, and nobody looks for them here.
    return name, octets.decode("utf-8", errors="replace")
