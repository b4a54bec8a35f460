//! Every sentence of the specification that a receiver can break.

use super::*;

const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x03, 0xe3];
const CLIENT: &str = "192.0.2.1:56324";

fn complete(octets: &[u8]) -> Header {
    match parse(octets) {
        Ok(Progress::Complete(header)) => header,
        other => panic!("{other:?}: {}", octets.escape_ascii()),
    }
}

fn broken(octets: &[u8]) -> Broken {
    parse(octets).expect_err(&octets.escape_ascii().to_string())
}

fn client(octets: &[u8]) -> Option<String> {
    complete(octets).client.map(|client| client.to_string())
}

/// A header of version 2 with this command, family and block.
fn v2(command: u8, family: u8, block: &[&[u8]]) -> Vec<u8> {
    let block = block.concat();
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [V2_BEGIN, &[command, family][..], &length, &block].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind][..], &length, value].concat()
}

/// The checksum bit by bit, as RFC 4960 appendix B has it.
fn crc32c(octets: &[u8]) -> u32 {
    let mut rest = u32::MAX;
    for octet in octets {
        rest ^= u32::from(*octet);
        for _ in 0..8 {
            rest = (rest >> 1) ^ (0x82f6_3b78 & (rest & 1).wrapping_neg());
        }
    }
    !rest
}

/// With a checksum in front of the other fields.
fn checked(fields: &[u8]) -> Vec<u8> {
    let mut header = v2(0x21, 0x11, &[V4, &tlv(TYPE_CRC32C, &[0; 4]), fields]);
    let at = V2_FIXED_OCTETS + V4.len() + 3;
    let sum = crc32c(&header).to_be_bytes();
    header[at..at + 4].copy_from_slice(&sum);
    header
}

#[test]
fn version_1() {
    for (line, expected) in [
        (
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443",
            Some("192.168.0.1:56324"),
        ),
        (
            "PROXY TCP4 255.255.255.255 0.0.0.0 65535 0",
            Some("255.255.255.255:65535"),
        ),
        (
            "PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 2",
            Some("[2001:db8::1]:1"),
        ),
        ("PROXY TCP6 :: :: 0 0", Some("[::]:0")),
        (
            "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2",
            Some("[::ffff:192.0.2.1]:1"),
        ),
        ("PROXY UNKNOWN", None),
        ("PROXY UNKNOWN whatever\r this \n is", None),
    ] {
        let octets = [line.as_bytes(), b"\r\nCAPA\r\n"].concat();
        let header = complete(&octets);
        assert_eq!(
            header.client.map(|client| client.to_string()).as_deref(),
            expected
        );
        assert_eq!((header.octets, header.server_name), (line.len() + 2, None));
    }
    let longest = "ffff:".repeat(7) + "ffff";
    let longest = format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n");
    assert_eq!(longest.len(), V1_MOST_OCTETS);
    assert_eq!(complete(longest.as_bytes()).octets, V1_MOST_OCTETS);
}

#[test]
fn lines_that_are_not_version_1() {
    for line in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 1",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 ",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2.256 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 +2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536",
        "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2",
        "PROXY TCP4 192.0.2.1 ::1 1 2",
        "PROXY TCP4 ::1 ::1 1 2",
        "PROXY TCP6 192.0.2.1 ::1 1 2",
        "PROXY TCP6 ::1::2 ::1 1 2",
        "PROXY TCP6 fe80::1%lo ::1 1 2",
        "PROXY TCP6 12345::1 ::1 1 2",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r2",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 \u{661}",
        "PROXY UNKNOWNS",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2",
        "PROXY ",
    ] {
        let octets = [line.as_bytes(), b"\r\n"].concat();
        assert_eq!(broken(&octets), Broken::Line);
    }
    // A line feed alone ends nothing, and neither does a carriage return.
    for end in ["\n", "\r"] {
        let octets = format!("PROXY TCP4 192.0.2.1 192.0.2.2 1 2{end}");
        assert!(matches!(parse(octets.as_bytes()), Ok(Progress::More(_))));
        let octets = octets + &"x".repeat(100);
        assert_eq!(broken(octets.as_bytes()), Broken::LongLine);
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(long.len(), V1_MOST_OCTETS + 1);
    assert_eq!(broken(long.as_bytes()), Broken::LongLine);
}

