//! Mail that has got the better of somebody before, and what clients are owed of
//! it.

/// Each by what is odd about it.
pub(super) fn all() -> Vec<(&'static str, Vec<u8>)> {
    let header = b"From: a@example.org\r\nSubject: kit\r\n".to_vec();
    let with = |more: &[u8]| [&header[..], more].concat();
    let large = with(&[b"\r\n".to_vec(), b"0123456789abcde\r\n".repeat(20_000)].concat());
    let many_fields = (0..2_000).flat_map(|n| format!("X-{n}: {n}\r\n").into_bytes());
    vec![
        ("nothing odd about it", with(b"\r\nbody\r\n")),
        ("LF line ends", b"Subject: kit\n\nbody\n".to_vec()),
        ("no final line end", with(b"\r\nbody")),
        ("no body", with(b"")),
        ("no octet", Vec::new()),
        ("one octet", b"x".to_vec()),
        ("one line end", b"\n".to_vec()),
        ("dots", with(b"\r\n.\r\n..\r\n.x\r\n.")),
        ("a lone CR", with(b"\r\na\rb\r\r\n\r")),
        ("a NUL", with(b"\r\na\0b\r\n")),
        ("8 bits in the body", with(b"\r\n\xff\xfe\xc3\xbc\r\n")),
        (
            "UTF-8 in the header",
            b"Subject: Gr\xc3\xbc\xc3\x9fe\n\nbody\n".to_vec(),
        ),
        (
            "Latin-1 in the header",
            b"Subject: Gr\xfc\xdfe\n\nbody\n".to_vec(),
        ),
        (
            "an encoded-word with a line end",
            with(b"X-Spam-Flag: =?utf-8?Q?a=0D=0AX-Evil:_yes?=\r\n\r\n"),
        ),
        (
            "a folded field",
            with(b"X-Long: one\r\n two\r\n\tthree\r\n\r\nbody\r\n"),
        ),
        ("a field without a colon", with(b"nonsense\r\n\r\nbody\r\n")),
        (
            "a field of 100 KB",
            [b"X: ".to_vec(), vec![b'x'; 100_000], b"\r\n\r\n".to_vec()].concat(),
        ),
        (
            "2,000 fields",
            many_fields.chain(*b"\r\nbody\r\n").collect(),
        ),
        ("340 KB", large),
        (
            "a line of 200 KB",
            with(&[b"\r\n".to_vec(), vec![b'y'; 200_000], b"\r\n".to_vec()].concat()),
        ),
    ]
}
