//! `wasi:sockets/ip-name-lookup`: granted names, looked up by the host.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::vec;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    Host, HostResolveAddressStream, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, Pollable, SocketResult, subscribe};

use crate::instance::state::State;

/// A name that is being looked up. It stands in the table under the handle of
/// WASI's `resolve-address-stream`.
struct Lookup {
    host: String,
    answer: Answer,
}

enum Answer {
    Coming(Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>),
    Came(io::Result<Vec<IpAddr>>),
    Failed(ErrorCode),
    Told(vec::IntoIter<IpAddr>),
}

/// The entry behind a handle.
fn entry(stream: &Resource<ResolveAddressStream>) -> Resource<Lookup> {
    match stream.owned() {
        true => Resource::new_own(stream.rep()),
        false => Resource::new_borrow(stream.rep()),
    }
}

impl Host for State {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> SocketResult<Resource<ResolveAddressStream>> {
        self.table.get(&network)?;
        // As it was before there was a grant.
        let Ok(dialer) = self.sockets.dialer() else {
            return Err(ErrorCode::PermanentResolverFailure.into());
        };
        let Some(host) = dialer.host(&name).map(str::to_owned) else {
            let shown: String = name.chars().take(255).collect();
            dialer.denied(format!("the name {shown}"));
            return Err(ErrorCode::AccessDenied.into());
        };
        let dialer = dialer.clone();
        self.sockets.attempt()?;
        let answer = match host.parse::<IpAddr>() {
            Ok(address) => Answer::Told(vec![address].into_iter()),
            Err(_) => {
                let deadline = self.sockets.clock.deadline();
                let work = self.sockets.meter.work();
                Answer::Coming(Box::pin(dialer.look_up(host.clone(), deadline, work)))
            }
        };
        let entry = self.table.push(Lookup { host, answer })?;
        Ok(Resource::new_own(entry.rep()))
    }
}

impl HostResolveAddressStream for State {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> SocketResult<Option<IpAddress>> {
        let lookup = self.table.get_mut(&entry(&stream))?;
        if let Answer::Came(found) = &mut lookup.answer {
            lookup.answer = match std::mem::replace(found, Ok(Vec::new())) {
                Ok(addresses) => {
                    self.sockets.found(&lookup.host, addresses.clone());
                    Answer::Told(addresses.into_iter())
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    Answer::Failed(ErrorCode::TemporaryResolverFailure)
                }
                Err(_) => Answer::Failed(ErrorCode::NameUnresolvable),
            };
        }
        match &mut lookup.answer {
            Answer::Told(addresses) => Ok(addresses.next().map(IpAddress::from)),
            Answer::Failed(code) => Err((*code).into()),
            Answer::Coming(_) | Answer::Came(_) => Err(ErrorCode::WouldBlock.into()),
        }
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, entry(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(entry(&stream))?;
        Ok(())
    }
}

#[async_trait::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        if let Answer::Coming(found) = &mut self.answer {
            self.answer = Answer::Came(found.await);
        }
    }
}