#[test]
fn what_clients_say_is_no_header() {
    for octets in [
        &b"CAPA\r\n"[..],
        b"QUIT\r\n",
        b"proxy TCP4",
        b"PROXX",
        b"\x16\x03\x01",
        b"\r\n\r\n\r",
        b"\n",
        b" PROXY",
    ] {
        assert_eq!(broken(octets), Broken::Begin);
        // And known to be none before the rest of it comes.
        let least = octets.len().min(5);
        assert_eq!(broken(&octets[..least]), Broken::Begin);
    }
}

#[test]
fn version_2() {
    assert_eq!(client(&v2(0x21, 0x11, &[V4])).as_deref(), Some(CLIENT));
    let v6: Vec<u8> = [
        &Ipv6Addr::LOCALHOST.octets()[..],
        &Ipv6Addr::UNSPECIFIED.octets(),
        &[0x01, 0x02, 0, 0],
    ]
    .concat();
    assert_eq!(
        client(&v2(0x21, 0x21, &[&v6])).as_deref(),
        Some("[::1]:258")
    );
    // Valid, and of no address that is known here.
    let unix = [b'/'; 216];
    for (family, addresses) in [
        (0x00, &[][..]),
        (0x01, &[]),
        (0x10, V4),
        (0x12, V4),
        (0x22, &v6),
        (0x31, &unix),
        (0x32, &unix),
    ] {
        assert_eq!(client(&v2(0x21, family, &[addresses])), None, "{family:#x}");
    }
    for (family, addresses) in [(0x11, V4), (0x12, V4), (0x21, &v6), (0x31, &unix)] {
        let short = &addresses[..addresses.len() - 1];
        assert_eq!(broken(&v2(0x21, family, &[short])), Broken::Addresses);
    }
    for family in [0x03, 0x13, 0x1f, 0x40, 0x41, 0xf1] {
        assert_eq!(broken(&v2(0x21, family, &[V4])), Broken::Family);
    }
    for (command, error) in [
        (0x22, Broken::Command),
        (0x2f, Broken::Command),
        (0x11, Broken::Version),
        (0x31, Broken::Version),
        (0x01, Broken::Version),
    ] {
        let header = v2(command, 0x11, &[V4]);
        assert_eq!(broken(&header), error);
        // That needs no more than the octet that says so.
        assert_eq!(broken(&header[..13]), error);
    }
    let header = [v2(0x21, 0x11, &[V4]), b"CAPA\r\n".to_vec()].concat();
    assert_eq!(complete(&header).octets, header.len() - 6);
}

#[test]
fn local_is_the_proxy_itself_whatever_follows() {
    for family in [0x00, 0x11, 0xff] {
        let header = v2(0x20, family, &[b"no fields and no addresses"]);
        let expected = Header {
            octets: header.len(),
            client: None,
            server_name: None,
        };
        assert_eq!(complete(&header), expected);
    }
    assert_eq!(client(&v2(0x20, 0x00, &[])), None);
    let elsewhere = v2(0x20, 0x11, &[V4, &tlv(TYPE_AUTHORITY, b"pop.example.org")]);
    assert_eq!(complete(&elsewhere).server_name, None);
}

#[test]
fn the_server_name() {
    let named = |fields: &[u8]| v2(0x21, 0x11, &[V4, fields]);
    let authority = tlv(TYPE_AUTHORITY, b"Pop.Example.org");
    let header = complete(&named(&authority));
    assert_eq!(header.server_name.as_deref(), Some("Pop.Example.org"));
    assert_eq!(header.client, CLIENT.parse().ok());
    // Among others: ALPN, NOOP, unique id, SSL, a netns and one of ours.
    let others: Vec<u8> = [
        (1, "pop3"),
        (4, ""),
        (5, "id"),
        (0x20, "\x01"),
        (0x30, "ns"),
        (0xe0, "x"),
    ]
    .iter()
    .flat_map(|(kind, value)| tlv(*kind, value.as_bytes()))
    .collect();
    for fields in [
        [&others[..], &authority].concat(),
        [&authority[..], &others].concat(),
    ] {
        assert_eq!(complete(&named(&fields)).server_name, header.server_name);
    }
    assert_eq!(
        complete(&named(&tlv(TYPE_AUTHORITY, b""))).server_name,
        None
    );
    // Where it has no addresses, its fields follow at once.
    let header = complete(&v2(0x21, 0x00, &[&authority]));
    assert_eq!(header.server_name.as_deref(), Some("Pop.Example.org"));
    for fields in [
        tlv(TYPE_AUTHORITY, b"\xff"),
        tlv(TYPE_AUTHORITY, &[b'a'; NAME_OCTETS + 1]),
        [&authority[..], &authority].concat(),
        [&authority[..], &[0]].concat(),
        [&authority[..], &[0, 0]].concat(),
        [&authority[..], &[4, 0, 1]].concat(),
        vec![TYPE_AUTHORITY, 0xff, 0xff, b'a'],
    ] {
        assert_eq!(broken(&named(&fields)), Broken::Field, "{fields:?}");
    }
}

