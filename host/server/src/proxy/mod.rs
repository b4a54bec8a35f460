//! The PROXY protocol, versions 1 and 2: what a proxy says of its client in
//! front of what that client says (haproxy's proxy-protocol.txt; its sections
//! are named below).
//!
//! Octets in, a [`Header`] out. Knows no socket and no clock, and decides about
//! nobody: who may send such a header is the listener's to say, and what the
//! client then is allowed is the tenant's. That a proxy had TLS with its client
//! (PP2_TYPE_SSL) is not read: it says nothing of the way from there to here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str;

use crc::{CRC_32_ISCSI, Crc, Table};

/// Octets of the longest header that is read. Version 1 has 107 at most, one of
/// version 2 fits a TCP segment (section 2) unless it brings certificates.
pub const MOST_OCTETS: usize = 8 * 1024;

/// Section 2.1.
const V1_MOST_OCTETS: usize = 107;
const V1_BEGIN: &[u8] = b"PROXY ";
const V1_LEAST: &[u8] = b"PROXY UNKNOWN\r\n";
const V1_LEAST_TCP4: &[u8] = b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n";
const V1_LEAST_TCP6: &[u8] = b"PROXY TCP6 :: :: 0 0\r\n";

/// Section 2.2.
const V2_BEGIN: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Everything before the addresses.
const V2_FIXED_OCTETS: usize = 16;

const TYPE_AUTHORITY: u8 = 0x02;
const TYPE_CRC32C: u8 = 0x03;

/// Octets of the longest server name, as the DNS has them.
const NAME_OCTETS: usize = 255;

const CRC32C: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// What a proxy says of its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How many octets it has; what follows is the client's.
    pub octets: usize,
    /// Where the client speaks from. None: the proxy speaks for itself (LOCAL),
    /// or for somebody whose address is of no kind known here (UNKNOWN, UNSPEC,
    /// anything but TCP). That is nobody's address, and not the proxy's.
    pub client: Option<SocketAddr>,
    /// The name that the client asked the proxy for (PP2_TYPE_AUTHORITY).
    pub server_name: Option<String>,
}

/// How far the reading of a header has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// At least so many more octets belong to it, never 0. Who reads no more
    /// than these never takes an octet that is the client's.
    More(usize),
    /// It is complete.
    Complete(Header),
}

/// Why a connection does not begin with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Neither version 1 nor version 2 begins like this.
    #[error("it begins like no PROXY header")]
    Begin,
    /// No CRLF within the 107 octets that version 1 has.
    #[error("its line does not end within {V1_MOST_OCTETS} octets")]
    LongLine,
    /// Not as section 2.1 has it.
    #[error("its line is none of the PROXY protocol")]
    Line,
    /// A version that is not 2, in the binary format.
    #[error("its version is not 2")]
    Version,
    /// A command that is neither LOCAL nor PROXY.
    #[error("its command is neither LOCAL nor PROXY")]
    Command,
    /// An address family or a transport protocol that does not exist.
    #[error("it has an address family or a transport protocol that does not exist")]
    Family,
    /// Longer than [`MOST_OCTETS`].
    #[error("it has more than {MOST_OCTETS} octets")]
    TooLong,
    /// Too short for the addresses that it announces.
    #[error("it is too short for its addresses")]
    Addresses,
    /// A field that does not fit, stands twice or is malformed.
    #[error("one of its fields (TLV) is malformed")]
    Field,
    /// PP2_TYPE_CRC32C says something else than was counted (section 2.2.3).
    #[error("its checksum is wrong")]
    Checksum,
}

/// Reads the header at the beginning of `octets`, everything that was received
/// so far.
///
/// # Errors
/// As soon as it is certain that there is none, whatever may still come.
pub fn parse(octets: &[u8]) -> Result<Progress, Broken> {
    // Version 1 first: as long as both are possible, its least is the lesser.
    if begins_like(octets, V1_BEGIN) {
        version_1(octets)
    } else if begins_like(octets, V2_BEGIN) {
        version_2(octets)
    } else {
        Err(Broken::Begin)
    }
}

/// Whether the two agree as far as both of them go.
fn begins_like(octets: &[u8], begin: &[u8]) -> bool {
    octets.iter().zip(begin).all(|(one, other)| one == other)
}

fn version_1(octets: &[u8]) -> Result<Progress, Broken> {
    let most = &octets[..octets.len().min(V1_MOST_OCTETS)];
    if let Some(end) = most.windows(2).position(|pair| pair == b"\r\n") {
        return Ok(Progress::Complete(Header {
            octets: end + 2,
            client: line(&octets[..end])?,
            server_name: None,
        }));
    }
    let least = match octets.get(..10) {
        Some(b"PROXY TCP4") => V1_LEAST_TCP4.len(),
        Some(b"PROXY TCP6") => V1_LEAST_TCP6.len(),
        _ => V1_LEAST.len(),
    };
    let end = if octets.ends_with(b"\r") { 1 } else { 2 };
    let more = least.saturating_sub(octets.len()).max(end);
    if octets.len() + more > V1_MOST_OCTETS {
        return Err(Broken::LongLine);
    }
    Ok(Progress::More(more))
}

