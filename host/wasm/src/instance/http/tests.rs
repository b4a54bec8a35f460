//! Requests against a server of the test's own, which says what no good server
//! would.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use std::time::Duration;

use super::*;
use parking_lot::Mutex;
use restante_config::{Grants, HttpOrigin};
use restante_roles::metrics::Ledger;
use restante_roles::work::thread_time;

/// A server that reads a request's header and answers with these octets, then
/// keeps the connection. Its port, and how many connections there were.
async fn server(answer: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut read = Vec::new();
                loop {
                    let mut octets = [0; 1024];
                    match stream.read(&mut octets).await {
                        Ok(0) | Err(_) => return,
                        Ok(count) => read.extend_from_slice(&octets[..count]),
                    }
                    if read.ends_with(b"\r\n\r\n") {
                        read.clear();
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (port, connections)
}

fn work() -> WorkRoom {
    WorkRoom::new(Ledger::new("t"))
}

fn grants(port: u16) -> Grants {
    Grants {
        http: vec![HttpOrigin::new("http", "127.0.0.1", Some(port)).unwrap()],
        ..Grants::default()
    }
}

/// An instance that is granted this port of this machine.
fn instance(port: u16, limits: &PluginLimits) -> Hooks {
    let mut http = Http::new(Client::new("p", &grants(port)).unwrap(), work());
    http.begin_call(limits);
    http.hooks
}

fn get(url: &str) -> Request<WasiBody> {
    let nothing = Empty::<Bytes>::new().map_err(|never| match never {});
    Request::get(url).body(nothing.boxed_unsync()).unwrap()
}

async fn ask(hooks: &Hooks, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
    hooks.exchange(request, RequestOptions::default())?.await
}

async fn body(answer: Response<WasiBody>) -> Result<Bytes, Error> {
    Ok(answer.into_body().collect().await?.to_bytes())
}

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test]
async fn only_granted_origins_are_asked() {
    let (port, connections) = server(HELLO).await;
    let hooks = instance(port, &PluginLimits::default());
    for url in [
        format!("https://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("http://127.0.0.2:{port}/"),
        format!("http://127.1:{port}/"),
        "http://127.0.0.1/".into(),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://127.0.0.1.:{port}/"),
    ] {
        let denied = ask(&hooks, get(&url)).await;
        assert!(matches!(denied, Err(Error::HttpRequestDenied)), "{url}");
    }
    // What looks like a granted one to those who read from the left.
    let masked = ask(&hooks, get(&format!("http://127.0.0.1:{port}@localhost/"))).await;
    assert!(matches!(masked, Err(Error::HttpRequestUriInvalid)));
    let mut tunnel = get(&format!("http://127.0.0.1:{port}/"));
    *tunnel.method_mut() = Method::CONNECT;
    let tunnel = ask(&hooks, tunnel).await;
    assert!(matches!(tunnel, Err(Error::HttpRequestMethodInvalid)));
    assert_eq!(connections.load(Ordering::Relaxed), 0);
    let nothing = Http::new(None, work()).hooks;
    let denied = ask(&nothing, get(&format!("http://127.0.0.1:{port}/"))).await;
    assert!(matches!(denied, Err(Error::HttpRequestDenied)));
    let answer = ask(&hooks, get(&format!("http://127.0.0.1:{port}/"))).await;
    assert_eq!(body(answer.unwrap()).await.unwrap(), "hello");
}

#[tokio::test]
async fn instances_share_connections() {
    let (port, connections) = server(HELLO).await;
    let client = Client::new("p", &grants(port)).unwrap();
    for _ in 0..5 {
        let mut http = Http::new(client.clone(), work());
        http.begin_call(&PluginLimits::default());
        let answer = ask(&http.hooks, get(&format!("http://127.0.0.1:{port}/"))).await;
        assert_eq!(body(answer.unwrap()).await.unwrap(), "hello");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_call_receives_so_many_octets() {
    let limits = PluginLimits {
        http_octets: 12,
        ..PluginLimits::default()
    };
    let (port, _) = server(HELLO).await;
    let hooks = instance(port, &limits);
    let url = format!("http://127.0.0.1:{port}/");
    for _ in 0..2 {
        assert!(body(ask(&hooks, get(&url)).await.unwrap()).await.is_ok());
    }
    // Two octets are left, and it says that it has five.
    let too_large = ask(&hooks, get(&url)).await;
    assert!(matches!(
        too_large,
        Err(Error::HttpResponseBodySize(Some(2)))
    ));
    // It does not say how many it has.
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n01234567\r\n8\r\n01234567\r\n0\r\n\r\n";
    let (port, _) = server(chunked).await;
    let hooks = instance(port, &limits);
    let answer = ask(&hooks, get(&format!("http://127.0.0.1:{port}/"))).await;
    let too_large = body(answer.unwrap()).await;
    assert!(matches!(too_large, Err(Error::HttpResponseBodySize(_))));
}

#[tokio::test]
async fn nobody_is_waited_for_longer_than_the_call_may_take() {
    let limits = PluginLimits {
        wall_time: Duration::from_millis(400),
        ..PluginLimits::default()
    };
    let started = Instant::now();
    let (silent, _) = server(b"").await;
    let hooks = instance(silent, &limits);
    let answer = ask(&hooks, get(&format!("http://127.0.0.1:{silent}/"))).await;
    assert!(matches!(answer, Err(Error::HttpResponseTimeout)));
    let (stalling, _) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel").await;
    let hooks = instance(stalling, &limits);
    let answer = ask(&hooks, get(&format!("http://127.0.0.1:{stalling}/"))).await;
    let cut = body(answer.unwrap()).await;
    assert!(matches!(cut, Err(Error::ConnectionReadTimeout)));
    assert!(started.elapsed() < Duration::from_secs(5));
    // The guest may be less patient than the host.
    let hooks = instance(silent, &PluginLimits::default());
    let options = RequestOptions {
        connect_timeout: Some(Duration::from_millis(50)),
        first_byte_timeout: Some(Duration::from_millis(50)),
        ..RequestOptions::default()
    };
    let request = get(&format!("http://127.0.0.1:{silent}/"));
    let answer = hooks.exchange(request, options).unwrap().await;
    assert!(matches!(answer, Err(Error::HttpResponseTimeout)));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_instance_has_so_many_requests_under_way() {
    let (port, _) = server(HELLO).await;
    let hooks = instance(port, &PluginLimits::default());
    let url = format!("http://127.0.0.1:{port}/");
    let mut answers = Vec::new();
    for _ in 0..REQUESTS {
        answers.push(ask(&hooks, get(&url)).await.unwrap());
    }
    let one_more = ask(&hooks, get(&url)).await;
    assert!(matches!(one_more, Err(Error::ConnectionLimitReached)));
    // An answer that was thrown away is no longer under way.
    answers.pop();
    assert!(ask(&hooks, get(&url)).await.is_ok());
}

#[tokio::test]
async fn what_is_no_answer_has_a_name() {
    let header = |octets: usize| -> &'static [u8] {
        let field = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(octets));
        field.into_bytes().leak()
    };
    for (answer, wanted) in [
        (
            b"SSH-2.0-OpenSSH\r\n\r\n" as &[u8],
            Error::HttpProtocolError,
        ),
        (header(200_000), Error::HttpResponseHeaderSectionSize(None)),
    ] {
        let (port, _) = server(answer).await;
        let hooks = instance(port, &PluginLimits::default());
        let error = ask(&hooks, get(&format!("http://127.0.0.1:{port}/"))).await;
        assert_eq!(
            error.err().map(|error| error.to_string()),
            Some(wanted.to_string())
        );
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let hooks = instance(port, &PluginLimits::default());
    let refused = ask(&hooks, get(&format!("http://127.0.0.1:{port}/"))).await;
    assert!(matches!(refused, Err(Error::ConnectionRefused)));
}

/// A body of so many octets in one piece, which takes this much of the processor to be had
/// and notes the tasks that looked whether it is at its end.
struct Costly {
    octets: usize,
    time: Duration,
    looked: Arc<Mutex<Vec<Option<tokio::task::Id>>>>,
}

impl Costly {
    fn new(octets: usize, time: Duration) -> Self {
        let looked = Arc::default();
        Costly {
            octets,
            time,
            looked,
        }
    }

    fn to(self, url: &str) -> Request<WasiBody> {
        Request::post(url).body(self.boxed_unsync()).unwrap()
    }
}

impl Body for Costly {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Error>>> {
        let began = thread_time();
        while thread_time() - began < self.time {
            std::hint::spin_loop();
        }
        let octets = std::mem::take(&mut self.octets);
        // The server answers what ends like this.
        let piece = |octets| [&vec![b'x'; octets - 4][..], b"\r\n\r\n"].concat();
        std::task::Poll::Ready((octets > 0).then(|| Ok(Frame::data(piece(octets).into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.looked.lock().push(tokio::task::try_id());
        self.octets == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[tokio::test]
async fn a_call_sends_so_many_octets() {
    let limits = PluginLimits {
        http_octets: 12,
        ..PluginLimits::default()
    };
    let (port, connections) = server(HELLO).await;
    let hooks = instance(port, &limits);
    let url = format!("http://127.0.0.1:{port}/");
    let declared = http_body_util::Full::<Bytes>::from(vec![b'x'; 13]);
    let declared = declared.map_err(|never| match never {}).boxed_unsync();
    let too_large = ask(&hooks, Request::post(&url).body(declared).unwrap()).await;
    assert!(matches!(
        too_large,
        Err(Error::HttpRequestBodySize(Some(12)))
    ));
    assert_eq!(connections.load(Ordering::Relaxed), 0, "nothing is sent");
    assert!(
        ask(&hooks, Costly::new(8, Duration::ZERO).to(&url))
            .await
            .is_ok()
    );
    // It does not say how many it has, and the call has sent eight already.
    let too_large = ask(&hooks, Costly::new(8, Duration::ZERO).to(&url)).await;
    assert!(matches!(
        too_large,
        Err(Error::HttpRequestBodySize(Some(4)))
    ));
    assert!(failure::words(&too_large.err().unwrap()).contains("http-octets"));
}

/// Two tenants over one connection of a plugin's, whose task the first one began.
#[tokio::test]
async fn what_a_connection_computes_is_charged_to_the_tenant_that_asks() {
    let (port, connections) = server(HELLO).await;
    let client = Client::new("p", &grants(port)).unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    let time = Duration::from_millis(50);
    let used = |ledger: &Arc<Ledger>| ledger.totals().guest_cpu_nanoseconds;
    let ledgers = [Ledger::new("a"), Ledger::new("b")];
    for ledger in &ledgers {
        let mut http = Http::new(client.clone(), WorkRoom::new(ledger.clone()));
        http.begin_call(&PluginLimits::default());
        let answer = ask(&http.hooks, Costly::new(8, time).to(&url)).await;
        assert!(body(answer.unwrap()).await.is_ok());
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    let [first, second] = ledgers.each_ref().map(used);
    let time = u64::try_from(time.as_nanos()).unwrap();
    assert!(first >= time && second >= time, "{first} {second}");
    assert!(first < 2 * time + time / 2, "not the other's: {first}");
}

/// What an empty body's connection is told its tenant by.
#[tokio::test]
async fn connection_looks_whether_a_body_is_empty_in_its_own_task() {
    let (port, _) = server(HELLO).await;
    let hooks = instance(port, &PluginLimits::default());
    let empty = Costly::new(0, Duration::ZERO);
    let looked = Arc::clone(&empty.looked);
    let answer = ask(&hooks, empty.to(&format!("http://127.0.0.1:{port}/"))).await;
    assert!(answer.is_ok());
    assert!(looked.lock().iter().any(Option::is_some));
}
