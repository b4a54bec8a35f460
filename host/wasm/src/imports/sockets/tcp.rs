//! `wasi:sockets/tcp` and `tcp-create-socket`: outgoing connections alone.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress};
use wasmtime_wasi::p2::bindings::sockets::{tcp, tcp_create_socket};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, Network, Pollable, SocketResult, TcpSocket,
    subscribe,
};

use crate::instance::sockets::io::Io;
use crate::instance::sockets::link::{Input, LinkOwner, Output, Shared};
use crate::instance::state::State;

/// A socket. It stands in the table under the handle of WASI's `tcp-socket`.
struct Socket {
    family: IpAddressFamily,
    phase: Phase,
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

enum Phase {
    New,
    Connecting(Connecting, SocketAddr, Option<LinkOwner>),
    Connected(io::Result<Box<dyn Io>>, SocketAddr, Option<LinkOwner>),
    Open(Shared, SocketAddr),
    Failed,
}

/// The entry behind a handle.
fn entry(socket: &Resource<TcpSocket>) -> Resource<Socket> {
    match socket.owned() {
        true => Resource::new_own(socket.rep()),
        false => Resource::new_borrow(socket.rep()),
    }
}

impl tcp_create_socket::Host for State {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.sockets.dialer()?;
        let phase = Phase::New;
        let socket = self.table.push(Socket { family, phase })?;
        Ok(Resource::new_own(socket.rep()))
    }
}

impl State {
    /// What nobody is granted.
    fn denied<T>(&self, what: &str) -> SocketResult<T> {
        self.sockets.dialer()?.denied(what.to_owned());
        Err(ErrorCode::AccessDenied.into())
    }

    /// What sockets have elsewhere and connections of guests have not.
    fn unsupported<T>(&self, socket: &Resource<TcpSocket>) -> SocketResult<T> {
        self.table.get(&entry(socket))?;
        Err(ErrorCode::NotSupported.into())
    }
}

impl tcp::Host for State {}

impl tcp::HostTcpSocket for State {
    fn start_connect(
        &mut self,
        socket: Resource<TcpSocket>,
        network: Resource<Network>,
        remote: IpSocketAddress,
    ) -> SocketResult<()> {
        self.table.get(&network)?;
        let address = SocketAddr::from(remote);
        let found = self.table.get(&entry(&socket))?;
        match &found.phase {
            Phase::New => {}
            Phase::Connecting(..) | Phase::Connected(..) => {
                return Err(ErrorCode::ConcurrencyConflict.into());
            }
            Phase::Open(..) | Phase::Failed => return Err(ErrorCode::InvalidState.into()),
        }
        if address.is_ipv4() != (found.family == IpAddressFamily::Ipv4) {
            return Err(ErrorCode::InvalidArgument.into());
        }
        let dialer = self.sockets.dialer()?.clone();
        let Some(endpoint) = self.sockets.granted(address).cloned() else {
            dialer.denied(format!("a connection to {address}"));
            return Err(ErrorCode::AccessDenied.into());
        };
        self.sockets.attempt()?;
        let permit = self.work.room().open_permit();
        let whose = LinkOwner {
            dialer: dialer.clone(),
            endpoint: endpoint.clone(),
            meter: self.sockets.meter.clone(),
            _place: self.sockets.place()?,
            _permit: permit.map_err(|_| ErrorCode::NewSocketLimit)?,
        };
        let deadline = self.sockets.clock.deadline();
        let connecting = Box::pin(dialer.connect(endpoint, address, deadline));
        let socket = self.table.get_mut(&entry(&socket))?;
        socket.phase = Phase::Connecting(connecting, address, Some(whose));
        Ok(())
    }

    fn finish_connect(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> SocketResult<(Resource<DynInputStream>, Resource<DynOutputStream>)> {
        let socket = entry(&socket);
        let found = self.table.get_mut(&socket)?;
        let (io, address, whose) = match std::mem::replace(&mut found.phase, Phase::Failed) {
            Phase::Connected(Ok(io), address, Some(whose)) => (io, address, whose),
            Phase::Connected(Err(error), ..) => return Err(ErrorCode::from(error).into()),
            connecting @ Phase::Connecting(..) => {
                found.phase = connecting;
                return Err(ErrorCode::WouldBlock.into());
            }
            other => {
                found.phase = other;
                return Err(ErrorCode::NotInProgress.into());
            }
        };
        let shared = Shared::new(io, whose);
        found.phase = Phase::Open(shared.clone(), address);
        let clock = self.sockets.clock.clone();
        let input: DynInputStream = Box::new(Input {
            shared: shared.clone(),
            clock: clock.clone(),
        });
        let leave = 0;
        let output: DynOutputStream = Box::new(Output {
            shared,
            clock,
            leave,
        });
        let input = self.table.push_child(input, &socket)?;
        let output = self.table.push_child(output, &socket)?;
        Ok((input, output))
    }

    fn remote_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        match &self.table.get(&entry(&socket))?.phase {
            Phase::Open(_, address) => Ok((*address).into()),
            _ => Err(ErrorCode::InvalidState.into()),
        }
    }

