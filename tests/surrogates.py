#!/usr/bin/env python3
"""What clients get of mail with UTF-8 in its headers, read with Python's own
poplib and email packages, which decode it by themselves.

`surrogates.py fill MAILDIR` delivers the messages of MAIL.
`surrogates.py surrogate|refuse|off HOST PORT USER MAILDIR OUT`, password on stdin:
checks what a server with this policy sends, and keeps what it sent of the Nth
message without UTF8 as OUT/N.
"""
import email
import email.policy
import pathlib
import poplib
import re
import sys

import reference

poplib._MAXLINE = 4 << 20
INVALID = "invalid@internationalized-address.invalid"

LONG = "Grüße aus Köln, 你好 und ein sehr langer Betreff " * 6
PARTS = """Subject: parts
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_b"

--=_b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

schön: ü
--=_b
Content-Type: application/pdf; name="Käse.pdf"
Content-Disposition: attachment; filename="Käse.pdf"

%PDF
--=_b
Content-Type: message/rfc822

Subject: innen schön
From: Ü <u@example.org>

Schluß
--=_b--
"""
# A message, and what a reader shall find in its surrogate.
MAIL = [
    ("Subject: Grüße\n\nschön\n", {"subject": "Grüße"}),
    (f"Subject: {LONG.strip()}\nX: 1\n\n", {"subject": LONG.strip()}),
    ("Subject: Grüße\n aus\n\tKöln\n\n", {"subject": "Grüße aus Köln"}),
    ("Subject: =?utf-8?Q?a=C3=BC?= ö\n\n", {"subject": "aü ö"}),
    ("From: Jürgen Müller <jm@example.org>\n\n", {"from": [("Jürgen Müller", "jm@example.org")]}),
    ('From: "Müller, J." <jm@example.org>\n\n', {"from": [("Müller, J.", "jm@example.org")]}),
    ("From: jürgen@example.org\n\n", {"from": [("jürgen@example.org", INVALID)]}),
    ("From: J <jürgen@bücher.example>\n\n", {"from": [("J jürgen@bücher.example", INVALID)]}),
    (
        "To: Büro: a@example.org, Ö <ö@example.org>;, b@example.org\n\n",
        {"to": [("", "a@example.org"), ("Ö ö@example.org", INVALID), ("", "b@example.org")]},
    ),
    (
        "To: " + ",\n ".join(f"Empfänger Nummer {n} <n{n}@example.org>" for n in range(99)) + "\n\n",
        {"to": [(f"Empfänger Nummer {n}", f"n{n}@example.org") for n in range(99)]},
    ),
    (
        "Received: from a by b for <ü@example.org>; Sat, 1 Aug 2026 00:00:00 +0000\nX-Any: wörtlich\n\n",
        {"received": "from a by b; Sat, 1 Aug 2026 00:00:00 +0000", "x-any": "wörtlich"},
    ),
    ("Message-ID: <ü@example.org>\nSubject: a\n\n", {"message-id": None, "downgraded-message-id": "<ü@example.org>"}),
    (PARTS, {"filename": "Käse.pdf", "inner": "innen schön"}),
    ("Subject: a\nContent-Transfer-Encoding: 8bit\n\nschön\n", None),
    ("Subject: ascii\n\nascii\n", None),
]


def found(message, what):
    if what == "filename":
        return [part.get_filename() for part in message.walk() if part.get_filename()][0]
    if what == "inner":
        inner = [part for part in message.walk() if part.get_content_type() == "message/rfc822"][0]
        return str(inner.get_payload(0)["subject"])
    field = message[what]
    if what in ("from", "to"):
        return [(address.display_name, address.addr_spec) for address in field.addresses]
    return None if field is None else str(field)


def login(host, port, user, password, utf8):
    box = poplib.POP3(host, int(port), timeout=120)
    if utf8:
        box.utf8()
    box.user(user)
    box.pass_(password)
    return box


def joined(answer):
    return b"".join(line + b"\r\n" for line in answer[1])


def check(policy, box, number, stored, expected):
    """Returns what the server sent."""
    try:
        answer = box.retr(number)
    except poplib.error_proto as error:
        assert policy == "refuse" and expected is not None, error
        assert error.args[0].startswith(b"-ERR [UTF8]"), error
        return None
    got = joined(answer)
    # With its octets, as the answer counts them.
    assert answer[0] == b"+OK %d octets" % len(got), answer[0]
    if policy == "off" or expected is None:
        assert got == stored
        return got
    assert policy == "surrogate", "not refused"
    header, _, body = got.partition(b"\r\n\r\n")
    assert header.isascii() and all(0 < len(line) <= 76 for line in header.split(b"\r\n")), header
    if "filename" not in expected:
        assert body == stored.partition(b"\r\n\r\n")[2]
    lines = joined(box.top(number, 0))
    assert lines == header + b"\r\n\r\n", lines
    message = email.message_from_bytes(got, policy=email.policy.SMTP)
    for what, value in expected.items():
        assert found(message, what) == value, (what, found(message, what), value)
    for part in message.walk():
        assert not part.defects, part.defects
        assert all(str(value).isprintable() for name, value in part.items() if name != "subject")
        for name, value in part.raw_items():
            assert str(value).isascii() or not re.search("[\udc80-\udcff]", str(value)), (name, value)
    return got


def main(policy, host, port, user, maildir, out):
    password = sys.stdin.readline().rstrip("\n")
    messages = [reference.wire(raw) for raw in reference.messages(maildir)]
    assert len(messages) == len(MAIL)
    box = login(host, port, user, password, False)
    assert ("UTF8" in box.capa()) == (policy != "off")
    sizes = [b"%d %d" % (n, len(m)) for n, m in enumerate(messages, 1)]
    listed = box.list()[1]
    if policy != "surrogate":
        assert listed == sizes
    for number, (stored, (_, expected)) in enumerate(zip(messages, MAIL), 1):
        try:
            got = check(policy, box, number, stored, expected)
        except AssertionError as error:
            raise AssertionError(f"message {number}: {stored[:300]!r}") from error
        if got is not None:
            assert listed[number - 1] == b"%d %d" % (number, len(got)), listed[number - 1]
            pathlib.Path(out, str(number)).write_bytes(got)
    box.quit()
    if policy == "off":
        return
    box = login(host, port, user, password, True)
    assert box.list()[1] == sizes
    for number, stored in enumerate(messages, 1):
        assert joined(box.retr(number)) == stored, number
        assert joined(box.top(number, 1)) == reference.top(stored, 1), number
    box.quit()


def fill(maildir):
    for number, (text, _) in enumerate(MAIL):
        pathlib.Path(maildir, "new", f"{1000 + number}.M{number}.host").write_bytes(text.encode())


if __name__ == "__main__":
    fill(sys.argv[2]) if sys.argv[1] == "fill" else main(*sys.argv[1:])
