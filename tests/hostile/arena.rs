//! Two tenants in one process: "attacked", which has the guest "hostile" in one of
//! its roles, and "neighbour", whose clients collect their mail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use restante_tests::{Plugin, Pop3, Server, Site, Status, Tenant, test_guest};

/// Small enough to be reached soon, large enough for a slow machine.
const LIMITS: &str = "memory = \"16MiB\"\ncpu-time = \"1s\"\nwall-time = \"4s\"\nlog-lines = 100\n";

/// Clients of the neighbour that collect mail at the same time.
const NEIGHBOURS: usize = 3;

/// How long the neighbour is watched before the attack, to have something to
/// compare with.
const CALM: Duration = Duration::from_millis(300);

/// The longest that a whole session of a neighbour may take while the attack is
/// on. Calm it is a few milliseconds; the machine that tests run on may be busy with
/// other tests, and has no more than two processors: what this finds is a
/// neighbour that waits for the attack to be over.
const PATIENCE: Duration = Duration::from_secs(10);

/// The neighbours' message, as it is stored and as it is sent.
const STORED: &[u8] = b"Subject: good morning\n\nbody\n";
const SENT: &[u8] = b"Subject: good morning\r\n\r\nbody\r\n";

/// What the guest "hostile" has for a first and a third message.
pub(crate) const HONEST: &[u8] = b"Subject: honest\r\n\r\nbody\r\n";

/// A site whose tenant "attacked" has the guest "hostile", with these settings, in
/// that role; its user is "ada", with "x" and one message.
pub(crate) fn site(role: &str, settings: &str) -> Site {
    let mut site = Site::new();
    site.user("ada", "x");
    site.maildir("ada").deliver(b"Subject: hello\n\nbody\n");
    for number in 0..NEIGHBOURS {
        let user = neighbour(number);
        site.user(&user, "n");
        site.maildir(&user).deliver(STORED);
    }
    let mut hostile = Plugin::new("hostile", test_guest("hostile").display().to_string());
    hostile.settings = settings.to_owned();
    hostile.limits = LIMITS.to_owned();
    if role == "store" {
        hostile.grants = site.plugins[1].grants.clone();
    }
    site.plugins.push(hostile);
    site.tenants[0].name = "attacked".to_owned();
    site.tenants[0].lines = format!(
        "default = true\nserver-names = [\"attacked.names.example\"]\n{}",
        roles(role)
    );
    site.tenants.push(Tenant {
        name: "neighbour".to_owned(),
        lines:
            "domains = [\"neighbour.example\"]\nauthenticators = [\"users\"]\nstore = \"mail\"\n"
                .to_owned(),
    });
    site
}

fn roles(role: &str) -> &'static str {
    match role {
        "authenticator" => "authenticators = [\"hostile\"]\nstore = \"mail\"\n",
        "store" => "authenticators = [\"users\"]\nstore = \"hostile\"\n",
        "filter" => "authenticators = [\"users\"]\nstore = \"mail\"\nfilters = [\"hostile\"]\n",
        "selector" => "authenticators = [\"users\"]\nstore = \"mail\"\nselectors = [\"hostile\"]\n",
        "admission" => {
            "authenticators = [\"users\"]\nstore = \"mail\"\nadmissions = [\"hostile\"]\n"
        }
        _ => panic!("no role {role:?}"),
    }
}

fn neighbour(number: usize) -> String {
    format!("n{number}@neighbour.example")
}

/// Starts the site, lets the neighbours collect their mail, and attacks meanwhile.
/// The server must be as good as before when it is over; its log.
pub(crate) fn under_attack(site: &Site, attack: impl FnOnce(&Server)) -> String {
    let server = site.start();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..NEIGHBOURS)
            .map(|number| {
                let (server, over) = (&server, &over);
                scope.spawn(move || collect_until(server, &neighbour(number), over))
            })
            .collect();
        // Set however the attack ends, or nobody would see why it failed.
        let over = Over(&over);
        thread::sleep(CALM);
        let began = Instant::now();
        attack(&server);
        let took = began.elapsed();
        // What the attack left behind is felt after it, too.
        thread::sleep(CALM);
        drop(over);
        judge(clients, began, took);
    });
    Pop3::login(server.pop3(), &neighbour(0), "n").quit();
    server.stop()
}