    fn address_family(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self.table.get(&entry(&socket))?.family)
    }

    fn subscribe(
        &mut self,
        socket: Resource<TcpSocket>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(&mut self.table, entry(&socket))
    }

    fn shutdown(
        &mut self,
        socket: Resource<TcpSocket>,
        what: tcp::ShutdownType,
    ) -> SocketResult<()> {
        let Phase::Open(shared, _) = &self.table.get(&entry(&socket))?.phase else {
            return Err(ErrorCode::InvalidState.into());
        };
        let (receive, send) = match what {
            tcp::ShutdownType::Receive => (true, false),
            tcp::ShutdownType::Send => (false, true),
            tcp::ShutdownType::Both => (true, true),
        };
        shared.shut_down(receive, send);
        Ok(())
    }

    fn drop(&mut self, socket: Resource<TcpSocket>) -> wasmtime::Result<()> {
        self.table.delete(entry(&socket))?;
        Ok(())
    }

    async fn start_bind(
        &mut self,
        _: Resource<TcpSocket>,
        _: Resource<Network>,
        _: IpSocketAddress,
    ) -> SocketResult<()> {
        self.denied("an address to bind to")
    }

    fn finish_bind(&mut self, _: Resource<TcpSocket>) -> SocketResult<()> {
        Err(ErrorCode::NotInProgress.into())
    }

    async fn start_listen(&mut self, _: Resource<TcpSocket>) -> SocketResult<()> {
        self.denied("to listen")
    }

    fn finish_listen(&mut self, _: Resource<TcpSocket>) -> SocketResult<()> {
        Err(ErrorCode::NotInProgress.into())
    }

    fn accept(
        &mut self,
        _: Resource<TcpSocket>,
    ) -> SocketResult<(
        Resource<TcpSocket>,
        Resource<DynInputStream>,
        Resource<DynOutputStream>,
    )> {
        Err(ErrorCode::InvalidState.into())
    }

    fn local_address(&mut self, socket: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        self.unsupported(&socket)
    }

    fn is_listening(&mut self, _: Resource<TcpSocket>) -> wasmtime::Result<bool> {
        Ok(false)
    }

    fn set_listen_backlog_size(&mut self, socket: Resource<TcpSocket>, _: u64) -> SocketResult<()> {
        self.unsupported(&socket)
    }

    fn keep_alive_enabled(&mut self, socket: Resource<TcpSocket>) -> SocketResult<bool> {
        self.unsupported(&socket)
    }

    fn set_keep_alive_enabled(&mut self, socket: Resource<TcpSocket>, _: bool) -> SocketResult<()> {
        self.unsupported(&socket)
    }

    fn keep_alive_idle_time(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        self.unsupported(&socket)
    }

    fn set_keep_alive_idle_time(
        &mut self,
        socket: Resource<TcpSocket>,
        _: u64,
    ) -> SocketResult<()> {
        self.unsupported(&socket)
    }

    fn keep_alive_interval(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        self.unsupported(&socket)
    }

    fn set_keep_alive_interval(&mut self, socket: Resource<TcpSocket>, _: u64) -> SocketResult<()> {
        self.unsupported(&socket)
    }

    fn keep_alive_count(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u32> {
        self.unsupported(&socket)
    }

    fn set_keep_alive_count(&mut self, socket: Resource<TcpSocket>, _: u32) -> SocketResult<()> {
        self.unsupported(&socket)
    }

    fn hop_limit(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u8> {
        self.unsupported(&socket)
    }

    fn set_hop_limit(&mut self, socket: Resource<TcpSocket>, _: u8) -> SocketResult<()> {
        self.unsupported(&socket)
    }

    fn receive_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        self.unsupported(&socket)
    }

    fn set_receive_buffer_size(&mut self, socket: Resource<TcpSocket>, _: u64) -> SocketResult<()> {
        self.unsupported(&socket)
    }

    fn send_buffer_size(&mut self, socket: Resource<TcpSocket>) -> SocketResult<u64> {
        self.unsupported(&socket)
    }

    fn set_send_buffer_size(&mut self, socket: Resource<TcpSocket>, _: u64) -> SocketResult<()> {
        self.unsupported(&socket)
    }
}

#[async_trait::async_trait]
impl Pollable for Socket {
    async fn ready(&mut self) {
        if let Phase::Connecting(connecting, address, whose) = &mut self.phase {
            let connected = connecting.await;
            self.phase = Phase::Connected(connected, *address, whose.take());
        }
    }
}
