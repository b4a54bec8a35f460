//! An object store that speaks S3's API, in this process, with the faults of others.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;

use crate::bucket::Bucket;

/// What the store does instead of what it should, to so many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers this, with this code.
    Answer(u16, &'static str),
    /// Closes the connection.
    Close,
    /// Never answers.
    Hang,
    /// Ends a body early, at half of what it said.
    Cut,
    /// Sends half of the range that was asked for, and says so.
    Short,
    /// Sends a range in pieces with pauses between, all of it.
    Slow,
    /// Sends all of an object, whatever range was asked for.
    IgnoreRange,
    /// Sends the range after the one that was asked for.
    WrongRange,
    /// Says "200" to what it does not keep.
    Lose,
    /// Keeps other octets.
    Corrupt,
    /// Does not say how large an object is when a range is beyond it.
    NoTotal,
    /// Tells a range of no octets in a way of its own when one is beyond the end.
    OddRange,
}

/// What is in the store: a bucket named "bucket", in a region named "garage", for whom has
/// the key [`CREDENTIALS`].
#[derive(Debug, Default)]
pub struct Store {
    /// By the path of their URL.
    pub objects: Mutex<HashMap<String, Bytes>>,
    faults: Mutex<Option<Faults>>,
    /// Paths of objects that nobody may remove.
    pub locked: Mutex<HashSet<String>>,
    /// Methods and paths of what was asked.
    pub requests: Mutex<Vec<String>>,
}

/// A fault, of how many requests, and after how many others.
#[derive(Debug, Clone, Copy)]
struct Faults {
    fault: Fault,
    left: u32,
    after: u32,
}

/// The text of a file with the key to a [`Store`].
pub const CREDENTIALS: &str = "aws_access_key_id = KEY\naws_secret_access_key = hidden\n";

/// A store with a thread of its own, for tests that are not asynchronous.
#[derive(Debug)]
pub struct ObjectStore {
    address: SocketAddr,
    store: Arc<Store>,
    /// Its end is the thread's.
    _running: oneshot::Sender<()>,
}

impl ObjectStore {
    /// Starts one, in the clear.
    pub fn start() -> ObjectStore {
        let (started, starting) = std::sync::mpsc::channel();
        let (running, ended) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(async {
                started.send(serve(None).await).unwrap();
                // The other end says nothing and is dropped.
                let _ = ended.await;
            });
        });
        let (address, store) = starting.recv().unwrap();
        ObjectStore {
            address,
            store,
            _running: running,
        }
    }

    /// Its bucket.
    pub fn bucket(&self) -> Bucket {
        Bucket {
            endpoint: format!("http://{}", self.address),
            credentials: CREDENTIALS,
            prefix: "mail/".to_owned(),
            authority: None,
        }
    }
}

impl Deref for ObjectStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The first half of a body, and then an error.
struct Half(Option<Bytes>);

impl hyper::body::Body for Half {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(match self.0.take() {
            Some(half) => Ok(Frame::data(half)),
            None => Err(std::io::Error::other("a fault")),
        }))
    }
}

/// A body in [`PIECES`] pieces, each after a [`PAUSE`].
struct Trickle {
    left: Bytes,
    piece: usize,
    pause: Pin<Box<Sleep>>,
}

/// Of a body that is slow.
const PIECES: usize = 8;
/// Before each of them.
const PAUSE: Duration = Duration::from_millis(20);

impl Trickle {
    fn new(all: Bytes) -> Trickle {
        Trickle {
            piece: all.len().div_ceil(PIECES),
            left: all,
            pause: Box::pin(sleep(PAUSE)),
        }
    }
}

impl hyper::body::Body for Trickle {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.pause.as_mut().poll(context));
        self.pause.set(sleep(PAUSE));
        let octets = self.piece.min(self.left.len());
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(octets)))))
    }
}

impl Store {
    /// Does this to the next requests, of this number.
    pub fn fail(&self, fault: Fault, times: u32) {
        self.fail_later(0, fault, times);
    }

    /// The same after so many others.
    pub fn fail_later(&self, after: u32, fault: Fault, times: u32) {
        let left = times;
        *self.faults.lock().unwrap() = Some(Faults { fault, left, after });
    }

    /// Does what it should from now on.
    pub fn recover(&self) {
        *self.faults.lock().unwrap() = None;
    }

