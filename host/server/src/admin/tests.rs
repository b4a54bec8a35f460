//! Who keeps a place at the admin address, over pipes.

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::sessions::Sessions;
use crate::shutdown::{self, Ending};
use crate::tenant::{Serving, SessionSettings, Tenants, mock_credentials};
use restante_config::Config;
use restante_config::Problems;
use restante_roles::metrics::GenerationMark;
use restante_roles::metrics::Metrics;

const TOKEN: &str = "correct-horse-battery-staple";

struct NoReload;

#[async_trait]
impl Reload for NoReload {
    async fn reload(&self) -> Result<Reloaded, Problems> {
        Err(Problems(Vec::new()))
    }

    fn flush_caches(&self) -> usize {
        0
    }
}

/// An admin address on a port, or a socket, where there is no token.
fn hall(has_token: bool) -> AdminSlots {
    let text = "[listener.l]\naddress = \"127.0.0.1:0\"\ntls = \"off\"\n\
                [plugin.p]\ncomponent = \"builtin:p\"\n\
                [tenant.t]\nauthenticators = [\"p\"]\nstore = \"p\"\n";
    let config = Config::parse(text, Path::new("test.toml"), Path::new("/")).unwrap();
    let mock_credentials = mock_credentials(&config.server, [7; 32]);
    let serving = Arc::new(Serving {
        tenants: Tenants::new(),
        tls: None,
        settings: SessionSettings::new(&config.server, &config.tenants, mock_credentials),
        generation: GenerationMark::default(),
        ending: Ending::default(),
        recorder: None,
    });
    let (_, signal) = shutdown::channel();
    let admin = Admin {
        metrics: Metrics::new(),
        sessions: Sessions::new(),
        serving: Arc::new(move || Arc::clone(&serving)),
        reload: Arc::new(NoReload),
        shutdown: signal,
        node: None,
        others: None,
    };
    let token = has_token.then(|| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), TOKEN).unwrap();
        Token::read(file.path()).unwrap()
    });
    AdminSlots {
        site: Arc::new(api::Site {
            admin: Arc::new(admin),
            guard: guard::Guard {
                token,
                is_tcp: has_token,
            },
            complaints: Complaints::default(),
            reloads: Arc::new(Semaphore::new(api::RELOADS)),
        }),
        untrusted: EvictingSlots::new(UNTRUSTED),
        trusted: Arc::new(Semaphore::new(TRUSTED)),
        spares: Spares::new(0),
    }
}

/// A client that has said this so far, and was heard.
async fn say(hall: &AdminSlots, words: &str) -> DuplexStream {
    let (mut near, far) = duplex(64 * 1024);
    near.write_all(words.as_bytes()).await.unwrap();
    hall.take_in(Box::new(far));
    tokio::task::yield_now().await;
    near
}

/// All that comes until the end.
async fn answer(mut client: DuplexStream) -> String {
    let mut answer = String::new();
    let read = client.read_to_string(&mut answer);
    timeout(Duration::from_secs(60), read)
        .await
        .unwrap()
        .unwrap();
    answer
}

fn request(line: &str, token: bool, octets: usize) -> String {
    let token = match token {
        true => format!("Authorization: Bearer {TOKEN}\r\n"),
        false => String::new(),
    };
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: {octets}\r\n\r\n")
}

#[tokio::test(start_paused = true)]
async fn the_oldest_without_the_token_makes_room_and_who_has_it_keeps_its_place() {
    let hall = hall(true);
    let body = r#"{"user": "nobody"}"#;
    let mut known = say(&hall, &request("POST /kick", true, body.len())).await;
    let mut silent = Vec::new();
    for number in 0..3 * UNTRUSTED {
        let half = request("GET /status", false, 0);
        let words = [&half[..half.len() - 2], "", "GET "][number % 3];
        silent.push(say(&hall, words).await);
    }
    assert!(answer(silent.remove(0)).await.is_empty());
    assert_eq!(hall.untrusted.waiting(), UNTRUSTED);
    let asked = say(&hall, &request("GET /status", true, 0)).await;
    assert!(answer(asked).await.starts_with("HTTP/1.1 200 "));
    let stranger = say(&hall, &request("GET /healthz", false, 0)).await;
    assert!(answer(stranger).await.starts_with("HTTP/1.1 200 "));
    known.write_all(body.as_bytes()).await.unwrap();
    assert!(answer(known).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(hall.trusted.available_permits(), TRUSTED);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_token_a_request_counts_when_it_is_whole() {
    let hall = hall(false);
    let half = say(&hall, &request("POST /kick", false, 20)).await;
    let mut silent = Vec::new();
    for _ in 0..UNTRUSTED {
        silent.push(say(&hall, "").await);
    }
    assert!(answer(half).await.is_empty());
    let asked = say(&hall, &request("GET /tenants", false, 0)).await;
    assert!(answer(asked).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn more_with_the_token_than_there_are_places_are_told_so() {
    let hall = hall(true);
    let mut known = Vec::new();
    for _ in 0..TRUSTED {
        known.push(say(&hall, &request("POST /kick", true, 20)).await);
    }
    let asked = say(&hall, &request("GET /status", true, 0)).await;
    let said = answer(asked).await;
    assert!(
        said.starts_with("HTTP/1.1 503 ") && said.contains("try again"),
        "{said}"
    );
    // A body that does not come gives its place back.
    assert!(answer(known.remove(0)).await.starts_with("HTTP/1.1 400 "));
    let asked = say(&hall, &request("GET /status", true, 0)).await;
    assert!(answer(asked).await.starts_with("HTTP/1.1 200 "));
}
