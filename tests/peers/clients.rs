//! Mail clients as people run them, in the clear, with STLS and with implicit
//! TLS: each collects everything, leaves it on the server and collects again
//! (nothing twice, only what is new), and collects and deletes. What it got is
//! compared with the mail on the server's disk.
use std::cell::Cell;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use restante_tests::{
    Finished, Maildir, Pop3, Server, Site, Tool, own_messages, repository, require, run_to_end,
};

/// The messages of tests/mail that a client may be expected to keep as they
/// are: with a header, without NUL or lone CR, which clients drop or mend.
const ORDINARY: [&str; 23] = [
    "all-crlf",
    "body-line-long",
    "crlf-no-final-line-end",
    "dot-at-the-end",
    "dot-at-the-end-without-line-end",
    "dot-first-in-body",
    "dot-line",
    "dot-lines-crlf",
    "dots-many",
    "dots-stuffed-already",
    "edge-dot-first-in-chunk",
    "edge-dot-first-when-grown",
    "edge-dot-last-in-chunk",
    "from-lookalike",
    "header-folded",
    "header-many-fields",
    "header-very-long",
    "latin-1",
    "many-blank-lines",
    "multipart",
    "no-final-line-end",
    "plain",
    "utf-8",
];

const PASSWORD: &str = "a pass word";

/// Whose maildrop this harness reads itself.
const READER: &str = "reader";

/// How the connection is secured; each has its listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Clear,
    StartTls,
    Implicit,
}

impl Channel {
    const ALL: &'static [Channel] = &[Channel::Clear, Channel::StartTls, Channel::Implicit];
    const WITHOUT_STARTTLS: &'static [Channel] = &[Channel::Clear, Channel::Implicit];

    fn listener(self) -> &'static str {
        match self {
            Channel::Clear => "pop3",
            Channel::StartTls => "stls",
            Channel::Implicit => "pop3s",
        }
    }

    /// The listener's `tls` in the configuration; our scripts use the same words.
    fn word(self) -> &'static str {
        match self {
            Channel::Clear => "off",
            Channel::StartTls => "starttls",
            Channel::Implicit => "implicit",
        }
    }

    /// One of three values, for the clients' own settings.
    fn choose<T>(self, clear: T, starttls: T, implicit: T) -> T {
        match self {
            Channel::Clear => clear,
            Channel::StartTls => starttls,
            Channel::Implicit => implicit,
        }
    }
}

/// What happens to mail once it is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Keep,
    Delete,
}

impl Then {
    fn word(self) -> &'static str {
        match self {
            Then::Keep => "keep",
            Then::Delete => "delete",
        }
    }
}

/// One account, as a client is set up for it.
struct Account<'a> {
    channel: Channel,
    port: u16,
    user: String,
    /// PEM of the authority to trust.
    authority: &'a Path,
    /// What the client keeps from one run to the next.
    home: PathBuf,
    runs: Cell<u32>,
}

impl Account<'_> {
    /// A new, empty directory for what one run collects.
    fn output(&self) -> PathBuf {
        self.runs.set(self.runs.get() + 1);
        let output = self.home.join(format!("collected-{}", self.runs.get()));
        fs::create_dir(&output).unwrap();
        output
    }

    /// Writes one of the client's own files. Some hold the password, and the
    /// clients look at who can read them.
    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.home.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A delivery agent: keeps what it reads as a file of its own in `output`.
    fn delivery_agent(&self, output: &Path) -> PathBuf {
        let script = format!(
            "#!/bin/sh\nset -e\nfile=$(mktemp '{}/XXXXXXXXXX')\ncat > \"$file\"\n",
            output.display()
        );
        self.file("deliver", &script, 0o700)
    }

    /// Runs a client, which must succeed.
    fn run(&self, command: &mut Command) -> Finished {
        let finished = self.run_any(command);
        assert_eq!(finished.code, Some(0), "{command:?}: {finished:#?}");
        finished
    }

    fn run_any(&self, command: &mut Command) -> Finished {
        run_to_end(
            command
                .env("HOME", &self.home)
                .env("LC_ALL", "C")
                .env_remove("http_proxy")
                .env_remove("all_proxy")
                .stdin(Stdio::null()),
        )
    }
}

