#!/usr/bin/env python3
"""Python's own programs for an mbox and for POP3, for tests/peers/mbox.rs:

`mbox.py write MBOX FOLDER`             puts each file of FOLDER, by name, into MBOX
`mbox.py append MBOX COUNT`             delivers so many messages, each under the dotlock
`mbox.py fetch HOST PORT USER FOLDER`   saves each message; password on stdin
"""
import mailbox
import pathlib
import poplib
import sys
import time

# The longest line poplib takes, in octets.
poplib._MAXLINE = 4 << 20


def write(path, folder):
    box = mailbox.mbox(path)
    box.lock()
    for file in sorted(pathlib.Path(folder).iterdir()):
        box.add(file.read_bytes())
    box.flush()
    box.unlock()


def locked(box):
    while True:
        try:
            return box.lock()
        except mailbox.ExternalClashError:
            time.sleep(0.003)


def append(path, count):
    # Opened once, before any lock is waited for: a delivery into a file that was
    # replaced meanwhile would be lost.
    box = mailbox.mbox(path)
    for number in range(int(count)):
        locked(box)
        box.add(b"Subject: delivered %d\n\n%s\n" % (number, b"x" * (number * 37 % 5000)))
        box.flush()
        box.unlock()
        time.sleep(0.002)


def fetch(host, port, user, folder):
    box = poplib.POP3(host, int(port), timeout=120)
    box.utf8()
    box.user(user)
    box.pass_(sys.stdin.readline().rstrip("\n"))
    listed = [int(line.split()[1]) for line in box.list()[1]]
    for number, octets in enumerate(listed, 1):
        message = b"".join(line + b"\r\n" for line in box.retr(number)[1])
        if len(message) != octets:
            sys.exit(f"message {number} has {len(message)} octets, LIST says {octets}")
        (pathlib.Path(folder) / f"{number:05}").write_bytes(message)
    box.quit()


if __name__ == "__main__":
    {"write": write, "append": append, "fetch": fetch}[sys.argv[1]](*sys.argv[2:])
