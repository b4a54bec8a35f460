//! Who comes in: where a client really is, by the word of a proxy that may say
//! so ([`crate::proxy`]), and how many connections its address and its network
//! have already.
//!
//! What is counted here is held by the connections themselves: an entry goes
//! with the last of them, so there are never more entries than connections.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::proxy::{Broken, Header, Progress, parse};
use restante_roles::address::{Client, Network};

/// Bits of an address that one client has: IPv6 hosts have a network of their own.
const ADDRESS_BITS: (u8, u8) = (32, 64);

/// Bits of a network that one site has.
const NETWORK_BITS: (u8, u8) = (24, 48);

/// How many connections clients have, by address and by network.
#[derive(Debug)]
pub struct ConnectionLimits {
    per_address: usize,
    per_network: usize,
    /// Nobody is in here with none.
    counts: Mutex<HashMap<Network, usize>>,
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// Its address has as many connections as it may have.
    Address,
    /// Its network has.
    Network(Network),
}

impl fmt::Display for Crowded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Crowded::Address => out.write_str("too many connections from this address"),
            Crowded::Network(network) => write!(out, "too many connections from {network}"),
        }
    }
}

impl ConnectionLimits {
    /// Nobody is in.
    pub fn new(per_address: usize, per_network: usize) -> Arc<Self> {
        Arc::new(ConnectionLimits {
            per_address,
            per_network,
            counts: Mutex::default(),
        })
    }

    /// Counts one more connection of this client until the pass is dropped. All
    /// unknown clients are of one address, and of no network.
    ///
    /// # Errors
    /// When there is no room for it; then nothing is counted.
    pub fn admit(self: &Arc<Self>, client: Client) -> Result<Pass, Crowded> {
        let (v4, v6) = ADDRESS_BITS;
        let address = client.network(v4, v6);
        let (v4, v6) = NETWORK_BITS;
        let network = Some(client.network(v4, v6)).filter(|network| *network != address);
        let mut counts = self.counts();
        let count = |of: &Network| counts.get(of).copied().unwrap_or(0);
        if count(&address) >= self.per_address {
            return Err(Crowded::Address);
        }
        if let Some(network) = network.filter(|network| count(network) >= self.per_network) {
            return Err(Crowded::Network(network));
        }
        let counted = [Some(address), network];
        for one in counted.into_iter().flatten() {
            *counts.entry(one).or_insert(0) += 1;
        }
        drop(counts);
        Ok(Pass {
            limits: Arc::clone(self),
            counted,
        })
    }

    /// How many addresses and networks have connections.
    pub fn entries(&self) -> usize {
        self.counts().len()
    }
    fn counts(&self) -> MutexGuard<'_, HashMap<Network, usize>> {
        self.counts.lock()
    }
}

/// A connection's place among those of its address and its network.
#[derive(Debug)]
#[must_use = "the connection counts for as long as the pass lives"]
pub struct Pass {
    limits: Arc<ConnectionLimits>,
    /// No network where the client is unknown.
    counted: [Option<Network>; 2],
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.limits.counts();
        for one in self.counted.into_iter().flatten() {
            if let Some(count) = counts.get_mut(&one) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&one);
                }
            }
        }
    }
}

