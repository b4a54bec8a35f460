//! The log lines of a session: one at login, one at logout, nothing forged and
//! nothing secret.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};

use restante_config::ListenerTls;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::MakeWriter;

use crate::world::Plan;

/// What is logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Captured;

    fn make_writer(&'a self) -> Captured {
        self.clone()
    }
}

impl Captured {
    /// Everything from here on, until the guard is dropped.
    pub(crate) fn begin() -> (Captured, DefaultGuard) {
        // Where there is one subscriber alone, the thread that comes first to a
        // line decides with its own whether anybody wants it.
        static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
        OTHERS.get_or_init(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::new())));
        let captured = Captured::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(captured.clone())
            .finish();
        (captured, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_in_the_log() {
    let (captured, _capturing) = Captured::begin();

    let world = Plan::new().mail(&[("one", "a\n"), ("two", "b\n")]).begin();
    let (mut client, session) = world.pipe(ListenerTls::Off);
    client.greeting().await;
    // What turns the reading direction round is no user name (RFC 4013 section 2.3).
    client.err("USER x\u{202e}", "").await;
    client.ok("USER x\" INFO forged").await;
    client.err("PASS hunter2", "[AUTH]").await;
    client.log_in("u", "secret").await;
    client.lines("RETR 1").await;
    client.lines("RETR 2").await;
    client.lines("TOP 1 0").await;
    client.ok("DELE 1").await;
    client.ok("QUIT").await;
    session.await.unwrap();

    let log = captured.text();
    assert!(!log.contains("hunter2") && !log.contains("secret"), "{log}");
    assert!(!log.contains('\u{202e}'), "{log}");
    let infos: Vec<&str> = log
        .lines()
        .filter(|line| line.split_whitespace().nth(1) == Some("INFO"))
        .collect();
    let [failed, login, logout] = infos[..] else {
        panic!("{log}");
    };
    for line in infos {
        assert!(
            line.contains("listener=pipe client=192.0.2.1:40000"),
            "{line}"
        );
    }
    // Nothing speaks for its being a name.
    assert!(
        failed.contains("login failed user=\"<redacted, 14 octets, "),
        "{failed}"
    );
    assert!(!log.contains("forged"), "{log}");
    assert!(failed.contains("why=unknown user"), "{failed}");
    for field in ["login tenant=\"t\"", "user=\"u\"", "messages=2", "octets=6"] {
        assert!(login.contains(field), "{field}: {login}");
    }
    for field in [
        "logout why=quit",
        "retr=2 retr_octets=6 top=1",
        "del=1",
        "duration_ms=2000",
    ] {
        assert!(logout.contains(field), "{field}: {logout}");
    }
}
