//! Which process listens on a port, by /proc: inode of the socket, then who has it open. Root
//! sees all processes, others their own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// A process that has a port.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// Its number.
    pub(super) process: u32,
    /// Its command, as the system has it: 15 octets at most.
    pub(super) command: String,
}

/// "listening", in proc(5)'s tables of sockets.
const LISTENING: &str = "0A";

/// Who listens on this port. Of several, with addresses of their own, whoever has this very
/// address.
pub(super) fn of(address: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    let mut inodes: Vec<(bool, u64)> = (tables.iter())
        .flat_map(|table| listening(table, address))
        .collect();
    inodes.sort_by_key(|(exact, _)| !exact);
    inodes.into_iter().find_map(|(_, inode)| holder(inode))
}

/// Inodes of sockets that listen on the port, each with whether its address is this one.
fn listening(table: &str, address: SocketAddr) -> Vec<(bool, u64)> {
    let port = format!("{:04X}", address.port());
    let rows = table.lines().skip(1).filter_map(|row| {
        let fields: Vec<&str> = row.split_ascii_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (ip, of_port) = local.split_once(':')?;
        if of_port != port || *state != LISTENING {
            return None;
        }
        Some((ip == hexadecimal(address), inode.parse().ok()?))
    });
    rows.collect()
}

/// The address as the tables have it: words of four octets, each in the machine's order.
fn hexadecimal(address: SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(address) => address.ip().octets().to_vec(),
        SocketAddr::V6(address) => address.ip().octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| {
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        format!("{word:08X}")
    });
    words.collect()
}

fn holder(inode: u64) -> Option<Holder> {
    let socket = format!("socket:[{inode}]");
    let has_it = |process: &Path| {
        let open = fs::read_dir(process.join("fd")).into_iter().flatten();
        open.flatten().any(|entry| {
            let target = fs::read_link(entry.path());
            target.is_ok_and(|target| target.as_os_str() == socket.as_str())
        })
    };
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if has_it(&entry.path()) {
            let command = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            // A process may call itself anything.
            let command = command.trim_end().escape_debug().to_string();
            return Some(Holder { process, command });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_of_this_process_is_its_own() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                eprintln!("this machine has no {address}: nothing was tried");
                continue;
            };
            let address = listener.local_addr().expect("its address");
            let holder = of(address).expect("a holder");
            assert_eq!(holder.process, std::process::id());
            assert!(!holder.command.is_empty());
            drop(listener);
            assert_eq!(of(address), None);
        }
    }

    /// Rows as proc(5) shows them on a machine with the smaller octet first.
    #[test]
    #[cfg(target_endian = "little")]
    fn what_listens_is_told_from_what_is_connected() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:006E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n   \
            1: 00000000:006E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 100 0 0 10 0\n   \
            2: 0100007F:006E 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0 0 10 0\n   \
            3: 0100007F:03E3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4714 1 0 100 0 0 10 0\n";
        let loopback = "127.0.0.1:110".parse().expect("an address");
        assert_eq!(listening(table, loopback), [(true, 4711), (false, 4712)]);
        let v6: SocketAddr = "[::1]:110".parse().expect("an address");
        assert_eq!(hexadecimal(v6), "00000000000000000000000001000000");
    }
}