/// Says that the attack is over.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// When each session began and how long it took.
type Sessions = Vec<(Instant, Duration)>;

fn collect_until(server: &Server, user: &str, over: &AtomicBool) -> Sessions {
    let mut sessions = Sessions::new();
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let mut client = Pop3::login(server.pop3(), user, "n");
        assert_eq!(client.stat(), (1, SENT.len() as u64));
        assert_eq!(client.retr(1), SENT);
        client.quit();
        sessions.push((began, began.elapsed()));
        thread::sleep(Duration::from_millis(2));
    }
    sessions
}

/// What the neighbours saw: an error has ended their thread.
fn judge(clients: Vec<ScopedJoinHandle<'_, Sessions>>, began: Instant, took: Duration) {
    let (mut calm, mut attacked) = (Vec::new(), Vec::new());
    for client in clients {
        let sessions = client.join().expect("a neighbour saw an error");
        for (at, took) in sessions {
            // A session that was under way is one that the attack could hold up.
            match at + took < began {
                true => calm.push(took),
                false => attacked.push(took),
            }
        }
    }
    let test = thread::current().name().unwrap_or_default().to_owned();
    eprintln!(
        "{test}: attack {took:?}; neighbour calm {}, attacked {}",
        figures(&mut calm),
        figures(&mut attacked)
    );
    let longest = attacked.last().copied().unwrap_or_default();
    assert!(longest < PATIENCE, "a neighbour waited {longest:?}");
    assert!(!attacked.is_empty(), "no neighbour was served");
}

/// Sorts, and says how many there are with their middle and their end.
fn figures(all: &mut [Duration]) -> String {
    all.sort_unstable();
    let at = |percent: usize| all.get(all.len() * percent / 100).or(all.last());
    format!(
        "{} sessions, p50 {:?}, p99 {:?}, longest {:?}",
        all.len(),
        at(50).copied().unwrap_or_default(),
        at(99).copied().unwrap_or_default(),
        all.last().copied().unwrap_or_default()
    )
}

/// Connects and logs in as the attacked tenant's user.
pub(crate) fn login(server: &Server) -> (Pop3, Status) {
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate("ada", "x");
    (client, status)
}

/// The same where it must succeed.
pub(crate) fn logged_in(server: &Server) -> Pop3 {
    let (client, status) = login(server);
    assert!(status.ok, "{status:?}");
    client
}

/// A refusal that says that it may be tried again.
pub(crate) fn temporary(status: &Status) {
    assert!(
        !status.ok && status.text.starts_with("[SYS/TEMP] "),
        "{status:?}"
    );
}

/// The lines of the log that tell the operator of it: with the session, the
/// tenant, the plugin and all of these words.
pub(crate) fn told<'a>(log: &'a str, words: &[&str]) -> Vec<&'a str> {
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("session{session="))
        .filter(|line| names(line, "tenant", "attacked") && names(line, "plugin", "hostile"))
        .filter(|line| words.iter().all(|word| line.contains(word)))
        .collect();
    assert!(!lines.is_empty(), "no line with {words:?} in:\n{log}");
    lines
}

/// Whether a line of the log has this value, in quotes or without.
fn names(line: &str, key: &str, value: &str) -> bool {
    line.contains(&format!("{key}={value} ")) || line.contains(&format!("{key}={value:?}"))
}

/// The attacked tenant's admission is asked before the greeting where the name that
/// the client asks for says whose it is.
pub(crate) fn knock(site: &Site, server: &Server) -> Pop3 {
    let address = server.address("pop3s");
    Pop3::silent_tls(address, "attacked.names.example", &site.certificate)
}

/// A log that nobody can fill: no line of it is longer than this, in octets.
pub(crate) fn no_line_is_long(log: &str) {
    let longest = log.lines().map(str::len).max().unwrap_or(0);
    assert!(longest < 16 * 1024, "a log line of {longest} octets");
}
