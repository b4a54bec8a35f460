//! Requests to one bucket.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::RANGE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use tokio::sync::Semaphore;
use tokio::time::{self, Instant};

use super::contact::Contact;
use super::settings::S3Settings;
use super::{answer, keys, tls};
use crate::blobs::BlobPath;
use crate::bounds::{CALL_DEADLINE, MAX_CONNECTIONS};
use crate::problem::Problem;

/// How long one attempt at a read may take, of which a call has room for two.
const ATTEMPT: Duration = Duration::from_millis(CALL_DEADLINE.as_millis() as u64 / 2);
/// Bytes of a range: so many are kept for each session whose client reads slowly, and so many
/// have to come within [`ATTEMPT`], also over a connection of some megabits per second.
pub(super) const MAX_RANGE_BYTES: usize = 256 << 10;
/// For a connection to be made; the rest of an attempt's time is for the answer.
const CONNECT: Duration = Duration::from_millis(1500);
/// How long a connection is kept that nobody uses: less than stores do.
const IDLE: Duration = Duration::from_secs(15);
/// How long a signature is good, and by how much clocks may differ.
const SIGNED: Duration = Duration::from_secs(300);
/// Bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 4096;

/// What a request brings along. If it cannot, it is dropped with the connection.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// One bucket, and connections to it.
pub(super) struct Client {
    bucket: Bucket,
    credentials: Credentials,
    prefix: String,
    pub(super) reads_back: bool,
    pool: Pool<HttpsConnector<HttpConnector>, Body>,
    /// Requests at once.
    pub(super) permits: std::sync::Arc<Semaphore>,
    contact: Contact,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "S3({}, {:?})", self.name(), self.prefix)
    }
}

/// Part of a blob, and octets of the whole.
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) total: u64,
}

impl Client {
    pub(super) fn new(settings: &S3Settings) -> Result<Self, Problem> {
        let endpoint = &settings.endpoint;
        let wrong = |what: &str| Problem::invalid(format!("S3 endpoint {endpoint:?}: {what}"));
        let url = endpoint.parse();
        let url =
            url.map_err(|_| wrong("no URL: https://HOST or https://HOST:PORT is possible"))?;
        let name = &settings.bucket;
        let is_name = |octet: u8| octet.is_ascii_alphanumeric() || b".-_".contains(&octet);
        if name.is_empty() || !name.bytes().all(is_name) || name.starts_with('.') {
            return Err(Problem::invalid(format!(
                "S3 bucket {name:?}: that is no name of one"
            )));
        }
        let region = settings.region.clone();
        let bucket = Bucket::new(url, UrlStyle::Path, name.clone(), region);
        let bucket = bucket.map_err(|_| wrong("https://HOST or https://HOST:PORT is possible"))?;
        let url = bucket.base_url();
        if endpoint.contains('@') {
            return Err(wrong(
                "leave out user and password: the credentials file has the key",
            ));
        }
        let is_here = url.host_str().is_some_and(|host| {
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        });
        if url.scheme() != "https" && !is_here {
            return Err(wrong(
                "mail would be readable on the way: http is for addresses of this machine, \
                 use https",
            ));
        }
        let prefix = settings.prefix.clone();
        if !prefix.is_empty() {
            let path = prefix.strip_suffix('/').unwrap_or(&prefix);
            BlobPath::new(path)?;
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let builder = HttpsConnectorBuilder::new();
        let config = match url.scheme() == "https" {
            true => tls::config(settings.authorities_file.as_deref())?,
            false => tls::without_authorities()?,
        };
        let connector = builder
            .with_tls_config(config)
            .https_or_http()
            .enable_http1();
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_CONNECTIONS)
            .build(connector.wrap_connector(tcp));
        Ok(Client {
            credentials: settings.credentials.0.clone(),
            prefix,
            bucket,
            reads_back: settings.reads_back,
            pool,
            permits: std::sync::Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            contact: Contact::default(),
        })
    }

    /// For messages: the bucket's URL.
    pub(super) fn name(&self) -> String {
        self.bucket.base_url().to_string()
    }

    /// Part of a blob: fewer octets than `length` only at its end. None: it is not there.
    /// A failure that another try may mend gets one, unless the store was away before.
    pub(super) async fn get(
        &self,
        path: &BlobPath,
        offset: u64,
        length: usize,
    ) -> Result<Option<Part>, Problem> {
        let was_away = self.contact.is_away();
        let once = || self.within(path, ATTEMPT, self.get_once(path, offset, length));
        match once().await {
            Err(Problem::Unavailable(_)) if !was_away => once().await,
            answered => answered,
        }
    }

