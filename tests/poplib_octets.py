#!/usr/bin/env python3
"""Reads a whole maildrop with Python's poplib and compares it, octet for octet,
with the reference: `poplib_octets.py HOST PORT USER MAILDIR`, password on stdin.
"""
import poplib
import sys

import reference

# The longest line poplib takes, in octets; its own bound would refuse the
# message with a line of a megabyte.
poplib._MAXLINE = 4 << 20


def joined(answer):
    return b"".join(line + b"\r\n" for line in answer[1])


def main(host, port, user, maildir):
    expected = [reference.wire(raw) for raw in reference.messages(maildir)]
    box = poplib.POP3(host, int(port), timeout=120)
    box.utf8()
    box.user(user)
    box.pass_(sys.stdin.readline().rstrip("\n"))
    wrong = []

    def compare(what, got, wanted):
        if got != wanted:
            wrong.append(f"{what}: got {got[:200]!r}, wanted {wanted[:200]!r}")

    compare("STAT", box.stat(), (len(expected), sum(map(len, expected))))
    compare("LIST", box.list()[1], [b"%d %d" % (n, len(m)) for n, m in enumerate(expected, 1)])
    for number, octets in enumerate(expected, 1):
        compare(f"LIST {number}", box.list(number).split()[1:], [b"%d" % number, b"%d" % len(octets)])
        compare(f"RETR {number}", joined(box.retr(number)), octets)
        for count in reference.TOPS:
            compare(f"TOP {number} {count}", joined(box.top(number, count)), reference.top(octets, count))
    box.quit()
    if wrong:
        sys.exit("\n".join(wrong))
    print(len(expected), "messages")


if __name__ == "__main__":
    main(*sys.argv[1:])