/// A client: the programs it needs, what it can, and how it is run.
struct Client {
    name: &'static str,
    tools: &'static [Tool],
    channels: &'static [Channel],
    /// Collects what is new; the messages that it got in this run.
    collect: fn(&Account<'_>, Then) -> Vec<Vec<u8>>,
    /// Messages that this client writes anew, so that nothing can be compared.
    rewrites: &'static [&'static str],
    /// Takes out what this client itself puts into a message.
    clean: fn(Vec<u8>) -> Vec<u8>,
}

fn proves_itself(client: &Client) {
    let tools: Vec<&Tool> = client.tools.iter().collect();
    if !require(client.name, &tools) {
        return;
    }
    let stored: Vec<Vec<u8>> = own_messages()
        .into_iter()
        .filter(|(name, _)| ORDINARY.contains(&name.as_str()))
        .filter(|(name, _)| !client.rewrites.contains(&name.as_str()))
        .map(|(_, octets)| octets)
        .collect();
    assert_eq!(stored.len(), ORDINARY.len() - client.rewrites.len());

    let mut site = Site::new();
    site.user(READER, PASSWORD);
    for channel in client.channels {
        for then in [Then::Keep, Then::Delete] {
            site.user(&user(*channel, then), PASSWORD);
        }
    }
    let server = site.start();
    let mail = as_shown(&site, &server, stored);
    for channel in client.channels {
        leaves_on_server(client, &site, &server, *channel, &mail);
        deletes(client, &site, &server, *channel, &mail);
    }
    server.stop();
}

/// A message, and what a client gets of it that does not say UTF8.
struct Mail {
    stored: Vec<u8>,
    shown: Vec<u8>,
}

/// The two are the same unless a header needs UTF-8; tests/server/surrogates.rs judges
/// what it is then.
fn as_shown(site: &Site, server: &Server, stored: Vec<Vec<u8>>) -> Vec<Mail> {
    let mut maildir = site.maildir(READER);
    for octets in &stored {
        maildir.deliver(octets);
    }
    let mut pop3 = Pop3::login(server.pop3(), READER, PASSWORD);
    let mut mail = Vec::with_capacity(stored.len());
    for (number, stored) in (1..).zip(stored) {
        let shown = pop3.retr(number);
        let blank = stored.windows(2).position(|end| end == b"\n\n");
        let blank = blank.or(stored.windows(4).position(|end| end == b"\r\n\r\n"));
        if stored[..blank.unwrap_or(stored.len())].is_ascii() {
            assert!(line_ends(shown.clone()) == line_ends(stored.clone()));
        }
        mail.push(Mail { stored, shown });
    }
    pop3.quit();
    mail
}

fn shown(mail: &[Mail]) -> Vec<Vec<u8>> {
    mail.iter().map(|mail| mail.shown.clone()).collect()
}

fn user(channel: Channel, then: Then) -> String {
    format!("{}-{}", then.word(), channel.word())
}

fn account<'a>(site: &'a Site, server: &Server, channel: Channel, then: Then) -> Account<'a> {
    let user = user(channel, then);
    let home = site.path().join(format!("home-{user}"));
    fs::create_dir(&home).unwrap();
    Account {
        channel,
        port: server.address(channel.listener()).port(),
        user,
        authority: &site.certificate.authority,
        home,
        runs: Cell::new(0),
    }
}

