//! `wasi:http`: requests to the origins that a plugin was granted, and to
//! nowhere else.
//!
//! What a guest may ask for is decided here, request by request; what carries it
//! is [`client`], one pool of connections for each plugin. Redirects are answers
//! like any other: the guest sees them, and the next request is judged again.

mod answer;
mod client;
mod failure;
mod resolver;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::http::{Method, Request, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Instrument;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

pub(super) use client::Client;

use super::state::State;
use restante_config::PluginLimits;
use restante_roles::work::WorkRoom;

/// Requests that one instance may have under way.
const REQUESTS: usize = 4;
/// Octets of the header fields of a request, as they lie in memory.
const REQUEST_FIELDS: usize = 64 << 10;
/// Octets of a request's body that one write hands over.
const REQUEST_CHUNK: usize = 64 << 10;
/// Part of a call's wall-time that its requests may take, in quarters: the rest
/// is left to the guest, which can then still say what went wrong.
const QUARTERS: u32 = 3;

/// One instance's way out.
pub(super) struct Http {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    /// None: nothing was granted.
    client: Option<Arc<Client>>,
    places: Arc<Semaphore>,
    call: Call,
    work: WorkRoom,
}

/// What the requests of one call from outside share.
#[derive(Clone)]
struct Call {
    deadline: Instant,
    /// Octets of answers that may still come.
    octets: Arc<AtomicU64>,
}

impl Call {
    /// Takes octets out of what may still come. False: it is too much.
    fn take(&self, octets: u64) -> bool {
        let less = |left: u64| left.checked_sub(octets);
        let taken = self
            .octets
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok()
    }

    fn left(&self) -> u64 {
        self.octets.load(Ordering::Relaxed)
    }
}

impl Http {
    pub(super) fn new(client: Option<Arc<Client>>, work: WorkRoom) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(REQUEST_FIELDS);
        Http {
            context,
            hooks: Hooks {
                client,
                work,
                places: Arc::new(Semaphore::new(REQUESTS)),
                call: Call {
                    deadline: Instant::now(),
                    octets: Arc::default(),
                },
            },
        }
    }

    /// A new call begins, within these limits.
    pub(super) fn begin_call(&mut self, limits: &PluginLimits) {
        let call = &mut self.hooks.call;
        call.deadline = Instant::now() + limits.wall_time / 4 * QUARTERS;
        call.octets.store(limits.http_octets, Ordering::Relaxed);
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.http.hooks,
            table: &mut self.table,
            ctx: &mut self.http.context,
        }
    }
}

type Sent = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let exchange = self.exchange(request, options.unwrap_or_default());
        // It runs in a task of its own; its log lines are this session's.
        let exchange = async move {
            let answer = exchange?.await?;
            // The pool itself drives the connection.
            let driven: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(async { Ok(()) });
            Ok::<Sent, Error>((answer, driven))
        };
        Box::new(exchange.in_current_span())
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        REQUEST_CHUNK
    }
}

impl Hooks {
    /// What carries the request, if the guest may send it.
    fn exchange(
        &self,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<impl Future<Output = Result<Response<WasiBody>, Error>> + Send + use<>, Error> {
        let client = self.client.clone().ok_or(Error::HttpRequestDenied)?;
        let uri = request.uri();
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        if authority.as_str().contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        // A tunnel would lead anywhere.
        if *request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let origin = client.granted(uri)?;
        let places = self.places.clone();
        let place = places
            .try_acquire_owned()
            .map_err(|_| Error::ConnectionLimitReached)?;
        let patience = Patience::new(&options, &self.call);
        let work = self.work.clone();
        let call = self.call.clone();
        let sent = client.send(origin, request, patience, call, place);
        Ok(resolver::asking(work, sent))
    }
}

/// How long is waited for what.
#[derive(Clone, Copy)]
struct Patience {
    /// Until the answer's header is there.
    header: Instant,
    /// Between two parts of its body.
    between: Duration,
}

impl Patience {
    /// From the request to the header of its answer, at most.
    const HEADER: Duration = Duration::from_secs(15);
    /// Between two parts of the body, at most.
    const BETWEEN: Duration = Duration::from_secs(10);

    /// What the guest wants, within the host's bounds and the call's.
    fn new(options: &RequestOptions, call: &Call) -> Self {
        let longest = |option: Option<Duration>| option.unwrap_or(Self::HEADER).min(Self::HEADER);
        let header = longest(options.connect_timeout) + longest(options.first_byte_timeout);
        let header = Instant::now() + header.min(Self::HEADER);
        let between = options.between_bytes_timeout.unwrap_or(Self::BETWEEN);
        Patience {
            header: header.min(call.deadline),
            between: between.min(Self::BETWEEN),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
