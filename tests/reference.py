#!/usr/bin/env python3
"""What a POP3 client must get for each message of a Maildir: the rules, in a
few lines that have nothing in common with the server's.

`reference.py MAILDIR OUT` writes, for the Nth message (oldest first), OUT/N.retr
and OUT/N.top-LINES for each LINES of TOPS; without byte-stuffing.
"""
import mailbox
import pathlib
import re
import sys

TOPS = (0, 1, 1000000)


def wire(raw):
    """RFC 1939 sections 3 and 11: line ends are CRLF, a lone CR is content,
    the last line is ended."""
    octets = re.sub(rb"\r?\n", b"\r\n", raw)
    return octets + (b"" if not octets or octets.endswith(b"\r\n") else b"\r\n")


def top(octets, count):
    """RFC 1939 section 7: header, blank line, so many lines of the body."""
    lines = re.findall(rb".*?\r\n", octets, re.DOTALL)
    blank = lines.index(b"\r\n") if b"\r\n" in lines else len(lines)
    return b"".join(lines[:blank + 1 + count])


def messages(maildir):
    box = mailbox.Maildir(maildir, create=False)
    return [box.get_bytes(key) for key in sorted(box.keys())]


def main(maildir, out):
    for number, raw in enumerate(messages(maildir), 1):
        octets = wire(raw)
        pathlib.Path(out, f"{number}.retr").write_bytes(octets)
        for count in TOPS:
            pathlib.Path(out, f"{number}.top-{count}").write_bytes(top(octets, count))


if __name__ == "__main__":
    main(*sys.argv[1:])