/// A whole line of version 1, without its CRLF.
fn line(line: &[u8]) -> Result<Option<SocketAddr>, Broken> {
    let line = line.strip_prefix(V1_BEGIN).ok_or(Broken::Line)?;
    // What follows UNKNOWN may be anything.
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let line = str::from_utf8(line).map_err(|_| Broken::Line)?;
    let fields: Vec<&str> = line.splitn(6, ' ').collect();
    let [family, source, destination, source_port, destination_port] = fields[..] else {
        return Err(Broken::Line);
    };
    let address: fn(&str) -> Option<IpAddr> = match family {
        "TCP4" => |text| text.parse().map(IpAddr::V4).ok(),
        "TCP6" => |text| text.parse().map(IpAddr::V6).ok(),
        _ => return Err(Broken::Line),
    };
    let client = address(source).zip(port(source_port));
    let server = address(destination).zip(port(destination_port));
    match (client, server) {
        (Some(client), Some(_)) => Ok(Some(client.into())),
        _ => Err(Broken::Line),
    }
}

/// A port in decimal digits, without a sign and without zeros in front.
fn port(text: &str) -> Option<u16> {
    let port: u16 = text.parse().ok()?;
    let plain = text.starts_with(|first: char| first.is_ascii_digit());
    (plain && (text == "0" || !text.starts_with('0'))).then_some(port)
}

fn version_2(octets: &[u8]) -> Result<Progress, Broken> {
    if let Some(version_and_command) = octets.get(V2_BEGIN.len()) {
        if version_and_command >> 4 != 2 {
            return Err(Broken::Version);
        }
        if version_and_command & 0x0f > 1 {
            return Err(Broken::Command);
        }
    }
    let Some(fixed) = octets.first_chunk::<V2_FIXED_OCTETS>() else {
        return Ok(Progress::More(V2_FIXED_OCTETS - octets.len()));
    };
    let whole = V2_FIXED_OCTETS + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if whole > MOST_OCTETS {
        return Err(Broken::TooLong);
    }
    let Some(header) = octets.get(..whole) else {
        return Ok(Progress::More(whole - octets.len()));
    };
    let local = fixed[12] & 0x0f == 0;
    let (client, server_name) = if local {
        // Nothing of such a header means anything, its family included.
        (None, None)
    } else {
        proxied(header, fixed[13])?
    };
    Ok(Progress::Complete(Header {
        octets: whole,
        client,
        server_name,
    }))
}

/// A whole header of version 2 with the command PROXY.
fn proxied(header: &[u8], family: u8) -> Result<(Option<SocketAddr>, Option<String>), Broken> {
    let block = &header[V2_FIXED_OCTETS..];
    let addresses = match (family >> 4, family & 0x0f) {
        (_, 3..) | (4.., _) => return Err(Broken::Family),
        (1, _) => 12,
        (2, _) => 36,
        (3, _) => 216,
        (_, _) => 0,
    };
    let Some((addresses, _)) = block.split_at_checked(addresses) else {
        return Err(Broken::Addresses);
    };
    let client = match family {
        0x11 => tcp4(addresses),
        0x21 => tcp6(addresses),
        // Unspecified, or valid and of no use here (section 2.2).
        _ => None,
    };
    let server_name = fields(header, V2_FIXED_OCTETS + addresses.len())?;
    Ok((client, server_name))
}

fn tcp4(addresses: &[u8]) -> Option<SocketAddr> {
    let address = Ipv4Addr::from(*addresses.first_chunk::<4>()?);
    let port = addresses.get(8..10)?.try_into().ok()?;
    Some((address, u16::from_be_bytes(port)).into())
}

fn tcp6(addresses: &[u8]) -> Option<SocketAddr> {
    let address = Ipv6Addr::from(*addresses.first_chunk::<16>()?);
    let port = addresses.get(32..34)?.try_into().ok()?;
    Some((address, u16::from_be_bytes(port)).into())
}

/// The fields (TLV) from `at` to the end of `header`. Returns the server name.
fn fields(header: &[u8], mut at: usize) -> Result<Option<String>, Broken> {
    let (mut server_name, mut checked) = (None, false);
    while at < header.len() {
        let (value, next) = field(header, at).ok_or(Broken::Field)?;
        match header[at] {
            TYPE_AUTHORITY if server_name.is_none() && value.len() <= NAME_OCTETS => {
                let name = str::from_utf8(value).map_err(|_| Broken::Field)?;
                server_name = Some(name.to_owned());
            }
            TYPE_CRC32C if !checked => {
                let said = value.try_into().map_err(|_| Broken::Field)?;
                checksum(header, next, u32::from_be_bytes(said))?;
                checked = true;
            }
            TYPE_AUTHORITY | TYPE_CRC32C => return Err(Broken::Field),
            _ => {}
        }
        at = next;
    }
    Ok(server_name.filter(|name| !name.is_empty()))
}

/// The value of the field at `at`, and where the next one begins.
fn field(header: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let length = header.get(at + 1..at + 3)?.try_into().ok()?;
    let (begin, length) = (at + 3, usize::from(u16::from_be_bytes(length)));
    Some((header.get(begin..begin + length)?, begin + length))
}

/// Whether the header has this checksum, which ends at `end` and counts as
/// zeros itself.
fn checksum(header: &[u8], end: usize, said: u32) -> Result<(), Broken> {
    let mut digest = CRC32C.digest();
    digest.update(&header[..end - 4]);
    digest.update(&[0; 4]);
    digest.update(&header[end..]);
    if digest.finalize() == said {
        Ok(())
    } else {
        Err(Broken::Checksum)
    }
}

#[cfg(test)]
mod tests;
