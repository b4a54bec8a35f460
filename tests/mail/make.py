#!/usr/bin/env python3
"""The project's own messages: each awkward in its own way.

`make.py` writes them all, `make.py --check` says whether the files are still
what this file describes (git, an editor or a copy may have touched line ends).
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
# What servers read at a time, in octets: a dot must be seen at each such edge.
EDGES = (4096, 8192, 16384, 32768, 65536, 131072)
HEAD = (b"From: Ada <ada@sender.example>\nTo: <user@example.org>\nSubject: %s\n"
        b"Date: Mon, 02 Jun 2025 09:00:00 +0000\nMessage-ID: <%s@sender.example>\n")
MESSAGES = {}


def message(name, body, head=HEAD, blank=b"\n"):
    """A message with an ordinary header in front of its awkward body."""
    words = name.replace("-", " ").encode()
    raw(name, head % (words, name.encode()) + blank + body)


def raw(name, octets):
    assert name not in MESSAGES, name
    MESSAGES[name] = octets


def crlf(octets):
    return octets.replace(b"\n", b"\r\n")


def fill(octets, length, line=70):
    """Lines of filler, so that the message is exactly `length` octets long
    and ends with a line end."""
    while len(octets) < length:
        room = length - len(octets)
        width = line if room > 2 * line else room
        octets += (b"filler " * line)[:width - 1] + b"\n"
    return octets


def wire_fill(octets, length):
    """As fill(), but the length counts with CRLF line ends."""
    while True:
        room = length - len(crlf(octets))
        if room == 0:
            return octets
        width = 40 if room > 100 else room
        octets += b"w" * (width - 2) + b"\n"


# Line ends.
message("plain", b"An ordinary message.\n\nIt has two paragraphs.\n")
message("no-final-line-end", b"The last line is not ended.")
message("lone-cr", b"one\rtwo\r\rthree\n\rfour\n")
raw("all-crlf", crlf(HEAD % (b"all CRLF", b"all-crlf") + b"\nEvery line end\nis CRLF.\n"))
raw("crlf-no-final-line-end", crlf(HEAD % (b"CRLF", b"crlf-nf") + b"\nNot ended, after\nCRLF lines"))
raw("lf-in-crlf", crlf(HEAD % (b"lone LF", b"lf-in-crlf") + b"\nCRLF here\n") + b"lone LF here\nand here\n")
message("mixed-line-ends", b"LF\nCRLF\r\nCR\rCRCR\r\rLFCR\n\rCRCRLF\r\r\nend\r\n")
raw("header-lf-body-crlf", HEAD % (b"mixed", b"hlbc") + b"\n" + b"body CRLF\r\n.\r\n..\r\nend\r\n")
raw("header-crlf-body-lf", crlf(HEAD % (b"mixed", b"hcbl") + b"\n") + b"body LF\n.\n..\nend\n")
message("cr-cr-lf", b"two CR and a LF\r\r\nthree\r\r\r\nend\n")
message("cr-at-the-end", b"ends with a CR\r")
message("cr-lf-cr-at-the-end", b"ends with CRLF and a CR\r\n\r")
message("cr-cr-lf-is-no-blank-line", b"still header to TOP\n\nbody\nbody\n", blank=b"\r\r\n")
message("many-blank-lines", b"\n\n\n\none\n\n\n\n")
message("white-space-is-no-blank-line", b"X-More: header\n\nbody one\nbody two\n", blank=b" \t\n")

# Octets.
message("nul", b"before\0after\n\0\n\0.\n.\0\n")
message("control-characters", bytes(range(1, 10)) + b"\x0b\x0c" + bytes(range(14, 32)) + b"\x7f\n")
raw("latin-1", "From: J\xfcrgen <j@sender.example>\nSubject: Gr\xfc\xdfe\n\n\xc4\xd6\xdc \xff \xa0\n".encode("latin-1"))
raw("utf-8", "From: Zoë <zoe@sender.example>\nSubject: Grüße, привет, 你好\n\n\ufeffünïcödé 🐌\n".encode())
message("every-octet", bytes(range(256)) * 3)

# Dots.
message("dot-line", b"before\n.\nafter\n")
message("dot-lines-crlf", b"before\r\n.\r\n.\r\n.QUIT\r\n\r\n.\r\nafter\r\n")
message("dots-many", b".\n..\n...\n....\n.....\n. .\n .\n.a\n..a\na.\n" + b"." * 3000 + b"\n")
message("dot-first-in-body", b".starts with a dot\n")
raw("dot-first-octet", b".X-Odd: a field name may begin with a dot\nSubject: dot first\n\nbody\n")
message("dot-after-cr", b"a lone CR before dots\r.\r..\rend\n.\r.\n")
message("dot-after-cr-cr-lf", b"one\r\r\n.two\r\r\n..three\n")
message("dot-at-the-end", b"the last line is a dot\n.\n")
message("dot-at-the-end-without-line-end", b"the last octet is a dot\n.")
message("dot-dot-at-the-end-without-line-end", b"the last two octets are dots\n..")
message("dot-cr-at-the-end", b"the last line is a dot and a CR\n.\r")
message("dots-stuffed-already", b"..looks stuffed\n...is not\n..\n")

# Shapes.
raw("empty", b"")
raw("only-lf", b"\n")
raw("only-crlf", b"\r\n")
raw("only-cr", b"\r")
raw("only-dot", b".")
raw("only-dot-crlf", b".\r\n")
raw("only-two-blank-lines", b"\n\n")
raw("only-a-word", b"word")
message("header-and-blank-line-only", b"")
raw("header-only-no-blank-line", HEAD % (b"header only", b"honbl"))
raw("header-only-no-final-line-end", b"Subject: header only\nX-Last: not ended")
raw("no-header", b"\nThis message starts with its blank line.\n.\nend\n")
raw("no-blank-line", b"This is no header field\nand neither is this\n.\nnor this\n")
message("header-very-long", b"body\n", HEAD + b"X-Long: " + b"0123456789" * 2000 + b"\n")
message("header-folded", b"body\n", HEAD + b"X-Folded: one\n two\n\tthree\n  .\n four\n")
message("header-folded-over-white-space", b"body\n", HEAD + b"X-Folded: one\n\t\n two\n \n .\n")
message("header-many-fields", b"body\n", HEAD + b"".join(b"X-%d: %d\n" % (n, n) for n in range(1500)))
message("body-line-long", b"x" * 5000 + b"\n." + b"y" * 5000 + b"\n")
message("from-lookalike", b"From here on it looks like mbox\n\nFrom ada@sender.example Mon Jun  2 09:00:00 2025\n"
        b">From quoted once\n>>From quoted twice\n")
message("multipart", b"preamble\n--edge\nContent-Type: text/plain\n\none\n.\n--edge\nContent-Type: "
        b"application/octet-stream\nContent-Transfer-Encoding: base64\n\n" + b"QUJD" * 18 + b"\nLi4u\n--edge--\nepilogue\n",
        HEAD + b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=edge\n")
message("spam", b"Buy now.\n", HEAD + b"X-Spam-Flag: YES\n")
message("spam-flag-no", b"Nothing to buy.\n", HEAD + b"X-Spam-Flag: NO\n")
message("spam-flag-in-body", b"X-Spam-Flag: YES\n\nonly the body says so\n")
message("spam-folded-and-odd-case", b"Buy now.\n", HEAD + b"x-spam-FLAG:\n\tYES\n")

# Dots at the edges of whatever is read or written at a time.
octets = HEAD % (b"edges", b"edge-dot-first") + b"\n"
for edge in EDGES:
    octets = fill(octets, edge) + b".first octet behind %d\n" % edge
raw("edge-dot-first-in-chunk", octets)

octets = HEAD % (b"edges", b"edge-dot-last") + b"\n"
for edge in EDGES:
    octets = fill(octets, edge - 1) + b".\n"
raw("edge-dot-last-in-chunk", octets + b"end\n")

octets = HEAD % (b"edges", b"edge-crlf") + b"\n"
for edge in EDGES:
    octets = fill(octets, edge - 11) + b"CR ends it\r\n.\n"
raw("edge-between-cr-and-lf", octets)

octets = HEAD % (b"edges", b"edge-cr-dot") + b"\n"
for edge in EDGES:
    octets = fill(octets, edge - 5) + b"lone\r.\n"
raw("edge-between-cr-and-dot", octets)

octets = HEAD % (b"edges", b"edge-grown") + b"\n"
for edge in EDGES:
    octets = wire_fill(octets, edge) + b".first octet behind %d with CRLF\n" % edge
raw("edge-dot-first-when-grown", octets)

octets = HEAD % (b"edges", b"edge-grown-last") + b"\n"
for edge in EDGES:
    octets = wire_fill(octets, edge - 1) + b".\n"
raw("edge-dot-last-when-grown", octets + b".")

message("edge-nothing-but-dots", b".\n" * 44000 + b".")


def main():
    wrong = []
    for name, octets in MESSAGES.items():
        path = HERE / (name + ".eml")
        if "--check" not in sys.argv:
            path.write_bytes(octets)
        elif not path.exists() or path.read_bytes() != octets:
            wrong.append(path.name)
    wrong += [p.name for p in HERE.glob("*.eml") if p.stem not in MESSAGES]
    if wrong:
        sys.exit("not what make.py describes: " + ", ".join(sorted(wrong)))


if __name__ == "__main__":
    main()
