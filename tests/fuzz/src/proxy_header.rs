//! Headers of the PROXY protocol, as they come and as they are made.

use std::net::{IpAddr, SocketAddr};

use restante_server::proxy::{Broken, Header, MOST_OCTETS, Progress, parse};

/// Octets up to which every prefix is tried; of a longer input some are left out.
const EVERY_PREFIX: usize = 300;

/// Any octets: whoever reads what [`Progress::More`] asks for never takes an
/// octet of the client's, what a prefix says still holds when more has come, and
/// a header that is made of these octets is read as it was meant.
pub fn proxy(input: &[u8]) {
    let whole = parse(input);
    read_as_the_listener_does(input, &whole);
    let mut length = 0;
    while length <= input.len() {
        prefix(input, length, &whole);
        length += 1 + length / EVERY_PREFIX * 97;
    }
    if let Some(made) = Made::of(input) {
        let expected = Ok(Progress::Complete(made.header()));
        for rest in [&b""[..], b"\r\n", input] {
            assert_eq!(parse(&[&made.octets(), rest].concat()), expected);
        }
        made.with_wrong_checksum();
    }
}

fn read_as_the_listener_does(input: &[u8], whole: &Result<Progress, Broken>) {
    let mut taken = 0;
    loop {
        let progress = parse(&input[..taken]);
        match progress {
            Ok(Progress::More(more)) => {
                assert!(more > 0, "it would wait for nothing");
                taken += more;
                assert!(taken <= MOST_OCTETS);
                if taken > input.len() {
                    return assert!(
                        !matches!(whole, Ok(Progress::Complete(_))),
                        "more than there is"
                    );
                }
            }
            Ok(Progress::Complete(ref header)) => {
                assert_eq!(header.octets, taken, "an octet of the client's is taken");
                return assert_eq!(&progress, whole);
            }
            Err(_) => return assert_eq!(&progress, whole),
        }
    }
}

fn prefix(input: &[u8], length: usize, whole: &Result<Progress, Broken>) {
    match parse(&input[..length]) {
        Ok(Progress::More(more)) => {
            if let Ok(Progress::Complete(header)) = whole {
                assert!(length + more <= header.octets, "more than belongs to it");
            }
        }
        Ok(Progress::Complete(header)) => {
            assert!(header.octets <= length);
            let name = header.server_name.as_deref();
            assert!(name.is_none_or(|name| (1..=255).contains(&name.len())));
            assert_eq!(Ok(&Progress::Complete(header)), whole.as_ref());
        }
        Err(broken) => assert_eq!(whole, &Err(broken), "it was certain"),
    }
}

/// A header that keeps to the specification.
struct Made {
    version: u8,
    client: SocketAddr,
    server: SocketAddr,
    name: Option<String>,
    checksum: bool,
    /// A field of a kind that nobody knows.
    padding: Vec<u8>,
}

impl Made {
    /// One that is described by these octets, if they are enough.
    fn of(octets: &[u8]) -> Option<Self> {
        let (choices, rest) = octets.split_first()?;
        let (addresses, rest) = rest.split_first_chunk::<32>()?;
        let (ports, rest) = rest.split_first_chunk::<4>()?;
        let address = |half: &[u8]| -> IpAddr {
            let half: [u8; 16] = half.try_into().expect("half of 32 octets");
            match choices & 1 {
                0 => [half[0], half[1], half[2], half[3]].into(),
                _ => half.into(),
            }
        };
        let name = match choices & 4 {
            0 => None,
            _ => Some(String::from_utf8_lossy(&rest[..rest.len().min(85)]).into_owned()),
        };
        Some(Made {
            version: 1 + (choices >> 1 & 1),
            client: (
                address(&addresses[..16]),
                u16::from_be_bytes([ports[0], ports[1]]),
            )
                .into(),
            server: (
                address(&addresses[16..]),
                u16::from_be_bytes([ports[2], ports[3]]),
            )
                .into(),
            name,
            checksum: choices & 8 != 0,
            padding: rest
                .iter()
                .copied()
                .take(usize::from(choices >> 4) * 8)
                .collect(),
        })
    }

    fn header(&self) -> Header {
        let name = self.name.clone().filter(|name| !name.is_empty());
        Header {
            octets: self.octets().len(),
            client: Some(self.client),
            server_name: name.filter(|_| self.version == 2),
        }
    }

    fn octets(&self) -> Vec<u8> {
        match self.version {
            1 => self.line().into_bytes(),
            _ => self.binary(0),
        }
    }

    fn line(&self) -> String {
        let Made { client, server, .. } = self;
        let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (client.ip(), server.ip());
        let (from_port, to_port) = (client.port(), server.port());
        format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n")
    }

    /// Section 2.2; `wrong` goes into the checksum.
    fn binary(&self, wrong: u32) -> Vec<u8> {
        let mut block = Vec::new();
        for address in [self.client.ip(), self.server.ip()] {
            match address {
                IpAddr::V4(address) => block.extend(address.octets()),
                IpAddr::V6(address) => block.extend(address.octets()),
            }
        }
        block.extend(self.client.port().to_be_bytes());
        block.extend(self.server.port().to_be_bytes());
        field(&mut block, 0xe0, &self.padding);
        let sum_at = self.checksum.then(|| {
            field(&mut block, 0x03, &[0; 4]);
            16 + block.len() - 4
        });
        if let Some(name) = &self.name {
            field(&mut block, 0x02, name.as_bytes());
        }
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
        header.push(if self.client.is_ipv4() { 0x11 } else { 0x21 });
        header.extend((block.len() as u16).to_be_bytes());
        header.extend(block);
        if let Some(at) = sum_at {
            let sum = crc32c(&header) ^ wrong;
            header[at..at + 4].copy_from_slice(&sum.to_be_bytes());
        }
        header
    }

    fn with_wrong_checksum(&self) {
        if self.version == 2 && self.checksum {
            let wrong = 1 << (self.client.port() % 32);
            assert_eq!(parse(&self.binary(wrong)), Err(Broken::Checksum));
        }
    }
}

fn field(block: &mut Vec<u8>, kind: u8, value: &[u8]) {
    block.push(kind);
    block.extend((value.len() as u16).to_be_bytes());
    block.extend(value);
}

/// Bit by bit (RFC 4960 appendix B).
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
