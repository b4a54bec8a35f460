//! Bad disks: the mail root and halves of Maildirs go away and come back, the disk of the
//! log fills up and is emptied, and sessions of one user take the maildrop over from each
//! other. Whatever a session is shown is all there is, and its own; what it is refused is
//! refused for now; nothing is lost; the server goes on, and so does its log.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use restante_tests::{Maildir, Pop3, Server, Site, SmallFileSystem, wait_for};

use super::{KEPT, PASSWORD, seconds, wire};

/// Of the short run.
const SECONDS: u64 = 8;
const USERS: usize = 24;
/// Sessions that take a maildrop over from each other, at least.
const TAKE_OVERS: u64 = 1000;
/// How long something is away, and how long it is there.
const AWAY: Duration = Duration::from_millis(60);
const THERE: Duration = Duration::from_millis(120);
/// KiB of the disk of the log: in the short run it is filled by a file beside the log.
const LOG_KIB: u32 = 4096;

/// A user's maildrop. What is in it is reached whatever becomes of its name.
struct Mailbox {
    user: String,
    maildir: Maildir,
    /// The Maildir itself, as a directory of this process.
    _directory: File,
    /// In `cur`, oldest first, as they go out.
    kept: Vec<Vec<u8>>,
}

impl Mailbox {
    fn new(site: &Site, user: &str) -> Mailbox {
        let root = site.maildir(user).root().to_owned();
        let directory = File::open(&root).unwrap();
        let held = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let mut maildir = Maildir::create(held);
        let kept = (0..KEPT).map(|number| {
            // No two messages of all users are the same, or as long.
            let text = format!("Subject: {user} {number}\n\n{}\n", "x".repeat(number * 50));
            maildir.deliver_seen(text.as_bytes(), "S");
            wire(text.as_bytes())
        });
        let kept = kept.collect();
        Mailbox {
            user: user.to_owned(),
            maildir,
            _directory: directory,
            kept,
        }
    }

    /// Every message is in its file, and no other is.
    fn expect_whole(&self) {
        let files = self.maildir.files();
        let found: Vec<_> = files
            .iter()
            .map(|path| wire(&fs::read(path).unwrap()))
            .collect();
        assert!(found == self.kept, "the files of {}: {files:?}", self.user);
    }
}

/// What the sessions met.
#[derive(Default)]
struct Seen {
    whole: AtomicU64,
    refused: AtomicU64,
    take_overs: AtomicU64,
}

impl Seen {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// A command's answer; none: it is refused for now, as it may be.
fn ask(client: &mut Pop3, command: &str) -> Option<Vec<u8>> {
    let status = client.command(command);
    if !status.ok {
        assert!(
            status.text.starts_with("[SYS/TEMP] "),
            "{command}: {status:?}"
        );
        return None;
    }
    Some(match command.split(' ').next() {
        Some("LIST" | "RETR") => client.body(),
        _ => status.text.into_bytes(),
    })
}

/// One session. None: something of it was refused.
fn session(mailbox: &mut Mailbox, round: u64, server: SocketAddr) -> Option<()> {
    let fresh = format!("Subject: {} fresh {round}\n\n.\n", mailbox.user).into_bytes();
    let path = mailbox.maildir.deliver(&fresh);
    let done = whole_session(mailbox, &wire(&fresh), server);
    // Gone if QUIT was answered, and there if not.
    if done.is_some() {
        assert!(!path.exists(), "{} is there after QUIT", path.display());
    } else {
        fs::remove_file(&path).expect("a message that no QUIT has removed");
    }
    done
}

fn whole_session(mailbox: &Mailbox, fresh: &[u8], server: SocketAddr) -> Option<()> {
    let mut client = Pop3::connect(server);
    ask(&mut client, &format!("USER {}", mailbox.user))?;
    ask(&mut client, &format!("PASS {PASSWORD}"))?;
    let wanted: Vec<&[u8]> = (mailbox.kept.iter().map(Vec::as_slice))
        .chain([fresh])
        .collect();
    let list: String = (1..)
        .zip(&wanted)
        .map(|(number, octets)| format!("{number} {}\r\n", octets.len()))
        .collect();
    let listed = ask(&mut client, "LIST")?;
    assert_eq!(String::from_utf8_lossy(&listed), list, "{}", mailbox.user);
    for (number, wanted) in (1..).zip(&wanted) {
        // One that cannot be read now costs no other.
        if let Some(got) = ask(&mut client, &format!("RETR {number}")) {
            assert!(
                got == *wanted,
                "RETR {number} of {}: other octets",
                mailbox.user
            );
        }
    }
    ask(&mut client, &format!("DELE {}", wanted.len()))?;
    ask(&mut client, "QUIT").map(drop)
}

fn client(mut mailbox: Mailbox, server: SocketAddr, seen: &Seen, end: &AtomicBool) -> Mailbox {
    for round in 0.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        match session(&mut mailbox, round, server) {
            Some(()) => Seen::count(&seen.whole),
            None => Seen::count(&seen.refused),
        }
        thread::sleep(Duration::from_millis(20));
    }
    mailbox
}

