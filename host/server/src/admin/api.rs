//! What the admin address answers: paths, methods, and JSON.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::guard::Guard;
use super::operated::{Admin, Reloaded};
use super::trust::{TooManyTrusted, Trust};
use crate::nodes::SessionElsewhere;
use crate::sessions::{Seen, State, Which};
use restante_config::{Problem, Problems};
use restante_roles::metrics::{self, Current, LoginResult, Totals};
use restante_roles::throttle::Complaints;

impl From<TooManyTrusted> for Answer {
    fn from(TooManyTrusted: TooManyTrusted) -> Self {
        let what = "too many requests are being answered already: try again in a moment";
        words(StatusCode::SERVICE_UNAVAILABLE, what)
    }
}

/// Octets of a request's body.
const BODY_OCTETS: usize = 4096;

/// For a client to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The query that asks for this server's sessions alone.
const HERE: &str = "here";

/// Reloads that may wait for one another; more are refused.
pub(super) const RELOADS: usize = 4;

/// The operator's side with its guard.
pub(super) struct Site {
    pub(super) admin: Arc<Admin>,
    pub(super) guard: Guard,
    pub(super) complaints: Complaints,
    pub(super) reloads: Arc<Semaphore>,
}

type Answer = Response<Full<Bytes>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Health,
    Ready,
    Metrics,
    Status,
    Sessions,
    Tenants,
    Reload,
    Kick,
    FlushCache,
}

impl Endpoint {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/healthz" => Endpoint::Health,
            "/readyz" => Endpoint::Ready,
            "/metrics" => Endpoint::Metrics,
            "/status" => Endpoint::Status,
            "/sessions" => Endpoint::Sessions,
            "/tenants" => Endpoint::Tenants,
            "/reload" => Endpoint::Reload,
            "/kick" => Endpoint::Kick,
            "/flush-cache" => Endpoint::FlushCache,
            _ => return None,
        })
    }

    fn takes(self, method: &Method) -> bool {
        match self {
            Endpoint::Reload | Endpoint::Kick | Endpoint::FlushCache => *method == Method::POST,
            _ => *method == Method::GET || *method == Method::HEAD,
        }
    }

    /// Says nothing that a stranger may not know.
    fn is_open(self) -> bool {
        matches!(self, Endpoint::Health | Endpoint::Ready)
    }
}

/// Whom to disconnect: exactly one session, or a user's, or a tenant's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kick {
    session: Option<String>,
    user: Option<String>,
    tenant: Option<String>,
    /// Of this server alone; None: of all that share holds.
    node: Option<String>,
}

impl Kick {
    fn which(&self) -> Option<Which> {
        let Kick {
            session,
            user,
            tenant,
            node: _,
        } = self;
        match (session, user, tenant) {
            (Some(id), None, None) => Some(Which::Session(id.clone())),
            (None, Some(user), tenant) => Some(Which::User(user.clone(), tenant.clone())),
            (None, None, Some(tenant)) => Some(Which::Tenant(tenant.clone())),
            _ => None,
        }
    }
}

/// A session of this server.
#[derive(Serialize)]
struct SessionHere<'a> {
    node: Option<&'a str>,
    #[serde(flatten)]
    seen: Seen,
}

/// A session of another one, of which less is known.
#[derive(Serialize)]
struct SessionThere {
    #[serde(flatten)]
    told: SessionElsewhere,
    state: State,
    seconds: u64,
    octets: Option<u64>,
    generation: Option<u64>,
}

impl SessionThere {
    fn new(told: SessionElsewhere, now: u64) -> Self {
        SessionThere {
            seconds: now.saturating_sub(told.since),
            told,
            state: State::Transaction,
            octets: None,
            generation: None,
        }
    }
}

