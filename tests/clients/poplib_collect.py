#!/usr/bin/env python3
"""Collects new mail with Python's poplib, as a mail program would: unique-ids of
what it has are kept in a file.

`poplib_collect.py HOST PORT off|starttls|implicit AUTHORITY USER SEEN OUT keep|delete`,
password on stdin.
"""
import pathlib
import poplib
import ssl
import sys

# poplib takes lines of 2048 octets; mail has longer ones.
poplib._MAXLINE = 1 << 20
host, port, tls, authority, user, seen, out, then = sys.argv[1:]
trust = ssl.create_default_context(cafile=authority)
if tls == "implicit":
    box = poplib.POP3_SSL(host, int(port), timeout=120, context=trust)
else:
    box = poplib.POP3(host, int(port), timeout=120)
if tls == "starttls":
    box.stls(context=trust)
box.user(user)
box.pass_(sys.stdin.readline().rstrip("\n"))

seen = pathlib.Path(seen)
known = set(seen.read_text().split()) if seen.exists() else set()
for line in box.uidl()[1]:
    number, unique_id = line.decode().split()
    if unique_id not in known:
        lines = box.retr(number)[1]
        pathlib.Path(out, number).write_bytes(b"".join(line + b"\n" for line in lines))
        known.add(unique_id)
    if then == "delete":
        box.dele(number)
box.quit()
seen.write_text("\n".join(sorted(known)))
