//! One plugin's HTTP client: its origins, its authorities, its idle connections.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{timeout, timeout_at};
use tower_service::Service;
use tracing::warn;
use wasmtime_wasi_http::{Error, WasiBody};

use super::answer::Answer;
use super::asker::{self, Tasks};
use super::call::{CONNECT, Call, Patience};
use super::failure;
use super::resolver::Resolver;
use crate::disk::authorities::{AuthorityError, client_config};
use restante_config::{Grants, HttpOrigin};

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);
/// Unused connections that are kept to one origin.
const IDLE_CONNECTIONS: usize = 8;
/// Octets of an answer's header.
const HEADER: usize = 64 << 10;
/// Fields in an answer's header.
const FIELDS: usize = 100;
/// Requests of all instances together that wait for an answer; more wait for their
/// turn. Each may hold a thread that looks up a name.
const AT_ONCE: usize = 64;
/// Origins that were asked for in vain and are remembered, so that each is logged
/// once.
const DENIED: usize = 16;
/// Characters of each.
const DENIED_CHARACTERS: usize = 300;

/// A plugin's HTTP client.
pub(crate) struct Client {
    plugin: Arc<str>,
    origins: Vec<HttpOrigin>,
    pool: Pool<Connector, WasiBody>,
    turns: Semaphore,
    /// What was asked for without a grant.
    denied: Mutex<HashSet<String>>,
}

impl Client {
    /// None: the plugin was granted no origin. Reads files.
    pub(crate) fn new(plugin: &str, grants: &Grants) -> Result<Option<Arc<Self>>, AuthorityError> {
        if grants.http.is_empty() {
            return Ok(None);
        }
        let needed = grants.http.iter().any(HttpOrigin::is_tls);
        let tls = client_config(needed, grants.http_authorities.as_deref())?;
        let mut tcp = HttpConnector::new_with_resolver(Resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let pool = Pool::builder(Tasks)
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(HEADER)
            .http1_max_headers(FIELDS)
            .build(Connector(connector));
        Ok(Some(Arc::new(Client {
            plugin: plugin.into(),
            origins: grants.http.clone(),
            pool,
            turns: Semaphore::new(AT_ONCE),
            denied: Mutex::default(),
        })))
    }

    /// The origin of a request, if it was granted. What was not is logged, each
    /// origin once.
    pub(super) fn granted(&self, uri: &Uri) -> Result<HttpOrigin, Error> {
        let scheme = uri.scheme_str().unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        let origin = HttpOrigin::new(scheme, host, uri.port_u16());
        if let Some(origin) = &origin
            && self.origins.contains(origin)
        {
            return Ok(origin.clone());
        }
        let asked = match origin {
            // Its host is as long as the guest likes.
            Some(origin) => origin.to_string().chars().take(DENIED_CHARACTERS).collect(),
            // A URI of the guest's own, which has no end of its own.
            None => "no origin at all".to_owned(),
        };
        // A text is in it or not.
        let mut denied = self.denied.lock();
        if denied.len() < DENIED && denied.insert(asked.clone()) {
            warn!(
                plugin = %self.plugin, origin = asked,
                "an HTTP request was denied: if it is meant to be, name the origin in `http` of the plugin's grants"
            );
        }
        Err(Error::HttpRequestDenied)
    }

    /// Sends a request to a granted origin; its answer's body keeps the `place`.
    pub(super) async fn send(
        self: Arc<Self>,
        origin: HttpOrigin,
        request: Request<WasiBody>,
        patience: Patience,
        call: Call,
        place: OwnedSemaphorePermit,
    ) -> Result<Response<WasiBody>, Error> {
        let asking = async {
            // First the tenant's, then the plugin's, which all its tenants share.
            let _tenants = match asker::who_asks() {
                Some(room) => room.request().await,
                None => None,
            };
            let _turn = self.turns.acquire().await;
            self.pool.request(request).await
        };
        let asked = timeout_at(patience.header, asking).await;
        let answer = match asked {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.failed(&origin, &failure::words(&error));
                return Err(failure::of(&error));
            }
            Err(_) => {
                self.failed(&origin, "no answer in time");
                return Err(Error::HttpResponseTimeout);
            }
        };
        let (header, body) = answer.into_parts();
        let body = Answer::new(body, patience.between, call, place);
        let body = body.inspect_err(|error| self.failed(&origin, &failure::words(error)))?;
        Ok(Response::from_parts(header, body.boxed_unsync()))
    }

    pub(super) fn failed(&self, origin: &HttpOrigin, cause: &str) {
        warn!(plugin = %self.plugin, %origin, cause, "an HTTP request failed");
    }
}

/// TCP and TLS, within a time.
#[derive(Clone)]
struct Connector(HttpsConnector<HttpConnector<Resolver>>);

impl Service<Uri> for Connector {
    type Response = <HttpsConnector<HttpConnector<Resolver>> as Service<Uri>>::Response;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.0.call(uri);
        Box::pin(async move {
            match timeout(CONNECT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        })
    }
}
