//! One plugin's places on the network: who may be looked up, and how a connection
//! is made.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tracing::warn;

use super::io::Io;
use crate::disk::authorities::{AuthorityError, client_config};
use restante_config::{Endpoint, Grants};
use restante_roles::work::{Stop, WorkHold, WorkRoom};

/// TCP and TLS, at most.
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses behind one name that are looked at.
const ADDRESSES: usize = 32;
/// Places that were asked for in vain and are remembered, so that each is logged
/// once.
const DENIED: usize = 16;

/// A plugin's places.
pub(crate) struct Dialer {
    plugin: Arc<str>,
    endpoints: Vec<Endpoint>,
    tls: TlsConnector,
    /// What was asked for without a grant.
    denied: Mutex<HashSet<String>>,
}

impl Dialer {
    /// None: the plugin was granted no place. Reads files.
    pub(crate) fn new(plugin: &str, grants: &Grants) -> Result<Option<Arc<Self>>, AuthorityError> {
        if grants.connect.is_empty() {
            return Ok(None);
        }
        let needed = grants.connect.iter().any(Endpoint::is_tls);
        let tls = client_config(needed, grants.connect_authorities.as_deref())?;
        Ok(Some(Arc::new(Dialer {
            plugin: plugin.into(),
            endpoints: grants.connect.clone(),
            tls: Arc::new(tls).into(),
            denied: Mutex::default(),
        })))
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The granted host that a guest calls so.
    pub(crate) fn host(&self, name: &str) -> Option<&str> {
        let mut hosts = self.endpoints.iter().map(Endpoint::host);
        hosts.find(|host| host.eq_ignore_ascii_case(name))
    }

    /// What was not granted is logged, each once.
    pub(crate) fn denied(&self, what: String) {
        // A text is in it or not.
        let mut denied = self.denied.lock();
        if denied.len() < DENIED && denied.insert(what.clone()) {
            warn!(
                plugin = %self.plugin, asked = what,
                "a connection was denied: if it is meant to be, name the place in `connect` of the plugin's grants"
            );
        }
    }

    /// The addresses behind a granted name, until then; who gives up leaves its
    /// thread behind, and that keeps its tenant's place.
    pub(crate) async fn look_up(
        self: Arc<Self>,
        host: String,
        deadline: Instant,
        work: WorkRoom,
    ) -> io::Result<Vec<IpAddr>> {
        let name = host.clone();
        let look_up = move |_: &Stop| {
            let found = (name.as_str(), 0).to_socket_addrs()?;
            let addresses = found.map(|address| address.ip().to_canonical());
            io::Result::Ok(addresses.take(ADDRESSES).collect())
        };
        // The resolver may take long after the session: its maildrop has nothing to do with it.
        let work = work.holding(WorkHold::default());
        let found = work.run_io(deadline, look_up).await;
        found.inspect_err(|error| {
            warn!(plugin = %self.plugin, host, cause = %error, "a name could not be looked up");
        })
    }

    /// A connection to an address of a granted place, until then.
    pub(crate) async fn connect(
        self: Arc<Self>,
        endpoint: Endpoint,
        address: SocketAddr,
        deadline: Instant,
    ) -> io::Result<Box<dyn Io>> {
        let deadline = deadline.min(Instant::now() + CONNECT);
        let connected = match timeout_at(deadline, self.dial(&endpoint, address)).await {
            Ok(connected) => connected,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        connected.inspect_err(|error| self.failed(&endpoint, error))
    }

    /// A connection is good for nothing any more.
    pub(crate) fn failed(&self, endpoint: &Endpoint, error: &io::Error) {
        warn!(plugin = %self.plugin, place = %endpoint, cause = %error, "a connection failed");
    }

    async fn dial(&self, endpoint: &Endpoint, address: SocketAddr) -> io::Result<Box<dyn Io>> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        if !endpoint.is_tls() {
            return Ok(Box::new(tcp));
        }
        let name = ServerName::try_from(endpoint.host().to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(self.tls.connect(name, tcp).await?))
    }
}
