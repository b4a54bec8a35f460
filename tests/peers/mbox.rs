//! `builtin:mbox` beside other programs on the same file: what Python's `mailbox`
//! writes comes out of `poplib` octet for octet, what is delivered under the dotlock
//! is never lost, and neither is anything by kill -9.
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use fastrand::Rng;
use restante_tests::{
    Pop3, Server, Site, Tool, corpus, long_line, own_messages, python, repository, require,
    ten_megabytes,
};
use rustix::process::geteuid;

const USER: &str = "ada";
const PASSWORD: &str = "a password";
/// How often the server is killed in UPDATE.
const KILLS: usize = 24;
/// Messages in that mbox, about half of them marked.
const MESSAGES: usize = 48;
/// Messages that somebody delivers meanwhile.
const DELIVERIES: usize = 300;

/// A site whose mail is in one file for each user.
fn site(settings: &str) -> Site {
    let mut site = Site::new();
    site.user(USER, PASSWORD);
    for plugin in &mut site.plugins {
        if plugin.name == "mail" {
            plugin.component = "builtin:mbox".to_owned();
            plugin.settings = settings.to_owned();
            // Dovecot's programs give the folder to their own user.
            plugin.grants.push_str("maildrop-owner = \"any\"\n");
        }
    }
    site
}

/// The mbox of a user.
fn mbox(site: &Site, user: &str) -> PathBuf {
    let folder = site.maildir_path(user);
    fs::create_dir_all(&folder).unwrap();
    folder.join("mbox")
}

fn script(test: &str, arguments: &[&str]) -> Option<Command> {
    let mut python = python(test)?;
    python
        .arg(repository().join("tests/mbox.py"))
        .args(arguments);
    Some(python)
}

fn run(mut command: Command, input: &str) {
    let status = status(&mut command, input);
    assert!(status.success(), "{command:?}: {status}");
}

fn status(command: &mut Command, input: &str) -> ExitStatus {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    write!(child.stdin.take().unwrap(), "{input}").unwrap();
    child.wait().unwrap()
}