    fn fault(&self) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let mut now = faults.take()?;
        if now.after > 0 {
            now.after -= 1;
            *faults = Some(now);
            return None;
        }
        if now.left > 1 {
            now.left -= 1;
            *faults = Some(now);
        }
        Some(now.fault)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
        let (parts, body) = request.into_parts();
        let key = parts.uri.path().to_owned();
        let query = parts.uri.query().unwrap_or_default();
        self.requests
            .lock()
            .unwrap()
            .push(format!("{} {key}", parts.method));
        let is_signed = query.contains("X-Amz-Credential=KEY%2F")
            && query.contains("%2Fgarage%2Fs3%2Faws4_request")
            && query.contains("X-Amz-Signature=");
        if !is_signed {
            return Ok(error(403, "AccessDenied"));
        }
        if !key.starts_with("/bucket/") {
            return Ok(error(404, "NoSuchBucket"));
        }
        let fault = self.fault();
        match fault {
            Some(Fault::Answer(status, code)) => return Ok(error(status, code)),
            Some(Fault::Close) => return Err(std::io::Error::other("a fault")),
            Some(Fault::Hang) => std::future::pending().await,
            _ => {}
        }
        match parts.method {
            Method::PUT => {
                let body = body.collect().await.map_err(std::io::Error::other)?;
                let mut body = body.to_bytes();
                if fault == Some(Fault::Corrupt) {
                    let mut other = body.to_vec();
                    other[0] ^= 1;
                    body = other.into();
                }
                if fault != Some(Fault::Lose) {
                    self.objects.lock().unwrap().insert(key, body);
                }
                Ok(Response::new(full(Bytes::new())))
            }
            Method::DELETE if self.locked.lock().unwrap().contains(&key) => {
                Ok(error(403, "AccessDenied"))
            }
            Method::DELETE => {
                self.objects.lock().unwrap().remove(&key);
                let mut answer = Response::new(full(Bytes::new()));
                *answer.status_mut() = StatusCode::NO_CONTENT;
                Ok(answer)
            }
            _ => {
                let object = self.objects.lock().unwrap().get(&key).cloned();
                let range = parts
                    .headers
                    .get("range")
                    .map(|range| range.to_str().unwrap());
                Ok(match object {
                    Some(object) => get(object, range, fault),
                    None => error(404, "NoSuchKey"),
                })
            }
        }
    }
}

fn get(object: Bytes, range: Option<&str>, fault: Option<Fault>) -> Response<Body> {
    let total = object.len();
    let range = range.filter(|_| fault != Some(Fault::IgnoreRange));
    let Some(range) = range else {
        return Response::new(full(object));
    };
    let (first, last) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let (mut first, mut last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    if fault == Some(Fault::WrongRange) {
        (first, last) = (first + 1, last + 1);
    }
    if first >= total && fault == Some(Fault::OddRange) {
        let range = format!("bytes {first}-{}/{total}", first as i64 - 1);
        return Response::builder()
            .status(206)
            .header("content-range", range)
            .header("content-length", 0)
            .body(full(Bytes::new()))
            .unwrap();
    }
    if first >= total {
        let mut answer = error(416, "InvalidRange");
        if fault != Some(Fault::NoTotal) {
            let total = format!("bytes */{total}");
            answer
                .headers_mut()
                .insert("content-range", total.parse().unwrap());
        }
        return answer;
    }
    let mut last = last.min(total - 1);
    if fault == Some(Fault::Short) {
        last = first + (last - first) / 2;
    }
    let part = object.slice(first..=last);
    let length = part.len();
    let body = match fault {
        Some(Fault::Cut) => UnsyncBoxBody::new(Half(Some(part.slice(..length / 2)))),
        Some(Fault::Slow) => UnsyncBoxBody::new(Trickle::new(part)),
        _ => full(part),
    };
    Response::builder()
        .status(206)
        .header("content-range", format!("bytes {first}-{last}/{total}"))
        .header("content-length", length)
        .body(body)
        .unwrap()
}

fn full(bytes: Bytes) -> Body {
    UnsyncBoxBody::new(Full::new(bytes).map_err(|never: Infallible| match never {}))
}

fn error(status: u16, code: &str) -> Response<Body> {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
    let mut answer = Response::new(full(body.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// Serves until the runtime ends.
pub async fn serve(tls: Option<TlsAcceptor>) -> (SocketAddr, Arc<Store>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = Arc::new(Store::default());
    let kept = store.clone();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(socket, tls.clone(), store.clone()));
        }
    });
    (address, kept)
}

async fn connection(socket: TcpStream, tls: Option<TlsAcceptor>, store: Arc<Store>) {
    socket.set_nodelay(true).unwrap();
    let service = service_fn(move |request| {
        let store = store.clone();
        async move { store.answer(request).await }
    });
    let http = hyper::server::conn::http1::Builder::new();
    // What becomes of a connection shows at its other end.
    let _ = match tls {
        None => http.serve_connection(TokioIo::new(socket), service).await,
        Some(tls) => match tls.accept(socket).await {
            Ok(socket) => http.serve_connection(TokioIo::new(socket), service).await,
            Err(_) => Ok(()),
        },
    };
}