fn leaves_on_server(
    client: &Client,
    site: &Site,
    server: &Server,
    channel: Channel,
    mail: &[Mail],
) {
    let account = account(site, server, channel, Then::Keep);
    let what = format!("{} ({channel:?})", client.name);
    let (newest, first) = mail.split_last().unwrap();
    let mut maildir = filled(site, &account, first);

    let got = (client.collect)(&account, Then::Keep);
    same_mail(&format!("{what}, first time"), client, got, &shown(first));
    let got = (client.collect)(&account, Then::Keep);
    same_mail(&format!("{what}, nothing new"), client, got, &[]);
    maildir.deliver(&newest.stored);
    let got = (client.collect)(&account, Then::Keep);
    same_mail(
        &format!("{what}, one new message"),
        client,
        got,
        std::slice::from_ref(&newest.shown),
    );
    assert_eq!(maildir.files().len(), mail.len(), "{what}: left on server");
}

fn deletes(client: &Client, site: &Site, server: &Server, channel: Channel, mail: &[Mail]) {
    let account = account(site, server, channel, Then::Delete);
    let what = format!("{} ({channel:?}), deleting", client.name);
    let maildir = filled(site, &account, mail);

    let got = (client.collect)(&account, Then::Delete);
    same_mail(&what, client, got, &shown(mail));
    assert_eq!(maildir.files(), Vec::<PathBuf>::new(), "{what}");
    let mut pop3 = Pop3::login(server.pop3(), &account.user, PASSWORD);
    assert_eq!(pop3.stat(), (0, 0), "{what}");
    pop3.quit();
}

fn filled(site: &Site, account: &Account<'_>, mail: &[Mail]) -> Maildir {
    let mut maildir = site.maildir(&account.user);
    for mail in mail {
        maildir.deliver(&mail.stored);
    }
    maildir
}

/// Compares as multisets: clients name and order what they collect as they like.
fn same_mail(what: &str, client: &Client, got: Vec<Vec<u8>>, wanted: &[Vec<u8>]) {
    let mut got: Vec<Vec<u8>> = got
        .into_iter()
        .map(|octets| (client.clean)(line_ends(octets)))
        .collect();
    let mut wanted: Vec<Vec<u8>> = wanted.iter().cloned().map(line_ends).collect();
    got.sort();
    wanted.sort();
    for octets in &got {
        assert!(
            wanted.contains(octets),
            "{what}: a message that is not on the server, or changed on its way:\n{}",
            octets[..octets.len().min(2000)].escape_ascii()
        );
    }
    assert_eq!(got.len(), wanted.len(), "{what}: number of messages");
    assert!(got == wanted, "{what}: some messages twice, others not");
}

/// Mail on disk ends its lines as the system does, and clients differ in
/// whether they end an open last line; on the wire it must be ended.
fn line_ends(octets: Vec<u8>) -> Vec<u8> {
    let mut lines: Vec<u8> = Vec::with_capacity(octets.len());
    for (at, &octet) in octets.iter().enumerate() {
        if octet != b'\r' || octets.get(at + 1) != Some(&b'\n') {
            lines.push(octet);
        }
    }
    if !lines.is_empty() && !lines.ends_with(b"\n") {
        lines.push(b'\n');
    }
    lines
}

/// For clients that keep messages as they came.
fn as_it_came(octets: Vec<u8>) -> Vec<u8> {
    octets
}