/// A message as its reader has it.
fn wire(octets: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for octet in octets {
        if *octet == b'\n' && wire.last() != Some(&b'\r') {
            wire.push(b'\r');
        }
        wire.push(*octet);
    }
    if !wire.is_empty() && !wire.ends_with(b"\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire
}

fn replaced(octets: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = octets;
    while let Some(at) = rest.windows(what.len()).position(|part| part == what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Messages that an mbox can hold as they are: it has no word for one without
/// octets, and ends each with a line end.
fn messages() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = own_messages()
        .into_iter()
        .chain(corpus())
        .map(|(_, octets)| octets)
        .filter(|octets| !octets.is_empty() && !octets.ends_with(b"\r"))
        .filter(|octets| !octets.starts_with(b"From "))
        .collect();
    all.push(ten_megabytes());
    all.push(long_line());
    all.push(b"Subject: quoting\n\nFrom here\n>From there\n".to_vec());
    all
}

#[test]
fn what_pythons_mailbox_writes_comes_out_of_poplib_octet_for_octet() {
    let test = "the round trip through an mbox";
    let site = site("");
    let path = mbox(&site, USER);
    let (written, fetched) = (site.path().join("written"), site.path().join("fetched"));
    fs::create_dir(&written).unwrap();
    fs::create_dir(&fetched).unwrap();
    let messages = messages();
    for (number, octets) in messages.iter().enumerate() {
        fs::write(written.join(format!("{number:05}")), octets).unwrap();
    }
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let Some(write) = script(test, &["write", &text(&path), &text(&written)]) else {
        return;
    };
    run(write, "");
    let server = site.start();
    let port = server.pop3().port().to_string();
    // Twice: from the index, the second time.
    for _ in 0..2 {
        let arguments = ["fetch", "127.0.0.1", &port, USER, &text(&fetched)];
        run(script(test, &arguments).unwrap(), &format!("{PASSWORD}\n"));
        let count = fs::read_dir(&fetched).unwrap().count();
        assert_eq!(count, messages.len());
        for (number, octets) in messages.iter().enumerate() {
            let got = fs::read(fetched.join(format!("{:05}", number + 1))).unwrap();
            // What Python does to keep a text from looking like a message.
            let expected = wire(&replaced(octets, b"\nFrom ", b"\n>From "));
            assert!(
                got == expected,
                "message {number}: {:?}",
                &octets[..octets.len().min(60)]
            );
        }
    }
    server.stop();
}

#[test]
fn mboxrd_gives_back_exactly_what_was_put_in() {
    let site = site("quoting = \"mboxrd\"\nfile = \"inbox\"\n");
    let path = mbox(&site, USER).with_file_name("inbox");
    let messages = messages();
    let mut file = Vec::new();
    for octets in &messages {
        file.extend_from_slice(b"From ada@example.org Tue Nov 14 22:13:20 2023\n");
        let mut in_body = false;
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            let quotes = line.iter().take_while(|octet| **octet == b'>').count();
            if in_body && line[quotes..].starts_with(b"From ") {
                file.push(b'>');
            }
            in_body |= line == b"\n" || line == b"\r\n";
            file.extend_from_slice(line);
        }
        let end = if octets.ends_with(b"\n") {
            "\n"
        } else {
            "\n\n"
        };
        file.extend_from_slice(end.as_bytes());
    }
    fs::write(&path, &file).unwrap();
    let server = site.start();
    let mut client = Pop3::connect(server.pop3());
    client.accepted("UTF8");
    assert!(client.authenticate(USER, PASSWORD).ok);
    let list = client.list();
    assert_eq!(list.len(), messages.len());
    for ((number, octets), message) in list.into_iter().zip(&messages) {
        let got = client.retr(number);
        assert_eq!(got.len() as u64, octets, "LIST {number}");
        assert!(got == wire(message), "RETR {number}");
    }
    client.quit();
    server.stop();
}

/// Kills what is still running when a test ends early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_is_delivered_under_the_dotlock_while_messages_are_removed_is_never_lost() {
    let test = "deliveries under the dotlock";
    let site = site("lock-wait = \"25s\"\n");
    let path = mbox(&site, USER);
    let arguments = ["append", path.to_str().unwrap(), &DELIVERIES.to_string()];
    let Some(mut deliver) = script(test, &arguments) else {
        return;
    };
    let server = site.start();
    let mut agent = Running(deliver.spawn().unwrap());
    let mut rng = Rng::new();
    let mut removed = BTreeSet::new();
    let mut sessions = 0;
    loop {
        let is_over = agent.0.try_wait().unwrap();
        let mut client = Pop3::login(server.pop3(), USER, PASSWORD);
        sessions += 1;
        let mut marked = Vec::new();
        for (number, _) in client.list() {
            if rng.bool() {
                marked.push(subject(&client.retr(number)));
                client.accepted(&format!("DELE {number}"));
            }
        }
        client.accepted("QUIT");
        for subject in marked {
            assert!(
                removed.insert(subject.clone()),
                "{subject} was removed and came back"
            );
        }
        if let Some(status) = is_over {
            assert!(status.success(), "{status}");
            break;
        }
    }
    let mut client = Pop3::login(server.pop3(), USER, PASSWORD);
    let left = client.list();
    let left: Vec<String> = left
        .iter()
        .map(|(number, _)| subject(&client.retr(*number)))
        .collect();
    client.quit();
    for subject in &left {
        assert!(
            removed.insert(subject.clone()),
            "{subject} is there twice, or came back"
        );
    }
    let expected: BTreeSet<String> = (0..DELIVERIES).map(|n| format!("delivered {n}")).collect();
    assert_eq!(removed, expected);
    assert!(sessions > 3, "only {sessions} sessions while mail came");
    assert!(left.len() < DELIVERIES, "nothing was removed");
    server.stop();
}

/// Dovecot's programs that deliver into an mbox and remove from it.
const DOVECOT: Tool = Tool {
    name: "Dovecot's dovecot-lda",
    probe: &["test", "-x", "/usr/lib/dovecot/dovecot-lda"],
    packages: &["dovecot-core"],
};
/// Messages that Dovecot delivers, and the one in so many that it removes itself.
const DOVECOTS: usize = 120;
const DOVECOTS_PART: usize = 5;
/// Whom it runs as where this is root: it refuses root's mail.
const NOBODY: u32 = 65_534;
/// How often it is told to remove a message, and what it ends with where that is for
/// later (sysexits.h).
const EXPUNGES: usize = 20;
const EX_TEMPFAIL: i32 = 75;

/// Dovecot's configuration, and the folder of the mbox.
struct Dovecot {
    config: PathBuf,
    home: PathBuf,
}