/// Logs in over and over, and leaves each session to be ended by the next. Every one of them
/// wants a message removed, and none may.
fn take_over(mailbox: &Mailbox, server: SocketAddr, seen: &Seen, end: &AtomicBool) {
    let octets: usize = mailbox.kept.iter().map(Vec::len).sum();
    let mut last: Option<Pop3> = None;
    while !end.load(Ordering::Relaxed) || seen.take_overs.load(Ordering::Relaxed) < TAKE_OVERS {
        let mut client = Pop3::connect(server);
        let login = client.authenticate(&mailbox.user, PASSWORD);
        if !login.ok {
            let is_for_now = ["[SYS/TEMP] ", "[IN-USE] "]
                .iter()
                .any(|code| login.text.starts_with(code));
            assert!(is_for_now, "{login:?}");
            Seen::count(&seen.refused);
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        assert_eq!(client.accepted("STAT"), format!("{KEPT} {octets}"));
        client.accepted("DELE 1");
        if let Some(mut older) = last.replace(client) {
            older.closed();
            Seen::count(&seen.take_overs);
        }
    }
}

/// Renames what is at a path out of the way and back, over and over, a `path` at a time.
fn come_and_go(mut path: impl FnMut(u64) -> PathBuf, end: &AtomicBool) {
    for round in 0.. {
        if end.load(Ordering::Relaxed) {
            return;
        }
        let path = path(round);
        let away = path.with_extension("away");
        // The one may be inside what the other has renamed.
        if fs::rename(&path, &away).is_ok() {
            thread::sleep(AWAY);
            wait_for("it to come back", || fs::rename(&away, &path).ok());
        }
        thread::sleep(THERE);
    }
}

/// Fills the disk of the log and empties it, over and over.
fn fill(disk: &Path, log: &Path, end: &AtomicBool) {
    while !end.load(Ordering::Relaxed) {
        let mut file = File::create(disk.join("full")).unwrap();
        while file.write_all(&[b'x'; 4096]).is_ok() {}
        drop(file);
        thread::sleep(4 * AWAY);
        fs::remove_file(disk.join("full")).unwrap();
        if fs::metadata(log).unwrap().len() > u64::from(LOG_KIB) * 512 {
            // As an operator does it who has nothing else left.
            File::options()
                .write(true)
                .open(log)
                .unwrap()
                .set_len(0)
                .unwrap();
        }
        thread::sleep(THERE);
    }
}

/// After all that, a full disk once more: lines are lost, and the log says how many.
fn expect_log_goes_on(disk: &Path, log: &Path, user: &str, server: SocketAddr) {
    let say_something = || Pop3::login(server, user, PASSWORD).quit();
    let text = || String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
    let mut file = File::create(disk.join("full")).unwrap();
    while file.write_all(&[b'x'; 4096]).is_ok() {}
    drop(file);
    // More than the last page of the log has room for.
    for _ in 0..40 {
        say_something();
    }
    fs::remove_file(disk.join("full")).unwrap();
    let before = text().matches("log lines were dropped").count();
    say_something();
    wait_for("the log to say what was dropped", || {
        let text = text();
        let last = text
            .lines()
            .rfind(|line| line.contains("log lines were dropped"))?;
        let is_new = text.matches("log lines were dropped").count() > before;
        let said = last
            .split("lines=")
            .nth(1)?
            .split(' ')
            .next()?
            .parse::<u64>();
        (is_new && said.is_ok_and(|lines| lines > 0)).then_some(())
    });
}

#[test]
fn nothing_is_lost_while_disks_come_and_go() {
    let mut site = Site::new();
    let refusing = site.plugins[1]
        .grants
        .replace("missing-maildrop = \"empty\"\n", "");
    site.plugins[1].grants = refusing;
    site.tenants[0]
        .lines
        .push_str("when-in-use = \"take-over\"\n");
    site.limits = "connections = 5000\nconnections-per-address = 5000\n\
                   connections-per-network = 5000\nmax-unauthenticated = 5000\n"
        .to_owned();
    let users: Vec<String> = (0..USERS).map(|number| format!("user{number}")).collect();
    for user in users.iter().map(String::as_str).chain(["heir"]) {
        site.user(user, PASSWORD);
    }
    let mailboxes: Vec<_> = users.iter().map(|user| Mailbox::new(&site, user)).collect();
    let heir = Mailbox::new(&site, "heir");
    // Without leave to mount one the log has no disk of its own, and all the rest goes on.
    let disk = site.path().join("log");
    fs::create_dir(&disk).unwrap();
    let mounted = SmallFileSystem::mount("nothing_is_lost_while_disks_come_and_go", &disk, LOG_KIB);
    let config = site.write_config(&site.config());
    let listeners: Vec<_> = site.listeners.iter().map(|one| one.name.clone()).collect();
    let mut server = Server::start(&config, &disk.join("server"), &listeners, &[]);
    let (address, log) = (server.pop3(), disk.join("server.err"));
    let mail = site.path().join("mail");
    let (seen, end) = (Seen::default(), AtomicBool::new(false));
    let until = Instant::now() + Duration::from_secs(seconds(SECONDS));
    let mailboxes: Vec<Mailbox> = thread::scope(|scope| {
        let (seen, end, users, mail) = (&seen, &end, &users, &mail);
        let clients: Vec<_> = mailboxes
            .into_iter()
            .map(|mailbox| scope.spawn(move || client(mailbox, address, seen, end)))
            .collect();
        let others = [
            scope.spawn(move || come_and_go(|_| mail.clone(), end)),
            scope.spawn(move || {
                let cur = |round: u64| mail.join(&users[round as usize % USERS]).join("cur");
                come_and_go(cur, end);
            }),
        ];
        let heir = scope.spawn(|| take_over(&heir, address, seen, end));
        let filling = mounted
            .as_ref()
            .map(|_| scope.spawn(|| fill(&disk, &log, end)));
        let is_going_on = || Instant::now() < until;
        while is_going_on() && clients.iter().all(|client| !client.is_finished()) {
            thread::sleep(Duration::from_millis(50));
        }
        end.store(true, Ordering::Relaxed);
        for thread in others.into_iter().chain([heir]).chain(filling) {
            thread.join().unwrap();
        }
        let clients = clients.into_iter().map(|client| client.join().unwrap());
        clients.collect()
    });
    assert!(server.is_running());
    for mailbox in mailboxes.iter().chain([&heir]) {
        mailbox.expect_whole();
    }
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (whole, refused, take_overs) =
        (get(&seen.whole), get(&seen.refused), get(&seen.take_overs));
    eprintln!("{whole} sessions were whole, {refused} refused; {take_overs} take-overs");
    assert!(whole >= USERS as u64 && refused > 0 && take_overs >= TAKE_OVERS);
    // With everything back, everybody is served at once.
    for mut mailbox in mailboxes {
        wait_for("the lock to be free", || {
            session(&mut mailbox, u64::MAX, address)
        });
    }
    if mounted.is_some() {
        expect_log_goes_on(&disk, &log, "user0", address);
    }
    assert!(!server.log().contains("a defect of the server"));
    server.stop();
    drop(mounted);
}
