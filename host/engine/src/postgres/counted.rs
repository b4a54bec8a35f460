//! Connections over which one call gets so many octets at most. The driver hands rows over
//! when they are whole, and a row may have a gigabyte: what is too much must not even arrive.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Error, NoTls, SimpleQueryMessage};

use super::failure::Failure;
use super::settings::{
    CONNECT_TIMEOUT, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, Target,
};

/// Octets that may come before the first call: certificates, parameters of the server.
const MAX_GREETING_OCTETS: u64 = 1 << 20;
/// PostgreSQL's, where the URL names none.
const PORT: u16 = 5432;

/// What may still come for the call under way.
#[derive(Debug)]
pub(super) struct Budget(AtomicU64);

impl Budget {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Budget(AtomicU64::new(MAX_GREETING_OCTETS)))
    }

    /// A call begins, for which so many octets may come.
    pub(super) fn begin_call(&self, octets: u64) {
        self.0.store(octets, Ordering::Relaxed);
    }

    /// Whether more came, or was about to.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn take(&self, octets: u64) {
        let left = |left: u64| Some(left.saturating_sub(octets));
        // Never fails: `left` always gives something.
        let _ = (self.0).fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
    }
}

/// A stream that ends where its budget does.
struct Counted<S> {
    stream: S,
    budget: Arc<Budget>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.budget.is_over() {
            return Poll::Ready(Err(io::Error::other("the answer is too large")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.budget.take((buffer.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What a connection does by itself: it ends when the client is dropped or the server is
/// gone, and the client hears of it.
pub(super) type Driver = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Notices are dropped: their words are a statement's, which may be anybody's.
pub(super) fn drive<S, T>(mut connection: Connection<S, T>) -> Driver
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Box::pin(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            message?;
        }
        Ok(())
    })
}

/// Connects to the first host that lets the role in, and can be written to if that is wanted.
pub(super) async fn connect(
    target: &Target,
    budget: &Arc<Budget>,
) -> Result<(Client, Driver), Failure> {
    let config = &target.config;
    let hosts = config.get_hosts();
    let mut failure = Failure::Unconnected("the URL names no host".to_owned());
    // A host that is silent leaves time for the others, and for the call.
    let patience = CONNECT_TIMEOUT / u32::try_from(hosts.len() + 1).unwrap_or(u32::MAX);
    for (position, host) in hosts.iter().enumerate() {
        let attempt = async {
            let connected = connect_to(target, position, host, budget).await?;
            match config.get_target_session_attrs() {
                TargetSessionAttrs::ReadWrite => for_writing(host, connected).await,
                _ => Ok(connected),
            }
        };
        failure = match timeout(patience, attempt).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Unconnected(format!("{}: no answer in time", shown(host))),
        };
    }
    Err(failure)
}

/// The same connection, if rows can be changed over it.
async fn for_writing(
    host: &Host,
    (client, mut driver): (Client, Driver),
) -> Result<(Client, Driver), Failure> {
    let asked = client.simple_query("show transaction_read_only");
    let answer = tokio::select! {
        answer = asked => answer,
        ended = &mut driver => match ended {
            Err(error) => Err(error),
            Ok(()) => return Err(Failure::Unconnected(format!("{}: it hung up", shown(host)))),
        },
    };
    let rows = answer.map_err(|error| Failure::unconnected(&error))?;
    let is_off = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0) == Some("off"),
        _ => false,
    };
    match rows.iter().any(is_off) {
        true => Ok((client, driver)),
        false => Err(Failure::Unconnected(format!(
            "{}: nothing can be changed there, and the URL says target_session_attrs=read-write",
            shown(host)
        ))),
    }
}

async fn connect_to(
    target: &Target,
    position: usize,
    host: &Host,
    budget: &Arc<Budget>,
) -> Result<(Client, Driver), Failure> {
    let config = &target.config;
    let port = match config.get_ports() {
        [] => PORT,
        [port] => *port,
        ports => ports.get(position).copied().unwrap_or(PORT),
    };
    let failed = |error: io::Error| Failure::Unconnected(format!("{}: {error}", shown(host)));
    match host {
        Host::Tcp(name) => {
            let address = config.get_hostaddrs().get(position);
            let address = address.map_or_else(|| name.clone(), ToString::to_string);
            let stream = first_of(&address, port).await.map_err(failed)?;
            keep_alive(&stream).map_err(failed)?;
            let mut tls = target.tls.clone();
            let tls = MakeTlsConnect::<Counted<TcpStream>>::make_tls_connect(&mut tls, name);
            let tls = tls.map_err(|error| Failure::Unconnected(error.to_string()))?;
            start(config, stream, tls, budget).await
        }
        Host::Unix(folder) => {
            let path = folder.join(format!(".s.PGSQL.{port}"));
            let stream = UnixStream::connect(path).await.map_err(failed)?;
            start(config, stream, NoTls, budget).await
        }
    }
}

/// A connection to one of a name's addresses; one that is silent leaves time for the next.
async fn first_of(name: &str, port: u16) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host((name, port)).await?.collect();
    let patience = CONNECT_TIMEOUT / u32::try_from(2 * addresses.len() + 2).unwrap_or(u32::MAX);
    let mut last = io::Error::other("the name has no address");
    for address in addresses {
        last = match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
    }
    Err(last)
}

async fn start<S, T>(
    config: &Config,
    stream: S,
    tls: T,
    budget: &Arc<Budget>,
) -> Result<(Client, Driver), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: tokio_postgres::tls::TlsConnect<Counted<S>>,
    T::Stream: Send + 'static,
{
    let budget = budget.clone();
    let connected = config.connect_raw(Counted { stream, budget }, tls).await;
    let (client, connection) = connected.map_err(|error| Failure::unconnected(&error))?;
    Ok((client, drive(connection)))
}

fn shown(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

/// As the driver does it for connections of its own.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let milliseconds = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_RETRIES)?;
    sockopt::set_tcp_user_timeout(stream, milliseconds(CONNECT_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn no_more_arrives_than_a_call_may_get() {
        let (mut server, stream) = tokio::io::duplex(64);
        let budget = Budget::new();
        let mut counted = Counted {
            stream,
            budget: budget.clone(),
        };
        budget.begin_call(100);
        let sending = tokio::spawn(async move {
            let mut sent = 0;
            while server.write_all(&[0; 16]).await.is_ok() {
                sent += 16;
            }
            sent
        });
        let mut all = Vec::new();
        assert!(counted.read_to_end(&mut all).await.is_err());
        assert!(budget.is_over() && all.len() < 100 + 64, "{}", all.len());
        drop(counted);
        assert!(sending.await.unwrap() <= 100 + 3 * 64);
        budget.begin_call(1);
        assert!(!budget.is_over());
    }
}