#[test]
fn the_checksum() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    let fields = [tlv(TYPE_AUTHORITY, b"pop.example.org"), tlv(4, &[0; 9])].concat();
    let right = checked(&fields);
    let header = complete(&right);
    assert_eq!(header.client, CLIENT.parse().ok());
    assert_eq!(header.server_name.as_deref(), Some("pop.example.org"));
    // Every wrong bit of the addresses, the sum and what comes behind its field
    // is found, unless the header falls apart before.
    for at in (16..28).chain(31..35).chain(35..right.len()) {
        for bit in 0..8 {
            let mut wrong = right.clone();
            wrong[at] ^= 1 << bit;
            let error = broken(&wrong);
            let found = matches!(error, Broken::Checksum) || at > 35 && error == Broken::Field;
            assert!(found, "{at} {bit} {error:?}");
        }
    }
    let short = v2(0x21, 0x11, &[V4, &tlv(TYPE_CRC32C, &[0; 3])]);
    assert_eq!(broken(&short), Broken::Field);
    let twice = checked(&tlv(TYPE_CRC32C, &[0; 4]));
    assert_eq!(broken(&twice), Broken::Field);
}

#[test]
fn a_header_has_an_end() {
    let filler = |octets: usize| tlv(4, &vec![0; octets - V2_FIXED_OCTETS - V4.len() - 3]);
    let longest = v2(0x21, 0x11, &[V4, &filler(MOST_OCTETS)]);
    assert_eq!(complete(&longest).octets, MOST_OCTETS);
    let longer = v2(0x21, 0x11, &[V4, &filler(MOST_OCTETS + 1)]);
    assert_eq!(broken(&longer[..V2_FIXED_OCTETS]), Broken::TooLong);
}

/// Whoever reads what is asked for and no more ends with the header's last
/// octet, however the octets are cut.
#[test]
fn no_octet_of_the_client_is_asked_for() {
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN and more\r\n".to_vec(),
        V1_LEAST_TCP4.to_vec(),
        V1_LEAST_TCP6.to_vec(),
        b"PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 1 2\r\n".to_vec(),
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n".to_vec(),
        v2(0x20, 0x00, &[]),
        v2(0x21, 0x11, &[V4]),
        checked(&tlv(TYPE_AUTHORITY, b"pop.example.org")),
    ] {
        for piece in [1, 2, 3, 7, usize::MAX] {
            let mut read = 0;
            loop {
                match parse(&header[..read]).unwrap() {
                    Progress::More(more) => read += more.clamp(1, piece),
                    Progress::Complete(found) => break assert_eq!(found.octets, read),
                }
                assert!(read <= header.len(), "{}", header.escape_ascii());
            }
            assert_eq!(read, header.len());
        }
    }
}

/// No octets make it panic, and what it says of a beginning holds for the whole.
#[test]
fn anything_at_all() {
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize
    };
    let seeds = [
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2(0x21, 0x21, &[&[7; 36], &tlv(TYPE_AUTHORITY, b"a.example")]),
        checked(&tlv(5, b"id")),
    ];
    for round in 0..20_000 {
        let mut octets = seeds[round % seeds.len()].clone();
        for _ in 0..=random() % 3 {
            let at = random() % octets.len();
            octets[at] = random() as u8;
        }
        let whole = parse(&octets);
        for end in 0..octets.len() {
            match parse(&octets[..end]) {
                Ok(Progress::More(more)) => assert!(more > 0),
                early => assert_eq!(early, whole, "{}", octets.escape_ascii()),
            }
        }
    }
}
