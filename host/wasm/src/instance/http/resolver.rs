//! Names of granted origins, looked up in the room of the tenant that asks: the
//! pool of connections is a plugin's, and the threads that a slow resolver takes are
//! not.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tokio::time::Instant;
use tower_service::Service;

use super::asker::who_asks;
use super::call::CONNECT;
use restante_roles::work::Stop;

/// Addresses behind one name that are looked at.
const MAX_ADDRESSES: usize = 32;

#[derive(Clone)]
pub(super) struct Resolver;

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let work = who_asks();
        Box::pin(async move {
            let work = work.ok_or_else(|| io::Error::other("nobody asks for this name"))?;
            let look_up = move |_: &Stop| {
                let found = (name.as_str(), 0).to_socket_addrs()?;
                let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
                Ok(found.into_iter())
            };
            work.run_io(Instant::now() + CONNECT, look_up).await
        })
    }
}