    async fn get_once(
        &self,
        path: &BlobPath,
        offset: u64,
        length: usize,
    ) -> Result<Option<Part>, Problem> {
        // A range has at least one octet, and some stores take "0-0" for all of it: so it
        // has two. One that begins where no octet can be is answered as any other beyond
        // the end.
        let start = offset.min(i64::MAX as u64);
        let last = start
            .saturating_add((length as u64).max(2) - 1)
            .min(i64::MAX as u64);
        let request = self.request(Method::GET, path);
        let request = request.header(RANGE, format!("bytes={start}-{last}"));
        let mut answer = self.send(path, request, empty()).await?;
        let status = answer.status();
        match status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let total = answer::total(answer.headers());
                // Some do not say. Only a blob that has nothing has nothing from its
                // first octet on.
                let total = total.or((start == 0).then_some(0));
                let bytes = Bytes::new();
                return match total {
                    Some(total) => Ok(Some(Part { bytes, total })),
                    None => self.beyond(path, start).await.map(Some),
                };
            }
            status => {
                let code = answer::code(&error_body(&mut answer).await);
                return match answer::is_no_object(status, &code) {
                    true => Ok(None),
                    false => Err(self.refused(path, status, &code)),
                };
            }
        }
        let range = answer::range(status, answer.headers());
        if range.is_none() {
            // No range is possible of what has no octets: some say so in ways of their own.
            return self.beyond(path, start).await.map(Some);
        }
        let Some(range) = range.filter(|range| range.start == start) else {
            return Err(self.odd(path, "it does not tell the range that it was asked for"));
        };
        let asked = last - start + 1;
        let expected = asked.min(range.total - start);
        if range.length != expected {
            return Err(self.odd(path, "it tells another range than it was asked for"));
        }
        let mut bytes = BytesMut::with_capacity(expected as usize);
        while let Some(frame) = answer.body_mut().frame().await {
            let frame = frame.map_err(|error| self.broken(path, &error))?;
            if let Some(data) = frame.data_ref() {
                if (bytes.len() + data.len()) as u64 > expected {
                    return Err(self.odd(path, "it sends more octets than it says"));
                }
                bytes.extend_from_slice(data);
            }
        }
        if bytes.len() as u64 != expected {
            return Err(self.odd(path, "it sends fewer octets than it says"));
        }
        bytes.truncate(length);
        let total = range.total;
        Ok(Some(Part {
            bytes: bytes.freeze(),
            total,
        }))
    }

    /// A part beyond the end, from a store that does not say where that is.
    async fn beyond(&self, path: &BlobPath, start: u64) -> Result<Part, Problem> {
        let request = self.request(Method::HEAD, path);
        let answer = self.send(path, request, empty()).await?;
        let whole = answer::range(answer.status(), answer.headers());
        let whole = whole.filter(|_| answer.status() == StatusCode::OK);
        match whole.filter(|whole| whole.total <= start) {
            Some(whole) => Ok(Part {
                bytes: Bytes::new(),
                total: whole.total,
            }),
            None => Err(self.odd(path, "it does not tell how large it is")),
        }
    }

    pub(super) async fn delete(&self, path: &BlobPath) -> Result<(), Problem> {
        let delete = async {
            let request = self.request(Method::DELETE, path);
            let mut answer = self.send(path, request, empty()).await?;
            let status = answer.status();
            if status.is_success() {
                return Ok(());
            }
            let code = answer::code(&error_body(&mut answer).await);
            match answer::is_no_object(status, &code) {
                true => Ok(()),
                false => Err(self.refused(path, status, &code)),
            }
        };
        self.within(path, CALL_DEADLINE, delete).await
    }

    /// Writes a blob, whole. The caller bounds the time.
    pub(super) async fn put(
        &self,
        path: &BlobPath,
        octets: u64,
        body: Body,
    ) -> Result<(), Problem> {
        let request = self.request(Method::PUT, path);
        let request = request.header(http::header::CONTENT_LENGTH, octets);
        let mut answer = self.send(path, request, body).await?;
        let status = answer.status();
        if status == StatusCode::OK {
            self.contact.answered();
            return Ok(());
        }
        let code = answer::code(&error_body(&mut answer).await);
        Err(self.refused(path, status, &code))
    }

    /// For what takes as long as it takes: whether the store is back, if it was away.
    pub(super) async fn check_contact(&self, path: &BlobPath) -> Result<(), Problem> {
        if !self.contact.is_away() {
            return Ok(());
        }
        let request = self.request(Method::HEAD, path);
        let asking = async { self.send(path, request, empty()).await.map(drop) };
        self.within(path, ATTEMPT, asking).await
    }

    /// How many requests were answered so far, for [`Client::late`].
    pub(super) fn answers(&self) -> u64 {
        self.contact.answers()
    }

    /// A request took too long that began when so many were answered.
    pub(super) fn late(&self, path: &BlobPath, answers: u64, what: &str) -> Problem {
        self.contact.unanswered(answers);
        self.problem(path, what)
    }

    /// One of so many at once, within so much time; at once, if the store is away and another
    /// request is finding out whether it is back.
    async fn within<T>(
        &self,
        path: &BlobPath,
        deadline: Duration,
        work: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        const LATE: &str = "it does not answer in time";
        let Some(_leave) = self.contact.ask_leave() else {
            return Err(self.problem(path, "it did not answer a moment ago, and is being asked"));
        };
        let end = Instant::now() + deadline;
        // Before the wait: what is answered meanwhile says that the store is there, also where a
        // request gets its place so late that no time is left for an answer.
        let answers = self.answers();
        let permit = time::timeout_at(end, self.permits.acquire()).await;
        // That places are missing says nothing of the store.
        let _permit = permit.map_err(|_| self.problem(path, LATE))?;
        let worked = time::timeout_at(end, work).await;
        let worked = worked.map_err(|_| self.late(path, answers, LATE))?;
        if worked.is_ok() {
            self.contact.answered();
        }
        worked
    }

    fn request(&self, method: Method, path: &BlobPath) -> http::request::Builder {
        let key = keys::key(&self.prefix, path);
        let credentials = Some(&self.credentials);
        let url = match method {
            Method::PUT => self.bucket.put_object(credentials, &key).sign(SIGNED),
            Method::DELETE => self.bucket.delete_object(credentials, &key).sign(SIGNED),
            Method::HEAD => self.bucket.head_object(credentials, &key).sign(SIGNED),
            _ => self.bucket.get_object(credentials, &key).sign(SIGNED),
        };
        Request::builder().method(method).uri(String::from(url))
    }

    async fn send(
        &self,
        path: &BlobPath,
        request: http::request::Builder,
        body: Body,
    ) -> Result<Response<Incoming>, Problem> {
        let request = request.body(body);
        let request = request.map_err(|error| self.problem(path, &error.to_string()))?;
        let answers = self.answers();
        let answer = match self.pool.request(request).await {
            Ok(answer) => answer,
            Err(error) => {
                if error.is_connect() {
                    self.contact.unanswered(answers);
                }
                return Err(self.broken(path, &error));
            }
        };
        // What is a success is an answer when all of it is there.
        if !answer.status().is_success() {
            self.contact.answered();
        }
        Ok(answer)
    }

    /// The connection was not made, or broke. Its URL has a signature, and is not told.
    fn broken(&self, path: &BlobPath, error: &dyn Error) -> Problem {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        self.problem(path, &text)
    }

    fn refused(&self, path: &BlobPath, status: StatusCode, code: &str) -> Problem {
        let remedy = answer::remedy(status, code);
        self.problem(
            path,
            &format!("it answers {} {code}{remedy}", status.as_u16()),
        )
    }

    /// It answers, and the answer is none.
    fn odd(&self, path: &BlobPath, what: &str) -> Problem {
        self.contact.answered();
        self.problem(path, what)
    }

    pub(super) fn problem(&self, path: &BlobPath, what: &str) -> Problem {
        Problem::unavailable(format!("{}: blob {path:?}: {what}", self.name()))
    }
}

fn empty() -> Body {
    UnsyncBoxBody::new(Empty::new())
}

/// The first octets of an error's body, as far as they come.
async fn error_body(answer: &mut Response<Incoming>) -> Bytes {
    let mut body = BytesMut::new();
    while let Some(Ok(frame)) = answer.body_mut().frame().await {
        if let Some(data) = frame.data_ref() {
            let room = MAX_ERROR_BYTES.saturating_sub(body.len());
            body.extend_from_slice(&data[..room.min(data.len())]);
        }
        if body.len() >= MAX_ERROR_BYTES {
            break;
        }
    }
    body.freeze()
}
