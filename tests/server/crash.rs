//! kill -9 of the server at random points of UPDATE: no unmarked message is
//! ever gone or changed, and the next start serves the maildrop.
use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use fastrand::Rng;
use restante_tests::{Maildir, Pop3, Server, Site};

/// How often the server is killed, in both threads together.
const KILLS: usize = 200;

/// Two at a time: a start of the server leaves a processor idle now and then.
const THREADS: usize = 2;

/// Messages in a maildrop, about half of them marked.
const MESSAGES: usize = 48;

const PASSWORD: &str = "a password";

/// How far an UPDATE came before the server died.
#[derive(Debug, Default)]
struct Reached {
    nothing_removed: usize,
    some_removed: usize,
    all_removed: usize,
    /// Of the latter, those where QUIT was answered in time.
    answered: usize,
}

#[test]
fn kill_in_update_loses_no_unmarked_message() {
    let seed = fastrand::u64(..);
    let reached: Vec<Reached> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || kill_again_and_again(seed.wrapping_add(thread as u64)))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let sum = |part: fn(&Reached) -> usize| reached.iter().map(part).sum::<usize>();
    let (nothing, some, all, answered) = (
        sum(|r| r.nothing_removed),
        sum(|r| r.some_removed),
        sum(|r| r.all_removed),
        sum(|r| r.answered),
    );
    eprintln!(
        "seed {seed}: before {nothing}, during {some}, after {all}, of these answered {answered}"
    );
    // The kills must fall on both sides of the change, or nothing was shown.
    assert_eq!(nothing + some + all, KILLS);
    assert!(answered > 0, "never killed after UPDATE");
    assert!(nothing + some > 0, "never killed before the end of UPDATE");
}

fn kill_again_and_again(seed: u64) -> Reached {
    let mut rng = Rng::with_seed(seed);
    let mut reached = Reached::default();
    let mut site = Site::new();
    // Each kill has a maildrop of its own; the start after it looks at the
    // maildrop of the kill before and goes on with the next.
    let rounds = KILLS / THREADS;
    for round in 0..=rounds {
        site.user(&user(round), PASSWORD);
    }
    // A state directory of its own: it must survive the kills, too.
    site.state = site.path().join("state");

    let mut span = undisturbed_update(&site);
    let mut before: Option<Round> = None;
    for number in 0..rounds {
        let mut server = site.start();
        if let Some(round) = before.take() {
            round.is_served(&server);
        }
        let mut round = Round::prepare(&site, number, &mut rng);
        let delay = span.mul_f64(rng.f64() * 2.0);
        let answered = round.quit_and_kill(&mut server, delay);
        let removed = round.is_whole(answered);
        match removed {
            0 if !round.marked.is_empty() => reached.nothing_removed += 1,
            all if all == round.marked.len() => reached.all_removed += 1,
            _ => reached.some_removed += 1,
        }
        reached.answered += usize::from(answered);
        // Follow the machine's pace, so that the kills stay around the change.
        span = if answered {
            span.mul_f64(0.9)
        } else {
            span.mul_f64(1.1)
        };
        before = Some(round);
    }
    let server = site.start();
    before.unwrap().is_served(&server);
    server.stop();
    reached
}

fn user(round: usize) -> String {
    format!("user-{round}")
}

/// How long QUIT takes when nobody disturbs it.
fn undisturbed_update(site: &Site) -> Duration {
    let server = site.start();
    let mut round = Round::prepare(site, KILLS / THREADS, &mut Rng::with_seed(0));
    let mut client = round.mark(&server);
    let start = Instant::now();
    client.accepted("QUIT");
    let took = start.elapsed();
    server.stop();
    took
}

/// One maildrop and what is done to it.
struct Round {
    user: String,
    maildir: Maildir,
    /// By message-number.
    messages: Vec<Vec<u8>>,
    marked: Vec<u32>,
    /// Unique-ids, as the session that was killed had them.
    ids: Vec<String>,
}

impl Round {
    fn prepare(site: &Site, number: usize, rng: &mut Rng) -> Round {
        let user = user(number);
        let mut maildir = site.maildir(&user);
        let messages: Vec<Vec<u8>> = (1..=MESSAGES)
            .map(|message| {
                let noise: String = (0..rng.usize(0..2000))
                    .map(|_| rng.alphanumeric())
                    .collect();
                format!("Subject: {user}, message {message}\r\n\r\n.{noise}\r\n").into_bytes()
            })
            .collect();
        for octets in &messages {
            match rng.u8(0..3) {
                0 => maildir.deliver(octets),
                1 => maildir.deliver_with_sizes(octets),
                _ => maildir.deliver_seen(octets, "S"),
            };
        }
        let marked = (1..=MESSAGES as u32).filter(|_| rng.bool()).collect();
        Round {
            user,
            maildir,
            messages,
            marked,
            ids: Vec::new(),
        }
    }

    /// Logs in and marks.
    fn mark(&mut self, server: &Server) -> Pop3 {
        let mut client = Pop3::login(server.pop3(), &self.user, PASSWORD);
        self.ids = client.uidl().into_iter().map(|(_, id)| id).collect();
        for number in &self.marked {
            client.accepted(&format!("DELE {number}"));
        }
        client
    }

    /// Sends QUIT and kills the server after `delay`; whether it had answered.
    fn quit_and_kill(&mut self, server: &mut Server, delay: Duration) -> bool {
        let client = self.mark(server);
        server.kill_in_update(client, delay)
    }

    /// Looks at the disk: every unmarked message is there as it was, no marked
    /// one is damaged, and an answered QUIT removed them all. How many are gone.
    fn is_whole(&self, answered: bool) -> usize {
        let mut found: HashMap<Vec<u8>, usize> = HashMap::new();
        for path in self.maildir.files() {
            *found.entry(fs::read(path).unwrap()).or_default() += 1;
        }
        let mut removed = 0;
        for (number, octets) in (1..).zip(&self.messages) {
            let copies = found.remove(octets).unwrap_or(0);
            if self.marked.contains(&number) {
                assert!(copies <= 1, "{}: message {number} twice", self.user);
                removed += usize::from(copies == 0);
            } else {
                assert_eq!(copies, 1, "{}: unmarked message {number}", self.user);
            }
        }
        assert!(found.is_empty(), "{}: damaged messages", self.user);
        if answered {
            assert_eq!(
                removed,
                self.marked.len(),
                "{}: QUIT was answered",
                self.user
            );
        }
        removed
    }

    /// The next start: this maildrop opens, and what is left of it comes out
    /// octet for octet, in its order and under its old unique-ids.
    fn is_served(&self, server: &Server) {
        let mut client = Pop3::login(server.pop3(), &self.user, PASSWORD);
        let files = self.maildir.files();
        let list = client.list();
        let ids = client.uidl();
        assert_eq!(list.len(), files.len(), "{}: LIST", self.user);
        for ((path, (number, octets)), (_, id)) in files.iter().zip(list).zip(ids) {
            let file = fs::read(path).unwrap();
            assert_eq!(octets, file.len() as u64, "{}: LIST {number}", self.user);
            assert_eq!(client.retr(number), file, "{}: RETR {number}", self.user);
            let before = self.messages.iter().position(|m| *m == file).unwrap();
            assert_eq!(id, self.ids[before], "{}: UIDL {number}", self.user);
        }
        client.quit();
    }
}