impl Site {
    /// Answers a request, whatever it is; `trust` is given to whom it is due.
    pub(super) async fn answer(&self, request: Request<Incoming>, trust: &Trust) -> Answer {
        let header = request.headers();
        if !self.guard.is_meant(header) {
            self.complain("a request to the admin address was for another host");
            return words(
                StatusCode::MISDIRECTED_REQUEST,
                "the Host is not this machine: say localhost or a loopback address",
            );
        }
        let endpoint = Endpoint::of(request.uri().path());
        let is_here = request.uri().query() == Some(HERE);
        let is_open = endpoint.is_some_and(Endpoint::is_open);
        if !is_open && !self.guard.knows(header) {
            self.complain("a request to the admin address did not show the token");
            let mut answer = words(
                StatusCode::UNAUTHORIZED,
                "show the token: Authorization: Bearer TOKEN",
            );
            let scheme = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, scheme);
            return answer;
        }
        let Some(endpoint) = endpoint else {
            return words(StatusCode::NOT_FOUND, "there is nothing at this path");
        };
        if !endpoint.takes(request.method()) {
            let allowed = match endpoint.takes(&Method::POST) {
                true => "POST",
                false => "GET, HEAD",
            };
            let mut answer = words(
                StatusCode::METHOD_NOT_ALLOWED,
                &format!("this path takes {allowed}"),
            );
            let allowed = HeaderValue::from_static(allowed);
            answer.headers_mut().insert(ALLOW, allowed);
            return answer;
        }
        let body = match self.body(request, trust).await {
            Ok(body) => body,
            Err(answer) => return answer,
        };
        match endpoint {
            Endpoint::Health => text("ok\n".into()),
            Endpoint::Ready => self.ready(),
            Endpoint::Metrics => self.metrics(),
            Endpoint::Status => self.status(),
            Endpoint::Sessions => self.sessions(is_here).await,
            Endpoint::Tenants => self.tenants(),
            Endpoint::Reload => self.reload().await,
            Endpoint::Kick => self.kick(&body).await,
            Endpoint::FlushCache => self.flush_cache(),
        }
    }

    /// The request's body. Who has shown the token has a place until it is answered; who
    /// needs none, from when the request is whole.
    async fn body(&self, request: Request<Incoming>, trust: &Trust) -> Result<Bytes, Answer> {
        let knows = self.guard.knows(request.headers());
        let has_token = self.guard.token.is_some();
        if knows && has_token {
            trust.give()?;
        }
        let body = Limited::new(request.into_body(), BODY_OCTETS);
        let body = match timeout(BODY_TIMEOUT, body.collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(words(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    &format!("a body has at most {BODY_OCTETS} octets"),
                ));
            }
            _ => return Err(words(StatusCode::BAD_REQUEST, "the body did not arrive")),
        };
        if knows && !has_token {
            trust.give()?;
        }
        Ok(body)
    }

    fn complain(&self, what: &str) {
        if let Some(left_out) = self.complaints.line() {
            warn!(left_out, "{what}");
        }
    }

    fn is_ready(&self) -> bool {
        !self.admin.shutdown.has_begun()
    }

    fn ready(&self) -> Answer {
        let serving = (self.admin.serving)();
        // Who asks may be a stranger: names are not for him.
        let (out, all) = (serving.tenants.out().len(), serving.tenants.iter().count());
        match self.is_ready() {
            true if out > 0 => text(format!("ready, but {out} of {all} tenants are out\n")),
            true => text("ready\n".into()),
            false => words(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"),
        }
    }

    fn metrics(&self) -> Answer {
        let open = self.admin.sessions.count() as u64;
        let serving = (self.admin.serving)();
        let current = Current {
            generation: serving.generation.number(),
            tenants: serving.tenants.iter().count() as u64,
            tenants_out: serving.tenants.out().len() as u64,
        };
        match self.admin.metrics.exposition(open, current) {
            Ok(exposition) => {
                let mut answer = text(exposition);
                let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
                answer.headers_mut().insert(CONTENT_TYPE, kind);
                answer
            }
            Err(error) => {
                error!(%error, "metrics cannot be written");
                words(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "metrics cannot be written",
                )
            }
        }
    }

    fn status(&self) -> Answer {
        let Admin {
            metrics,
            sessions,
            serving,
            ..
        } = &*self.admin;
        let status = metrics.status();
        let serving = serving();
        let logged_in: u64 = metrics.tenants().iter().map(|(_, of)| of.sessions).sum();
        let started = status.started_at.duration_since(SystemTime::UNIX_EPOCH);
        let body = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
            "ready": self.is_ready(),
            "started": started.unwrap_or_default().as_secs(),
            "uptime_seconds": status.uptime_seconds,
            "generation": serving.generation.number(),
            "generations": status.generations,
            "reloads": status.reloads,
            "failed_reloads": status.failed_reloads,
            "tenants": serving.tenants.iter().count(),
            "tenants_unavailable": serving.tenants.out(),
            "connections": sessions.count(),
            "connections_total": status.connections,
            "connections_refused": status.refused,
            "sessions": logged_in,
            "instances": status.instances,
            "instances_limit": status.most_instances,
            "guest_memory_octets": status.guest_memory_octets,
            "resident_octets": status.resident_octets,
        });
        json_answer(StatusCode::OK, &body)
    }

    fn tenants(&self) -> Answer {
        let tenants = self.admin.metrics.tenants();
        let serving = (self.admin.serving)();
        let rows: Vec<_> = tenants
            .iter()
            .map(|(tenant, totals)| TenantRow {
                tenant,
                problems: (serving.tenants.named(tenant))
                    .map(|tenant| tenant.out.iter().map(problem).collect())
                    .unwrap_or_default(),
                totals,
                logins: LoginResult::ALL
                    .into_iter()
                    .map(|result| (result.name().to_owned(), totals.logins(result).into()))
                    .collect(),
            })
            .collect();
        json_answer(StatusCode::OK, &json!({ "tenants": rows }))
    }

    /// Seen through even if the client does not wait for it.
    async fn reload(&self) -> Answer {
        let Ok(place) = Arc::clone(&self.reloads).try_acquire_owned() else {
            return words(
                StatusCode::TOO_MANY_REQUESTS,
                "enough reloads are waiting already",
            );
        };
        let reload = Arc::clone(&self.admin.reload);
        info!("a reload was asked for at the admin address");
        let reloading = tokio::spawn(async move {
            let reloaded = reload.reload().await;
            drop(place);
            reloaded
        });
        match reloading.await {
            Ok(Ok(reloaded)) => json_answer(StatusCode::OK, &done(&reloaded)),
            Ok(Err(Problems(problems))) => {
                let problems: Vec<Value> = problems.iter().map(problem).collect();
                let body = json!({
                    "error": "nothing reloaded, keeping the current configuration",
                    "problems": problems,
                });
                json_answer(StatusCode::UNPROCESSABLE_ENTITY, &body)
            }
            Err(error) => {
                error!(%error, "the reload panicked: this is a defect of the server");
                words(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the reload failed: the log says why",
                )
            }
        }
    }

    fn flush_cache(&self) -> Answer {
        let forgotten = self.admin.reload.flush_caches();
        info!(answers = forgotten, "an operator had the caches flushed");
        json_answer(StatusCode::OK, &json!({ "answers": forgotten }))
    }

    /// Those of this server, and unless it is asked for them alone, of the others.
    async fn sessions(&self, is_here: bool) -> Answer {
        let node = self.admin.node.as_deref();
        let here = self.admin.sessions.list().into_iter();
        let here = here.map(|seen| json!(SessionHere { node, seen }));
        let mut sessions: Vec<Value> = here.collect();
        let mut problem = None;
        if let Some(others) = self.admin.others.as_ref().filter(|_| !is_here) {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let now = now.unwrap_or_default().as_secs();
            match others.sessions().await {
                Ok(there) => {
                    let there = there.into_iter();
                    sessions.extend(there.map(|told| json!(SessionThere::new(told, now))));
                }
                Err(why) => problem = Some(why),
            }
        }
        let body = json!({ "node": node, "sessions": sessions, "problem": problem });
        json_answer(StatusCode::OK, &body)
    }

    async fn kick(&self, body: &[u8]) -> Answer {
        let kick = serde_json::from_slice::<Kick>(body).ok();
        let Some((kick, which)) = kick.and_then(|kick| {
            let which = kick.which()?;
            Some((kick, which))
        }) else {
            return words(
                StatusCode::BAD_REQUEST,
                r#"say {"session": ID}, {"user": NAME}, {"user": NAME, "tenant": NAME} or {"tenant": NAME}, each with "node": NAME for one server"#,
            );
        };
        let Admin { node, others, .. } = &*self.admin;
        let is_here = kick.node.is_some() && kick.node == *node;
        if others.is_none() && kick.node.is_some() && !is_here {
            return words(
                StatusCode::BAD_REQUEST,
                "this server has another name, and shares holds with no others: ask the one that you mean",
            );
        }
        let kicked = match kick.node.is_none() || is_here {
            true => self.admin.sessions.kick(&which),
            false => Vec::new(),
        };
        // A session is on one server.
        let is_found = matches!(which, Which::Session(_)) && !kicked.is_empty();
        let others = others.as_ref().filter(|_| !is_here && !is_found);
        let asked = match others {
            Some(others) => others.end(&which, kick.node.as_deref()).await,
            None => Ok(Vec::new()),
        };
        let (asked, problem) = match asked {
            Ok(asked) => (asked, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        info!(
            sessions = kicked.len(),
            elsewhere = asked.len(),
            problem,
            ?which,
            "sessions are ended by an operator"
        );
        let within = others.map(|others| others.hears_within().as_secs());
        let body = json!({
            "kicked": kicked,
            "asked": asked,
            "within_seconds": within,
            "problem": problem,
        });
        json_answer(StatusCode::OK, &body)
    }
}

#[derive(Serialize)]
struct TenantRow<'a> {
    tenant: &'a str,
    /// Why it serves nobody; none where it does.
    problems: Vec<Value>,
    #[serde(flatten)]
    totals: &'a Totals,
    logins: Map<String, Value>,
}

fn done(reloaded: &Reloaded) -> Value {
    json!({
        "generation": reloaded.generation,
        "tenants": reloaded.tenants,
        "plugins": reloaded.plugins,
        "milliseconds": u64::try_from(reloaded.took.as_millis()).unwrap_or(u64::MAX),
        "warnings": reloaded.warnings.iter().map(problem).collect::<Vec<_>>(),
        "restart": reloaded.restart,
    })
}

fn problem(problem: &Problem) -> Value {
    json!({
        "file": problem.file.to_string_lossy(),
        "line": problem.place.map(|place| place.line),
        "column": problem.place.map(|place| place.column),
        "what": problem.what(),
        "mend": problem.mend(),
    })
}

fn text(text: String) -> Answer {
    answer(StatusCode::OK, "text/plain; charset=utf-8", text)
}

/// Why something is not done.
fn words(status: StatusCode, words: &str) -> Answer {
    json_answer(status, &json!({ "error": words }))
}

fn json_answer(status: StatusCode, body: &Value) -> Answer {
    answer(status, "application/json", format!("{body}\n"))
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let header = answer.headers_mut();
    header.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    header.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
