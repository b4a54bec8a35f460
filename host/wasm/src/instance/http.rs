//! `wasi:http`: requests to the origins that a plugin was granted, and to
//! nowhere else.
//!
//! What a guest may ask for is decided here, request by request; what carries it
//! is [`client`], one pool of connections for each plugin. Redirects are answers
//! like any other: the guest sees them, and the next request is judged again.

mod answer;
mod asker;
mod call;
mod client;
mod failure;
mod question;
mod resolver;

use std::sync::Arc;
use std::time::Duration;

use ::http::{Method, Request, Response};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::Instrument;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
};

pub(crate) use client::Client;

use call::{Allowance, Call, Patience};
use question::Question;

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
pub(crate) struct Http {
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

impl Http {
    /// What wasmtime's own implementation works with.
    pub(crate) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table,
            ctx: &mut self.context,
        }
    }

    pub(crate) fn new(client: Option<Arc<Client>>, work: WorkRoom) -> Self {
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
                    sent: Allowance::default(),
                    received: Allowance::default(),
                },
            },
        }
    }

    /// The call under way may take so much longer.
    pub(crate) fn postpone(&mut self, time: Duration) {
        self.hooks.call.deadline += time;
    }

    /// A new call begins, within these limits.
    pub(crate) fn begin_call(&mut self, limits: &PluginLimits) {
        let call = &mut self.hooks.call;
        call.deadline = Instant::now() + limits.wall_time / 4 * QUARTERS;
        call.sent.set(limits.http_octets);
        call.received.set(limits.http_octets);
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
        let (parts, body) = request.into_parts();
        let body = Question::new(body, call.sent.clone(), work.clone());
        let body = body.inspect_err(|error| client.failed(&origin, &failure::words(error)))?;
        let request = Request::from_parts(parts, body.boxed_unsync());
        let sent = client.send(origin, request, patience, call, place);
        Ok(asker::asking(work, sent))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