impl Dovecot {
    /// As plugins/mbox/README.md wants it: a reader that takes fcntl alone may see a
    /// removal half done, and not find what it is to expunge.
    fn new(site: &Site, mbox: &Path) -> Dovecot {
        let home = site.path().join("dovecot");
        fs::create_dir(&home).unwrap();
        let config = home.join("dovecot.conf");
        let (root, inbox) = (home.display(), mbox.display());
        let text = format!(
            "protocols =\nbase_dir = {root}/run\nstate_dir = {root}/state\nlog_path = {root}/log\n\
             first_valid_uid = 1\nssl = no\npostmaster_address = postmaster@example.org\n\
             mail_privileged_group =\nmbox_read_locks = dotlock fcntl\n\
             mbox_write_locks = dotlock fcntl\n\
             mail_location = mbox:{root}/folders:INBOX={inbox}:INDEX=MEMORY\n"
        );
        fs::write(&config, text).unwrap();
        if geteuid().is_root() {
            let mode = fs::Permissions::from_mode(0o711);
            fs::set_permissions(site.path(), mode).unwrap();
            for path in [&home, mbox.parent().unwrap()] {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        Dovecot { config, home }
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.config).args(arguments);
        command.env("HOME", &self.home).env("USER", "nobody");
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn deliver(&self, message: &str) {
        let arguments = ["-f", "a@example.org", "-e"];
        let command = self.command("/usr/lib/dovecot/dovecot-lda", &arguments);
        run(command, message);
    }

    /// Removes a message by its subject. Where somebody else has changed the mbox since
    /// Dovecot read it, it may not know the message again and leave it, or ask to
    /// come later; then it is told again, until it has removed the message.
    fn expunge(&self, mbox: &Path, subject: &str) {
        let query = ["expunge", "mailbox", "INBOX", "header", "subject", subject];
        let line = format!("\nSubject: {subject}\n");
        for _ in 0..EXPUNGES {
            let mut command = self.command("doveadm", &query);
            let status = status(&mut command, "");
            let is_temporary = status.code() == Some(EX_TEMPFAIL);
            assert!(status.success() || is_temporary, "{command:?}: {status}");
            let text = fs::read(mbox).unwrap();
            if !String::from_utf8_lossy(&text).contains(&line) {
                return;
            }
        }
        panic!("Dovecot does not remove {subject}");
    }
}

#[test]
fn dovecot_delivers_and_removes_at_the_same_time() {
    if !require("an mbox beside Dovecot", &[&DOVECOT]) {
        return;
    }
    let site = site("lock-wait = \"25s\"\n");
    let path = mbox(&site, USER);
    let dovecot = Dovecot::new(&site, &path);
    let server = site.start();
    let mut removed = BTreeSet::new();
    let is_dovecots = |number: usize| number.is_multiple_of(DOVECOTS_PART);
    let title = |number: usize| format!("message {number:03}");
    let remove = |removed: &mut BTreeSet<String>| {
        let mut client = Pop3::login(server.pop3(), USER, PASSWORD);
        let mut marked = Vec::new();
        for (number, _) in client.list() {
            // Dovecot may have rewritten the file since the login: then it is refused.
            let command = format!("TOP {number} 0");
            let status = client.command(&command);
            if !status.ok {
                continue;
            }
            let text = String::from_utf8(client.body()).unwrap();
            let line = text
                .lines()
                .find(|line| line.starts_with("Subject: message "));
            let line = line.unwrap_or_else(|| panic!("a damaged message: {text:?}"));
            let title = line.trim_start_matches("Subject: ").to_owned();
            let own: usize = title[8..].parse().unwrap();
            if !is_dovecots(own) && fastrand::bool() {
                client.accepted(&format!("DELE {number}"));
                marked.push(title);
            }
        }
        client.accepted("QUIT");
        for title in marked {
            assert!(removed.insert(title.clone()), "{title} came back");
        }
    };
    std::thread::scope(|scope| {
        let delivery = scope.spawn(|| {
            for number in 0..DOVECOTS {
                let body = "From here on\n".repeat(number * 13 % 400);
                let message = format!("Subject: {}\n\n{body}\n", title(number));
                dovecot.deliver(&message);
                if is_dovecots(number) && number > 0 {
                    dovecot.expunge(&path, &title(number - DOVECOTS_PART));
                }
            }
        });
        while !delivery.is_finished() {
            remove(&mut removed);
        }
        delivery.join().unwrap();
    });
    remove(&mut removed);
    // Dovecot may have changed the file in its place, and put its time back: a message is
    // refused then, and right at the next login.
    let mut client = Pop3::login(server.pop3(), USER, PASSWORD);
    let is_refused = |client: &mut Pop3, number: u32| {
        let status = client.command(&format!("TOP {number} 0"));
        if status.ok {
            client.body();
        }
        !status.ok
    };
    let numbers = client.list();
    if numbers
        .iter()
        .any(|(number, _)| is_refused(&mut client, *number))
    {
        client.quit();
        client = Pop3::login(server.pop3(), USER, PASSWORD);
    }
    for (number, _) in client.list() {
        let text = String::from_utf8(client.retr(number)).unwrap();
        let line = text.lines().find(|line| line.starts_with("Subject: "));
        let title = line.unwrap().trim_start_matches("Subject: ").to_owned();
        let own: usize = title[8..].parse().unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(
            body,
            "From here on\r\n".repeat(own * 13 % 400) + "\r\n",
            "{title}"
        );
        assert!(
            removed.insert(title.clone()),
            "{title} is there twice, or came back"
        );
    }
    client.quit();
    let is_left = |number: &usize| !is_dovecots(*number) || number + DOVECOTS_PART >= DOVECOTS;
    let expected: BTreeSet<String> = (0..DOVECOTS).filter(is_left).map(title).collect();
    assert_eq!(removed, expected);
    server.stop();
}

fn subject(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("Subject: ").unwrap_or(line).to_owned()
}

#[test]
fn kill_in_update_loses_no_mail_of_an_mbox() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let mut site = site("");
    for round in 0..=KILLS {
        site.user(&format!("user-{round}"), PASSWORD);
    }
    site.state = site.path().join("state");
    let mut span = Duration::from_millis(4);
    let (mut nothing, mut all_gone, mut answered) = (0, 0, 0);
    for number in 0..KILLS {
        let mut server = site.start();
        let mut round = Round::prepare(&site, number, &mut rng);
        let delay = span.mul_f64(rng.f64() * 2.0);
        let was_answered = round.quit_and_kill(&mut server, delay);
        let server = site.start();
        match round.is_whole(&server, was_answered) {
            0 => nothing += 1,
            removed => all_gone += usize::from(removed == round.marked.len()),
        }
        server.stop();
        answered += usize::from(was_answered);
        span = span.mul_f64(if was_answered { 0.8 } else { 1.25 });
    }
    eprintln!("seed {seed}: before {nothing}, after {all_gone}, of these answered {answered}");
    assert!(answered > 0, "never killed after UPDATE");
    assert!(answered < KILLS, "never killed before the end of UPDATE");
}

/// One mbox and what is done to it.
struct Round {
    user: String,
    messages: Vec<Vec<u8>>,
    /// Message-numbers.
    marked: Vec<u32>,
    ids: Vec<String>,
}

impl Round {
    fn prepare(site: &Site, number: usize, rng: &mut Rng) -> Round {
        let user = format!("user-{number}");
        let noise = |rng: &mut Rng| -> String {
            let octets = rng.usize(0..40_000);
            (0..octets).map(|_| rng.alphanumeric()).collect()
        };
        let messages: Vec<Vec<u8>> = (1..=MESSAGES)
            .map(|n| format!("Subject: {user}, {n}\n\n{}\n", noise(rng)).into_bytes())
            .collect();
        let mut file = Vec::new();
        for message in &messages {
            file.extend_from_slice(b"From a@example.org Tue Nov 14 22:13:20 2023\n");
            file.extend_from_slice(message);
            file.push(b'\n');
        }
        fs::write(mbox(site, &user), file).unwrap();
        let marked = (1..=MESSAGES as u32).filter(|_| rng.bool()).collect();
        Round {
            user,
            messages,
            marked,
            ids: Vec::new(),
        }
    }