/// Why a proxy's connection is not served.
#[derive(Debug, thiserror::Error)]
pub enum NoHeader {
    /// It was closed before its first octet, as by a check of the port.
    #[error("it was closed at once")]
    Nothing,
    /// It was closed in the middle.
    #[error("it was closed within its PROXY header")]
    Cut,
    /// It begins otherwise.
    #[error("it does not begin with a PROXY header: {0}")]
    Broken(#[from] Broken),
    /// The header was not complete in time.
    #[error("its PROXY header was not complete in time")]
    Timeout,
    /// The socket failed.
    #[error("it failed: {0}")]
    Socket(#[from] io::Error),
}

/// Reads the header that this connection has to begin with, and no octet more.
///
/// # Errors
/// When it does not, or not within `time`.
pub async fn header<S>(stream: &mut S, time: Duration) -> Result<Header, NoHeader>
where
    S: AsyncRead + Unpin,
{
    timeout(time, read_header(stream))
        .await
        .unwrap_or(Err(NoHeader::Timeout))
}

async fn read_header<S>(stream: &mut S) -> Result<Header, NoHeader>
where
    S: AsyncRead + Unpin,
{
    // Bounded by the header's own bound: nothing is read that it does not need.
    let mut octets = Vec::new();
    loop {
        let more = match parse(&octets)? {
            Progress::Complete(header) => return Ok(header),
            Progress::More(more) => more,
        };
        let end = octets.len();
        octets.resize(end + more, 0);
        let read = stream.read(&mut octets[end..]).await?;
        octets.truncate(end + read);
        match (read, end) {
            (0, 0) => return Err(NoHeader::Nothing),
            (0, _) => return Err(NoHeader::Cut),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    fn client(ip: &str) -> Client {
        Client::at((ip.parse::<IpAddr>().unwrap(), 7).into())
    }

    fn network(text: &str) -> Network {
        Network::Of(text.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_are_counted() {
        let limits = ConnectionLimits::new(2, 3);
        let mut passes = Vec::new();
        let mut admit = |text: &str| {
            let admitted = limits.admit(client(text));
            admitted.map(|pass| passes.push(pass))
        };
        for client in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "192.0.3.1"] {
            assert_eq!(admit(client), Ok(()), "{client}");
        }
        assert_eq!(admit("192.0.2.1"), Err(Crowded::Address));
        let full = Crowded::Network(network("192.0.2.0/24"));
        assert_eq!(admit("192.0.2.2"), Err(full));
        for client in [
            "2001:db8:1:2::1",
            "2001:db8:1:2::2",
            "2001:db8:1:3::1",
            "2001:db8:2::1",
        ] {
            assert_eq!(admit(client), Ok(()), "{client}");
        }
        assert_eq!(admit("2001:db8:1:2:3::"), Err(Crowded::Address));
        let full = Crowded::Network(network("2001:db8:1::/48"));
        assert_eq!(admit("2001:db8:1:4::"), Err(full));
        // A refusal takes no place: one that goes makes room for exactly one.
        drop(passes.remove(0));
        assert!(limits.admit(client("192.0.2.2")).is_ok());
        drop(passes);
        assert_eq!(limits.entries(), 0);
    }

    #[test]
    fn unknown_clients_are_one_address_and_nobody_elses() {
        let limits = ConnectionLimits::new(2, 2);
        let passes = [limits.admit(Client::Unknown), limits.admit(Client::Unknown)];
        assert!(passes.iter().all(Result::is_ok), "{passes:?}");
        let full = limits.admit(Client::Unknown).map(drop);
        assert_eq!(full, Err(Crowded::Address));
        assert!(limits.admit(client("127.0.0.1")).is_ok());
        assert!(limits.admit(client("::1")).is_ok());
        drop(passes);
        assert_eq!(limits.entries(), 0);
        assert!(limits.admit(Client::Unknown).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_header_and_no_octet_more() {
        let (mut near, mut far) = duplex(4096);
        let header_octets = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
        near.write_all(format!("{header_octets}CAPA\r\n").as_bytes())
            .await
            .unwrap();
        let minute = Duration::from_secs(60);
        let header = header(&mut far, minute).await.unwrap();
        assert_eq!(header.client, "192.0.2.1:1".parse().ok());
        drop(near);
        let mut rest = String::new();
        far.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "CAPA\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn it_has_its_time_however_busy_the_proxy_is() {
        let (mut near, mut far) = duplex(4096);
        let start = Instant::now();
        let three = Duration::from_secs(3);
        let reading = tokio::spawn(async move { header(&mut far, three).await });
        for octet in b"PROXY TCP4 192" {
            if near.write_all(&[*octet]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        let error = reading.await.unwrap().unwrap_err();
        assert!(matches!(error, NoHeader::Timeout), "{error}");
        assert!(start.elapsed() <= 5 * three / 3);
    }

    #[tokio::test]
    async fn connections_without_a_header() {
        for (octets, words) in [
            ("", "it was closed at once"),
            ("PROXY TCP4 192", "it was closed within its PROXY header"),
            (
                "CAPA\r\n",
                "it does not begin with a PROXY header: it begins like no PROXY header",
            ),
        ] {
            let (mut near, mut far) = duplex(4096);
            near.write_all(octets.as_bytes()).await.unwrap();
            drop(near);
            let error = header(&mut far, Duration::from_secs(60)).await.unwrap_err();
            assert_eq!(error.to_string(), words);
        }
    }
}
