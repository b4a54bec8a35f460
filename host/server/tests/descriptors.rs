//! A process out of file descriptors waits and goes on. A test of its own,
//! because the limit is the process's.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use restante_config::{Listener, ListenerTls, ServerLimits, Utf8};
use restante_roles::metrics::{GenerationMark, Metrics};
use restante_server::listener::{Bound, Front};
use restante_server::penalty::Growth;
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
        failure_delay: Growth {
            first: second,
            longest: second,
            decay: second,
        },
        hostname: "test.example".into(),
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
async fn the_listener_survives_running_out_of_descriptors() {
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
        proxy_protocol_from: Vec::new(),
    };
    let bound = Bound::all(&[listener], HashMap::new()).unwrap();
    let address = bound[0].address();
    let front = Front::new(
        &ServerLimits::default(),
        Arc::new(move || Arc::clone(&serving)),
        Metrics::new(),
    );
    let (_trigger, signal) = shutdown::channel();
    tokio::spawn(front.serve(bound, signal));

    let limit = Rlimit {
        current: Some(DESCRIPTORS),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let spare = File::open("/dev/null").unwrap();
    let mut clients = Vec::new();
    while let Ok(stream) = TcpStream::connect(address).await {
        clients.push(BufReader::new(stream));
    }
    // The last one is connected and not accepted, or the next one is: a client
    // takes one descriptor, and the server's side of it another.
    let mut last = clients.pop().unwrap();
    if greeting(&mut last, Duration::from_secs(1)).await.is_some() {
        drop(spare);
        clients.push(last);
        last = BufReader::new(TcpStream::connect(address).await.unwrap());
    }
    assert_eq!(greeting(&mut last, Duration::from_secs(1)).await, None);
    clients.truncate(clients.len() / 2);
    let heard = greeting(&mut last, Duration::from_secs(30)).await;
    assert!(heard.unwrap().starts_with("+OK "));
}
