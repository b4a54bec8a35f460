//! A process out of file descriptors says so to who comes, and goes on. A test of its own,
//! because the limit is the process's.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use restante_config::{Listener, ListenerTls, ServerLimits, TlsVersion, UserNames, Utf8};
use restante_roles::metrics::{GenerationMark, Metrics};
use restante_server::listener::{Bound, Front};
use restante_server::penalty::Backoff;
use restante_server::shutdown;
use restante_server::tenant::{Serving, SessionSettings, Tenants};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

const DESCRIPTORS: u64 = 64;

fn settings() -> SessionSettings {
    let second = Duration::from_secs(60);
    SessionSettings {
        protocol: Arc::default(),
        login_timeout: second,
        autologout: second,
        handshake_timeout: second,
        write_timeout: second,
        utf8: Utf8::Off,
        failure_delay: Backoff {
            first: second,
            longest: second,
            decay: second,
        },
        hostname: "test.example".into(),
        user_names: UserNames::default(),
        clock: restante_server::clock::Clock::at_start(),
    }
}

async fn greeting(stream: &mut BufReader<TcpStream>, patience: Duration) -> Option<String> {
    let mut line = String::new();
    timeout(patience, stream.read_line(&mut line))
        .await
        .ok()?
        .unwrap();
    Some(line)
}

#[tokio::test]
async fn who_comes_when_descriptors_are_gone_is_told_and_the_next_is_served() {
    let serving = Arc::new(Serving {
        tenants: Tenants::new(),
        tls: None,
        settings: settings(),
        generation: GenerationMark::default(),
        ending: shutdown::Ending::default(),

        recorder: None,
    });
    let listener = Listener {
        name: "l".into(),
        address: ([127, 0, 0, 1], 0).into(),
        tls: ListenerTls::Off,
        tls_minimum: TlsVersion::V1_2,
        proxy_protocol_from: Vec::new(),
    };
    let bound = Bound::all(&[listener], HashMap::new()).unwrap();
    let address = bound[0].address();
    let metrics = Metrics::new();
    let front = Front::new(
        &ServerLimits::default(),
        Arc::new(move || Arc::clone(&serving)),
        Arc::clone(&metrics),
        None,
    );
    let (_trigger, signal) = shutdown::channel();
    tokio::spawn(front.serve(bound, signal));

    let limit = Rlimit {
        current: Some(DESCRIPTORS),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    // A client takes one descriptor, and the server's side of it another. When there is no
    // other left the last ones are connected and not accepted, and hear it.
    let spare = File::open("/dev/null").unwrap();
    let mut clients = Vec::new();
    while let Ok(stream) = TcpStream::connect(address).await {
        clients.push(BufReader::new(stream));
    }
    assert!(clients.len() > 2, "{}", clients.len());
    let mut heard = Vec::new();
    for client in &mut clients {
        heard.push(greeting(client, Duration::from_secs(30)).await.unwrap());
    }
    if heard.iter().all(|line| line.starts_with("+OK ")) {
        // The last descriptor was the server's: now it is a client's.
        drop(spare);
        let mut last = BufReader::new(TcpStream::connect(address).await.unwrap());
        heard.push(greeting(&mut last, Duration::from_secs(30)).await.unwrap());
    }
    let is_refused = |line: &String| line.starts_with("-ERR [SYS/TEMP] ");
    let refused = heard.iter().filter(|line| is_refused(line)).count();
    let served = heard.iter().filter(|line| line.starts_with("+OK ")).count();
    assert_eq!(refused + served, heard.len(), "{heard:?}");
    assert!(refused > 0 && served > 0, "{heard:?}");
    assert!(metrics.status().without_descriptor >= refused as u64);
    assert_eq!(metrics.status().refused, refused as u64);

    // As soon as there are some again, who comes is served.
    clients.clear();
    let came_back = timeout(Duration::from_secs(30), async {
        loop {
            let mut client = BufReader::new(TcpStream::connect(address).await.unwrap());
            let line = greeting(&mut client, Duration::from_secs(30)).await;
            if line.is_some_and(|line| line.starts_with("+OK ")) {
                return;
            }
        }
    });
    came_back.await.unwrap();
}