/// The contents of all files in these directories.
fn contents<const N: usize>(directories: [PathBuf; N]) -> Vec<Vec<u8>> {
    directories
        .iter()
        .flat_map(|directory| fs::read_dir(directory).unwrap())
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

// ---- curl

fn curl(account: &Account<'_>, then: Then) -> Vec<Vec<u8>> {
    let output = account.output();
    let config = account.file(
        "curlrc",
        &format!(
            "user = \"{}:{PASSWORD}\"\ncacert = {:?}\n{}",
            account.user,
            account.authority,
            account.channel.choose("", "ssl-reqd\n", "")
        ),
        0o600,
    );
    let scheme = account.channel.choose("pop3", "pop3", "pop3s");
    let url = format!("{scheme}://localhost:{}/", account.port);
    let curl = |arguments: &[&str]| {
        account.run(
            Command::new("curl")
                .args(["--disable", "--ipv4", "--silent", "--show-error"])
                .arg("--config")
                .arg(&config)
                .args(arguments),
        )
    };

    let seen = account.home.join("seen");
    let mut known = fs::read_to_string(&seen).unwrap_or_default();
    let listing = curl(&["--request", "UIDL", &url]).stdout;
    let messages: Vec<(&str, &str)> = listing
        .lines()
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let new: Vec<&str> = messages
        .iter()
        .filter(|(_, id)| !known.lines().any(|line| line == *id))
        .map(|(number, _)| *number)
        .collect();
    if !new.is_empty() {
        // One connection for all of them.
        let all = format!("{url}{{{}}}", new.join(","));
        curl(&[&all, "--output", &format!("{}/#1", output.display())]);
    }
    if then == Then::Delete {
        let mut arguments = Vec::new();
        for (number, _) in &messages {
            let message = format!("{url}{number}");
            if !arguments.is_empty() {
                // Options end with --next, the configuration file's too.
                arguments.extend(["--next", "--ipv4", "--silent", "--show-error", "--config"]);
                arguments.push(config.to_str().unwrap());
            }
            arguments.extend(["--head", "--request", "DELE"]);
            arguments.push(message.leak());
        }
        curl(&arguments);
    }
    known.extend(messages.iter().map(|(_, id)| format!("{id}\n")));
    fs::write(&seen, known).unwrap();
    contents([output])
}

#[test]
fn curl_collects() {
    proves_itself(&Client {
        name: "curl",
        tools: &[Tool {
            name: "curl",
            probe: &["curl", "--version"],
            packages: &["curl"],
        }],
        channels: Channel::ALL,
        collect: curl,
        rewrites: &[],
        clean: as_it_came,
    });
}

// ---- our own scripts around the libraries of Python and Perl

fn script(account: &Account<'_>, then: Then, interpreter: &str, script: &str) -> Vec<Vec<u8>> {
    let output = account.output();
    let password = account.file("password", &format!("{PASSWORD}\n"), 0o600);
    let finished = run_to_end(
        Command::new(interpreter)
            .arg(repository().join("tests/clients").join(script))
            .args(["localhost", &account.port.to_string()])
            .arg(account.channel.word())
            .arg(account.authority)
            .arg(&account.user)
            .arg(account.home.join("seen"))
            .arg(&output)
            .arg(then.word())
            .stdin(fs::File::open(password).unwrap()),
    );
    assert_eq!(finished.code, Some(0), "{script}: {finished:#?}");
    contents([output])
}

#[test]
fn poplib_collects() {
    proves_itself(&Client {
        name: "poplib",
        tools: &[Tool {
            name: "Python's poplib",
            probe: &["python3", "-c", "import poplib, ssl"],
            packages: &["python3"],
        }],
        channels: Channel::ALL,
        collect: |account, then| script(account, then, "python3", "poplib_collect.py"),
        rewrites: &[],
        clean: as_it_came,
    });
}

#[test]
fn net_pop3_collects() {
    proves_itself(&Client {
        name: "Net::POP3",
        tools: &[Tool {
            name: "Perl's Net::POP3 with IO::Socket::SSL",
            probe: &["perl", "-MNet::POP3", "-MIO::Socket::SSL", "-e", "1"],
            packages: &["perl", "libio-socket-ssl-perl"],
        }],
        channels: Channel::ALL,
        collect: |account, then| script(account, then, "perl", "net_pop3_collect.pl"),
        rewrites: &[],
        clean: as_it_came,
    });
}

// ---- mpop

fn mpop(account: &Account<'_>, then: Then) -> Vec<Vec<u8>> {
    let output = account.output();
    for part in ["cur", "new", "tmp"] {
        fs::create_dir(output.join(part)).unwrap();
    }
    let config = account.file(
        "mpoprc",
        &format!(
            "account test\nhost localhost\nport {}\nauth user\nuser {}\npassword \"{PASSWORD}\"\n\
             tls {}\ntls_starttls {}\ntls_trust_file {}\nkeep {}\nreceived_header off\n\
             delivery maildir {}\nuidls_file {}\n",
            account.port,
            account.user,
            account.channel.choose("off", "on", "on"),
            account.channel.choose("off", "on", "off"),
            account.authority.display(),
            if then == Then::Keep { "on" } else { "off" },
            output.display(),
            account.home.join("uidls").display(),
        ),
        0o600,
    );
    account.run(
        Command::new("mpop")
            .arg("--file")
            .arg(config)
            .args(["--quiet", "test"]),
    );
    contents([output.join("new")])
}

#[test]
fn mpop_collects() {
    proves_itself(&Client {
        name: "mpop",
        tools: &[Tool {
            name: "mpop",
            probe: &["mpop", "--version"],
            packages: &["mpop"],
        }],
        channels: Channel::ALL,
        collect: mpop,
        rewrites: &[],
        clean: as_it_came,
    });
}

// ---- fetchmail

/// fetchmail(1), EXIT CODES: there was no mail.
const FETCHMAIL_NO_MAIL: i32 = 1;

fn fetchmail(account: &Account<'_>, then: Then) -> Vec<Vec<u8>> {
    let output = account.output();
    let agent = account.delivery_agent(&output);
    let tls = format!(
        "sslproto \"tls1.2+\" sslcertck sslcertfile {:?}",
        account.authority
    );
    let config = account.file(
        "fetchmailrc",
        &format!(
            "set no bouncemail\nset no spambounce\nset postmaster \"root\"\n\
             poll localhost protocol pop3 service {} uidl timeout 120\n\
             user \"{}\" password \"{PASSWORD}\" {} mda {agent:?} no rewrite stripcr {}\n",
            account.port,
            account.user,
            account.channel.choose(
                "sslproto \"\"".to_owned(),
                tls.clone(),
                format!("ssl {tls}")
            ),
            then.word().replace("delete", "nokeep"),
        ),
        0o600,
    );
    let finished = account.run_any(
        Command::new("fetchmail")
            // Without --invisible it would add a Received field.
            .args(["--nosyslog", "--invisible", "--fetchmailrc"])
            .arg(config)
            .env("FETCHMAILHOME", &account.home),
    );
    assert!(
        matches!(finished.code, Some(0 | FETCHMAIL_NO_MAIL)),
        "fetchmail: {finished:#?}"
    );
    contents([output])
}

#[test]
fn fetchmail_collects() {
    proves_itself(&Client {
        name: "fetchmail",
        tools: &[Tool {
            name: "fetchmail",
            probe: &["fetchmail", "--version"],
            packages: &["fetchmail"],
        }],
        channels: Channel::ALL,
        collect: fetchmail,
        rewrites: &[],
        clean: as_it_came,
    });
}

// ---- getmail6

fn getmail(account: &Account<'_>, then: Then) -> Vec<Vec<u8>> {
    let output = account.output();
    let agent = account.delivery_agent(&output);
    let tls = account.channel == Channel::Implicit;
    let config = format!(
        "[retriever]\ntype = {}\nserver = localhost\nport = {}\nusername = {}\n\
         password = {PASSWORD}\ntimeout = 120\n{}\n\
         [destination]\ntype = MDA_external\npath = {}\nunixfrom = false\n\
         allow_root_commands = true\n\
         [options]\nread_all = false\ndelete = {}\ndelivered_to = false\nreceived = false\n\
         verbose = 1\n",
        if tls {
            "SimplePOP3SSLRetriever"
        } else {
            "SimplePOP3Retriever"
        },
        account.port,
        account.user,
        if tls {
            format!("ca_certs = {}", account.authority.display())
        } else {
            String::new()
        },
        agent.display(),
        then == Then::Delete,
    );
    account.file("getmailrc", &config, 0o600);
    account.run(
        Command::new("getmail")
            .arg("--getmaildir")
            .arg(&account.home)
            .args(["--rcfile", "getmailrc"]),
    );
    contents([output])
}

/// getmail6 puts this field in front of what it hands to a delivery agent.
fn without_getmails_field(octets: Vec<u8>) -> Vec<u8> {
    octets
        .strip_prefix(b"Return-Path: <unknown>\n")
        .map_or_else(|| panic!("getmail6 without Return-Path"), <[u8]>::to_vec)
}

#[test]
fn getmail_collects() {
    proves_itself(&Client {
        name: "getmail6",
        tools: &[Tool {
            name: "getmail6",
            probe: &["getmail", "--version"],
            packages: &["getmail6"],
        }],
        channels: Channel::WITHOUT_STARTTLS,
        collect: getmail,
        // It folds what is longer than 998 octets.
        rewrites: &["header-very-long"],
        clean: without_getmails_field,
    });
}

// ---- mutt

/// mutt copies what is unread, which to its cache is what it never fetched,
/// through its user interface, on a terminal of script(1).
fn mutt(account: &Account<'_>, then: Then) -> Vec<Vec<u8>> {
    let output = account.output();
    for part in ["cur", "new", "tmp"] {
        fs::create_dir(output.join(part)).unwrap();
    }
    let bodies = account.home.join("bodies");
    fs::create_dir_all(&bodies).unwrap();
    let starttls = account.channel.choose("no", "yes", "no");
    let config = account.file(
        "muttrc",
        &format!(
            "set mbox_type = Maildir\nset folder = {0:?}\nset spoolfile = {1:?}\nset record = \"\"\n\
             set confirmappend = no\nset confirmcreate = no\nset quit = yes\nset move = no\n\
             set delete = yes\nset copy = no\nset wait_key = no\nset beep = no\nset sleep_time = 0\n\
             set pop_user = \"{2}\"\nset pop_pass = \"{PASSWORD}\"\nset pop_authenticators = \"user\"\n\
             set pop_reconnect = no\nset ssl_starttls = {starttls}\nset ssl_force_tls = {starttls}\n\
             set message_cachedir = {bodies:?}\nset header_cache = {3:?}\n\
             set certificate_file = {4:?}\nset ssl_ca_certificates_file = {4:?}\n\
             set ssl_usesystemcerts = no\n",
            account.home,
            output,
            account.user,
            account.home.join("headers"),
            account.authority,
        ),
        0o600,
    );
    let keys = format!(
        "<tag-pattern>~U<enter><tag-prefix-cond><copy-message>{}<enter><end-cond>{}<exit>",
        output.display(),
        match then {
            Then::Keep => "",
            Then::Delete => "<delete-pattern>~A<enter><sync-mailbox>",
        }
    );
    let commands = account.file("keys", &format!("push '{keys}'\n"), 0o600);
    let line = format!(
        "mutt -n -F '{}' -f '{}://{}@localhost:{}/' -e 'source {}'",
        config.display(),
        account.channel.choose("pop", "pop", "pops"),
        account.user,
        account.port,
        commands.display(),
    );
    account.run(
        Command::new("script")
            .args(["--quiet", "--return", "--command", &line])
            .arg(account.home.join("screen"))
            .env("TERM", "xterm"),
    );
    contents([output.join("new"), output.join("cur")])
}

/// mutt adds these fields to the header of what it copies.
fn without_mutts_fields(octets: Vec<u8>) -> Vec<u8> {
    let blank = octets
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .map_or(octets.len(), |at| at + 1);
    let (header, body) = octets.split_at(blank);
    let mut clean: Vec<u8> = header
        .split_inclusive(|&octet| octet == b'\n')
        .filter(|line| {
            !["Content-Length:", "Lines:", "Status:"]
                .iter()
                .any(|field| line.starts_with(field.as_bytes()))
        })
        .flatten()
        .copied()
        .collect();
    clean.extend_from_slice(body);
    clean
}

#[test]
fn mutt_collects() {
    proves_itself(&Client {
        name: "mutt",
        tools: &[
            Tool {
                name: "mutt",
                probe: &["mutt", "-v"],
                packages: &["mutt"],
            },
            Tool {
                name: "script",
                probe: &["script", "--version"],
                packages: &["bsdutils"],
            },
        ],
        channels: Channel::ALL,
        collect: mutt,
        rewrites: &[],
        clean: without_mutts_fields,
    });
}