    fn quit_and_kill(&mut self, server: &mut Server, delay: Duration) -> bool {
        let mut client = Pop3::login(server.pop3(), &self.user, PASSWORD);
        self.ids = client.uidl().into_iter().map(|(_, id)| id).collect();
        for number in &self.marked {
            client.accepted(&format!("DELE {number}"));
        }
        server.kill_in_update(client, delay)
    }

    /// The next login ends what was broken off: every unmarked message is there, in
    /// its order, as it was and under its name. How many are gone.
    fn is_whole(&self, server: &Server, answered: bool) -> usize {
        let mut client = Pop3::login(server.pop3(), &self.user, PASSWORD);
        let ids = client.uidl();
        let mut left = ids.iter().peekable();
        let mut removed = 0;
        for ((number, message), id) in (1..).zip(&self.messages).zip(&self.ids) {
            if let Some((now, _)) = left.next_if(|(_, there)| there == id) {
                assert!(
                    client.retr(*now) == wire(message),
                    "{}: {number}",
                    self.user
                );
            } else {
                assert!(
                    self.marked.contains(&number),
                    "{}: {number} is lost",
                    self.user
                );
                removed += 1;
            }
        }
        assert_eq!(left.next(), None, "{}: damaged messages", self.user);
        if answered {
            assert_eq!(
                removed,
                self.marked.len(),
                "{}: QUIT was answered",
                self.user
            );
        }
        client.quit();
        removed
    }
}
