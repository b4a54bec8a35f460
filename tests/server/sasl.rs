//! Who logs in with what: GNU SASL, mpop, curl, fetchmail and Python's poplib
//! against the users of a passwd-file, over every kind of channel, and what the
//! answers tell of who exists.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_tests::{
    Finished, Pop3, Server, Site, Tool, binary, python, repository, require, run_to_end,
};

const PASSWORD: &str = "a pass wörd";

/// Debian's own Python, which has Debian's pyOpenSSL: that of the standard library
/// does not tell what a channel can be bound to.
const GSASL: Tool = Tool {
    name: "libgsasl and pyOpenSSL",
    probe: &[
        "/usr/bin/python3",
        "-c",
        "import ctypes, OpenSSL; ctypes.CDLL('libgsasl.so.18')",
    ],
    packages: &["libgsasl18", "python3", "python3-openssl"],
};

/// Listener, what our script and what mpop call its TLS.
const CHANNELS: [(&str, &str); 3] = [("pop3", "off"), ("stls", "starttls"), ("pop3s", "implicit")];

const DIGESTS: &str = "apop = true\ncram-md5 = true\n";

/// A site with these lines in its passwd-file; each user has one message.
fn site(lines: &[&str]) -> Site {
    let site = Site::new();
    fs::write(site.path().join("users/passwd"), lines.join("\n") + "\n").unwrap();
    for line in lines {
        let (user, _) = line.split_once(':').unwrap();
        site.maildir(user).deliver(mail(user).as_bytes());
    }
    site
}

/// Users who keep their password as it is, and APOP and CRAM-MD5 turned on.
fn site_in_the_clear(users: &[&str]) -> Site {
    let lines: Vec<String> = users
        .iter()
        .map(|user| format!("{user}:{{PLAIN}}{PASSWORD}"))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut site = site(&lines);
    site.tenants[0].lines.push_str(DIGESTS);
    site
}

fn mail(user: &str) -> String {
    format!("Subject: for {user}\n\nnobody else\n")
}

fn port(server: &Server, listener: &str) -> String {
    server.address(listener).port().to_string()
}

fn secret_file(site: &Site, name: &str, text: &str) -> PathBuf {
    let path = site.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// What `restante hash-password` prints.
fn hashed(site: &Site, password: &str, schemes: &[&str]) -> String {
    let input = secret_file(site, "to-be-hashed", &format!("{password}\n"));
    let mut command = Command::new(binary());
    command.arg("hash-password");
    for scheme in schemes {
        command.args(["--scheme", scheme]);
    }
    let finished = run_to_end(command.stdin(fs::File::open(input).unwrap()));
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    finished.stdout.trim_end().to_owned()
}

// ---- GNU SASL

/// One login with libgsasl.
#[derive(Clone, Copy)]
struct Login<'a> {
    channel: (&'a str, &'a str),
    mechanism: &'a str,
    user: &'a str,
    password: &'a str,
    authzid: &'a str,
    binding: &'a str,
}

impl Login<'_> {
    fn run(&self, site: &Site, server: &Server) -> Finished {
        let password = secret_file(site, "password", &format!("{}\n", self.password));
        let (listener, channel) = self.channel;
        run_to_end(
            Command::new("/usr/bin/python3")
                .arg(repository().join("tests/sasl/gsasl_login.py"))
                .args(["localhost", &port(server, listener), channel])
                .arg(&site.certificate.authority)
                .args([self.mechanism, self.user, self.authzid, self.binding])
                .stdin(fs::File::open(password).unwrap()),
        )
    }

    /// The status line that ends the exchange. A server that does not prove itself
    /// is none.
    fn status(&self, site: &Site, server: &Server) -> String {
        let finished = self.run(site, server);
        let what = format!("{} {} {}", self.mechanism, self.user, self.channel.1);
        assert_eq!(finished.code, Some(0), "{what}: {finished:#?}");
        finished.stdout.lines().last().unwrap().to_owned()
    }

    fn succeeds(&self, site: &Site, server: &Server) {
        let status = self.status(site, server);
        let (mechanism, channel) = (self.mechanism, self.channel.1);
        assert!(status.starts_with("+OK"), "{mechanism} {channel}: {status}");
    }

    fn fails(&self, site: &Site, server: &Server) {
        let status = self.status(site, server);
        let (mechanism, channel) = (self.mechanism, self.channel.1);
        assert!(
            status.starts_with("-ERR [AUTH]"),
            "{mechanism} {channel}: {status}"
        );
    }
}

const ADA: Login<'_> = Login {
    channel: CHANNELS[0],
    mechanism: "SCRAM-SHA-256",
    user: "ada",
    password: PASSWORD,
    authzid: "",
    binding: "none",
};

#[test]
fn gnu_sasl_logs_in_with_every_mechanism() {
    if !require("SASL", &[&GSASL]) {
        return;
    }
    let mut site = site_in_the_clear(&["ada"]);
    site.limits = "failure-delay = \"0s\"\n".to_owned();
    let keys = hashed(&site, PASSWORD, &["scram-sha-256", "scram-sha-1"]);
    let passwd = site.path().join("users/passwd");
    let lines = fs::read_to_string(&passwd).unwrap() + &format!("bob:{keys}\n");
    fs::write(&passwd, lines).unwrap();
    site.maildir("bob");
    let server = site.start();
    let mechanisms = ["SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN", "LOGIN"];
    for channel in CHANNELS {
        for user in ["ada", "bob"] {
            for mechanism in mechanisms {
                let login = Login {
                    channel,
                    mechanism,
                    user,
                    ..ADA
                };
                login.succeeds(&site, &server);
                let wrong = Login {
                    password: "a pass word",
                    ..login
                };
                wrong.fails(&site, &server);
            }
        }
        let cram_md5 = Login {
            channel,
            mechanism: "CRAM-MD5",
            ..ADA
        };
        cram_md5.succeeds(&site, &server);
        // Keys are no password.
        let bob = Login {
            user: "bob",
            ..cram_md5
        };
        bob.fails(&site, &server);
        for (authzid, may) in [("ada", true), ("bob", false), ("nobody", false)] {
            for mechanism in ["SCRAM-SHA-256", "PLAIN"] {
                let login = Login {
                    channel,
                    mechanism,
                    authzid,
                    ..ADA
                };
                if may {
                    login.succeeds(&site, &server);
                } else {
                    login.fails(&site, &server);
                }
            }
        }
    }
    // RFC 4013: what GNU SASL prepares is what is kept.
    let unprepared = Login {
        password: "a\u{a0}pass wo\u{308}rd",
        ..ADA
    };
    unprepared.succeeds(&site, &server);
    server.stop();
}

#[test]
fn gnu_sasl_binds_to_the_channel() {
    if !require("channel binding", &[&GSASL]) {
        return;
    }
    let mut site = site_in_the_clear(&["ada"]);
    site.limits = "failure-delay = \"0s\"\n".to_owned();
    let server = site.start();
    for channel in [CHANNELS[1], CHANNELS[2]] {
        for (plus, without) in [
            ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"),
            ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"),
        ] {
            let bound = Login {
                channel,
                mechanism: plus,
                binding: "exporter",
                ..ADA
            };
            bound.succeeds(&site, &server);
            let elsewhere = Login {
                binding: "wrong",
                ..bound
            };
            elsewhere.fails(&site, &server);
            let wrong = Login {
                password: "a pass word",
                ..bound
            };
            wrong.fails(&site, &server);
            // It could have bound itself, and was not offered to: a downgrade, which
            // ends with the client's first message.
            let downgraded = Login {
                mechanism: without,
                binding: "hidden",
                ..bound
            };
            downgraded.fails(&site, &server);
            let said = downgraded.run(&site, &server).stdout;
            let challenges: Vec<&str> = said.lines().collect();
            assert!(matches!(challenges[..], ["", _]), "{said}");
        }
    }
    let log = server.stop();
    for why in [
        "wrong channel binding",
        "channel binding was hidden from the client",
        "wrong SCRAM proof",
    ] {
        assert!(log.contains(why), "{why}: {log}");
    }
}

// ---- clients

/// Collects one message with each method over each channel.
fn collects(
    methods: &[&str],
    collect: impl Fn(&Site, &Server, (&str, &str), &str, &str) -> String,
) {
    let users: Vec<String> = CHANNELS
        .iter()
        .flat_map(|(listener, _)| {
            let user = move |method: &&str| format!("{listener}-{}", method.to_lowercase());
            methods.iter().map(user)
        })
        .collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let site = site_in_the_clear(&users);
    let server = site.start();
    for channel in CHANNELS {
        for method in methods {
            let user = format!("{}-{}", channel.0, method.to_lowercase());
            let got = collect(&site, &server, channel, method, &user);
            let got = got.replace("\r\n", "\n");
            assert_eq!(got, mail(&user), "{method} over {}", channel.1);
        }
    }
    server.stop();
}

fn run(command: &mut Command, home: &Path) -> Finished {
    let finished = run_to_end(
        command
            .env("HOME", home)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null()),
    );
    assert_eq!(finished.code, Some(0), "{command:?}: {finished:#?}");
    finished
}

#[test]
fn mpop_logs_in_with_every_method() {
    let tool = Tool {
        name: "mpop",
        probe: &["mpop", "--version"],
        packages: &["mpop"],
    };
    if !require("mpop", &[&tool]) {
        return;
    }
    let methods = [
        "scram-sha-256",
        "scram-sha-1",
        "cram-md5",
        "apop",
        "plain",
        "login",
        "user",
    ];
    collects(&methods, |site, server, channel, method, user| {
        let output = site.path().join(format!("got-{user}"));
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(output.join(part)).unwrap();
        }
        let config = secret_file(
            site,
            "mpoprc",
            &format!(
                "account test\nhost localhost\nport {}\nauth {method}\nuser {user}\n\
                 password \"{PASSWORD}\"\ntls {}\ntls_starttls {}\ntls_trust_file {}\n\
                 received_header off\ndelivery maildir {}\nuidls_file {}\n",
                port(server, channel.0),
                if channel.1 == "off" { "off" } else { "on" },
                if channel.1 == "starttls" { "on" } else { "off" },
                site.certificate.authority.display(),
                output.display(),
                output.join("uidls").display(),
            ),
        );
        let mut mpop = Command::new("mpop");
        mpop.arg("--file").arg(config).args(["--quiet", "test"]);
        run(&mut mpop, site.path());
        let message = fs::read_dir(output.join("new")).unwrap().next();
        fs::read_to_string(message.unwrap().unwrap().path()).unwrap()
    });
}

#[test]
fn curl_logs_in_with_every_method() {
    let tool = Tool {
        name: "curl",
        probe: &["curl", "--version"],
        packages: &["curl"],
    };
    if !require("curl", &[&tool]) {
        return;
    }
    let mut methods = vec!["CRAM-MD5", "+APOP", "PLAIN", "LOGIN"];
    let about = run_to_end(Command::new("curl").arg("--version").stdin(Stdio::null()));
    // Debian's is built without GNU SASL.
    if about.stdout.contains("gsasl") {
        methods.extend(["SCRAM-SHA-1", "SCRAM-SHA-256"]);
    }
    collects(&methods, |site, server, channel, method, user| {
        let config = secret_file(
            site,
            "curlrc",
            &format!(
                "user = \"{user}:{PASSWORD}\"\ncacert = {:?}\nlogin-options = \"AUTH={method}\"\n{}",
                site.certificate.authority,
                if channel.1 == "starttls" {
                    "ssl-reqd\n"
                } else {
                    ""
                }
            ),
        );
        let scheme = if channel.1 == "implicit" {
            "pop3s"
        } else {
            "pop3"
        };
        let mut curl = Command::new("curl");
        curl.args([
            "--disable",
            "--ipv4",
            "--silent",
            "--show-error",
            "--config",
        ])
        .arg(config)
        .arg(format!(
            "{scheme}://localhost:{}/1",
            port(server, channel.0)
        ));
        run(&mut curl, site.path()).stdout
    });
}

#[test]
fn fetchmail_logs_in_with_digests() {
    let tool = Tool {
        name: "fetchmail",
        probe: &["fetchmail", "--version"],
        packages: &["fetchmail"],
    };
    if !require("fetchmail", &[&tool]) {
        return;
    }
    collects(
        &["apop", "cram-md5"],
        |site, server, channel, method, user| {
            let got = site.path().join(format!("got-{user}"));
            let tls = format!(
                "sslproto \"tls1.2+\" sslcertck sslcertfile {:?}",
                site.certificate.authority
            );
            let config = secret_file(
                site,
                "fetchmailrc",
                &format!(
                    "set no bouncemail\nset no spambounce\nset postmaster \"root\"\n\
                 poll localhost protocol {} service {} timeout 120 {}\n\
                 user \"{user}\" password \"{PASSWORD}\" {} mda \"cat > {}\" no rewrite stripcr\n",
                    if method == "apop" { "apop" } else { "pop3" },
                    port(server, channel.0),
                    if method == "apop" {
                        ""
                    } else {
                        "auth cram-md5"
                    },
                    match channel.1 {
                        "off" => "sslproto \"\"".to_owned(),
                        "starttls" => tls,
                        _ => format!("ssl {tls}"),
                    },
                    got.display(),
                ),
            );
            let mut fetchmail = Command::new("fetchmail");
            fetchmail
                .args(["--nosyslog", "--invisible", "--fetchmailrc"])
                .arg(config)
                .env("FETCHMAILHOME", site.path());
            run(&mut fetchmail, site.path());
            fs::read_to_string(got).unwrap()
        },
    );
}

#[test]
fn poplib_logs_in_with_apop() {
    const SCRIPT: &str = "\
import poplib, ssl, sys
port, tls, authority, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
if tls == 'implicit':
    server = poplib.POP3_SSL('localhost', int(port), context=context, timeout=120)
else:
    server = poplib.POP3('localhost', int(port), timeout=120)
if tls == 'starttls':
    server.stls(context)
server.encoding = 'UTF-8'
server.apop(user, password)
print('\\n'.join(line.decode() for line in server.retr(1)[1]))
server.quit()
";
    if python("APOP").is_none() {
        return;
    }
    collects(&["apop"], |site, server, channel, _, user| {
        let mut python = python("APOP").unwrap();
        python
            .args(["-c", SCRIPT, &port(server, channel.0), channel.1])
            .arg(&site.certificate.authority)
            .args([user, PASSWORD]);
        run(&mut python, site.path()).stdout
    });
}

// ---- what is offered

/// The SASL line of CAPA in the clear, behind STLS and with implicit TLS, and
/// whether the greeting has a timestamp.
fn offered(site: &Site, server: &Server) -> ([String; 3], bool) {
    let openssl = |listener: &str, more: &[&str]| {
        let input = site.path().join("capa");
        fs::write(&input, "CAPA\nQUIT\n").unwrap();
        let finished = run_to_end(
            Command::new("openssl")
                .args(["s_client", "-quiet", "-verify_quiet", "-CAfile"])
                .arg(&site.certificate.authority)
                .args(["-crlf", "-connect"])
                .arg(format!("localhost:{}", port(server, listener)))
                .args(more)
                .stdin(fs::File::open(input).unwrap()),
        );
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        sasl_of(finished.stdout.lines())
    };
    let mut client = Pop3::connect(server.pop3());
    let lines = client.lines("CAPA");
    let clear = sasl_of(lines.iter().map(String::as_str));
    // APOP's timestamp is in the greeting, and there is no second one.
    let digest = "0".repeat(32);
    let apop = client.refused(&format!("APOP ada {digest}"));
    let stls = openssl("stls", &["-starttls", "pop3"]);
    (
        [clear, stls, openssl("pop3s", &[])],
        apop.starts_with("[AUTH]"),
    )
}

fn sasl_of<'a>(mut lines: impl Iterator<Item = &'a str>) -> String {
    let line = lines.find_map(|line| line.strip_prefix("SASL"));
    line.unwrap_or_default().trim().to_owned()
}

#[test]
fn what_is_offered_follows_from_the_file() {
    let openssl = Tool {
        name: "openssl",
        probe: &["openssl", "version"],
        packages: &["openssl"],
    };
    if !require("CAPA over TLS", &[&openssl]) {
        return;
    }
    const BCRYPT: &str = "$2y$05$hgdl7IdIy2vvP2erj84YNewf9ORQFyoCHc6P2S5KQ//ODeS17SRtW";
    const SHA256: &str = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,\
        WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
    let password = "PLAIN LOGIN";
    let scram = "SCRAM-SHA-256 SCRAM-SHA-1";
    let plus = "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS";
    for (lines, digests, clear, tls) in [
        (
            vec!["ada:{PLAIN}x".to_owned()],
            "",
            format!("{scram} {password}"),
            format!("{plus} {scram} {password}"),
        ),
        (
            vec!["ada:{PLAIN}x".to_owned()],
            DIGESTS,
            format!("{scram} CRAM-MD5 {password}"),
            format!("{plus} {scram} CRAM-MD5 {password}"),
        ),
        (
            vec![format!("ada:{BCRYPT}")],
            "",
            password.to_owned(),
            password.to_owned(),
        ),
        (
            vec![format!("ada:{BCRYPT}"), "bob:{PLAIN}x".to_owned()],
            DIGESTS,
            format!("CRAM-MD5 {password}"),
            format!("CRAM-MD5 {password}"),
        ),
        (
            vec![format!("ada:{BCRYPT}|{SHA256}"), format!("bob:!{BCRYPT}")],
            "",
            format!("SCRAM-SHA-256 {password}"),
            format!("SCRAM-SHA-256-PLUS SCRAM-SHA-256 {password}"),
        ),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let mut site = site(&lines);
        site.tenants[0].lines.push_str(digests);
        let server = site.start();
        let (sasl, apop) = offered(&site, &server);
        assert_eq!(sasl, [clear, tls.clone(), tls], "{lines:?}");
        assert_eq!(apop, !digests.is_empty(), "{lines:?}");
        server.stop();
    }
}

#[test]
fn digests_without_a_password_in_the_clear_are_refused_at_start() {
    let mut site = site(&["ada:$6$saltsalt$x"]);
    site.tenants[0].lines.push_str("apop = true\n");
    let finished = site.check();
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    assert!(finished.stderr.contains("`apop`"), "{finished:#?}");
}

// ---- who exists

/// Behind the nonce: salt and iteration count.
fn salt(server: &Server, mechanism: &str, user: &str) -> String {
    let mut client = Pop3::connect(server.pop3());
    let first = STANDARD.encode(format!("n,,n={user},r=rOprNGfwEbeRWgbNEkqO"));
    client.send(&format!("AUTH {mechanism} {first}"));
    let line = client.line();
    let challenge = line.strip_prefix("+ ").unwrap_or_else(|| panic!("{line}"));
    let server_first = String::from_utf8(STANDARD.decode(challenge).unwrap()).unwrap();
    let (nonce, rest) = server_first.split_once(',').unwrap();
    assert!(nonce.starts_with("r=rOprNGfwEbeRWgbNEkqO"), "{nonce}");
    rest.to_owned()
}

#[test]
fn scram_tells_nobody_who_exists() {
    let site = Site::new();
    let keys = hashed(&site, "x", &["scram-sha-256", "scram-sha-1"]);
    let passwd = format!("ada:{{PLAIN}}{PASSWORD}\nbob:{keys}\nlocked:!{keys}\n");
    fs::write(site.path().join("users/passwd"), passwd).unwrap();
    let users = [
        "ada",
        "bob",
        "locked",
        "nobody",
        "ADA",
        "nobody@elsewhere.example",
    ];
    let ask = |server: &Server| -> Vec<String> {
        let ask = |mechanism| users.map(|user| salt(server, mechanism, user));
        [ask("SCRAM-SHA-256"), ask("SCRAM-SHA-1")].concat()
    };
    let server = site.start();
    let first = ask(&server);
    assert_eq!(ask(&server), first, "the next connection");
    server.stop();
    let server = site.start();
    assert_eq!(ask(&server), first, "the next start");
    server.stop();
    for (at, one) in first.iter().enumerate() {
        // 16 octets in base64.
        assert_eq!(
            one.len(),
            "s=QUJDREVGR0hJSktMTU5PUA==,i=4096".len(),
            "{one}"
        );
        assert!(one.starts_with("s=") && one.ends_with("==,i=4096"), "{one}");
        assert!(!first[..at].contains(one), "one salt for two: {first:?}");
    }
    // Nobody can tell a user's salt who knows but his name.
    let other = Site::new();
    fs::copy(
        site.path().join("users/passwd"),
        other.path().join("users/passwd"),
    )
    .unwrap();
    let mut other = other;
    other.state = other.path().join("state");
    let server = other.start();
    assert_ne!(salt(&server, "SCRAM-SHA-256", "ada"), first[0]);
    assert_ne!(salt(&server, "SCRAM-SHA-256", "nobody"), first[3]);
    assert_eq!(salt(&server, "SCRAM-SHA-256", "bob"), first[1]);
    server.stop();
}

#[test]
fn scram_is_offered_by_the_tenants_word_whoever_has_no_keys() {
    let mut site = Site::new();
    site.limits = "failure-delay = \"0s\"\n".to_owned();
    let hash = hashed(&site, PASSWORD, &["sha512-crypt"]);
    let keys = hashed(&site, PASSWORD, &["scram-sha-256"]);
    let passwd = format!("ada:{keys}\nbob:{hash}\n");
    fs::write(site.path().join("users/passwd"), passwd).unwrap();
    let capabilities = |server: &Server| {
        let lines = Pop3::connect(server.pop3()).lines("CAPA");
        sasl_of(lines.iter().map(String::as_str))
    };
    let server = site.start();
    assert_eq!(capabilities(&server), "PLAIN LOGIN");
    server.stop();
    let check = site.check();
    assert_eq!(check.code, Some(0), "{check:#?}");
    let who = "it would lock out 1 user without keys for it, the first in line 2";
    assert!(check.stderr.contains(who), "{check:#?}");

    site.tenants[0].lines.push_str("scram = \"on\"\n");
    let server = site.start();
    assert_eq!(capabilities(&server), "SCRAM-SHA-256 PLAIN LOGIN");
    // Whose keys are there, who has none, and who does not exist: all are shown a salt.
    let shown = ["ada", "bob", "nobody"].map(|user| salt(&server, "SCRAM-SHA-256", user));
    for one in &shown {
        assert!(one.starts_with("s=") && one.ends_with("==,i=4096"), "{one}");
    }
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate("bob", PASSWORD);
    assert!(status.ok, "{status:?}");
    if require("SCRAM by the tenant's word", &[&GSASL]) {
        ADA.succeeds(&site, &server);
        let bob = Login { user: "bob", ..ADA };
        bob.fails(&site, &server);
    }
    server.stop();

    let lines = &mut site.tenants[0].lines;
    *lines = lines.replace("\"on\"", "\"off\"");
    fs::write(site.path().join("users/passwd"), format!("ada:{keys}\n")).unwrap();
    let server = site.start();
    assert_eq!(capabilities(&server), "PLAIN LOGIN");
    server.stop();
}

#[test]
fn servers_with_one_mock_secret_show_the_same_salts() {
    let salts = |secret: &str| {
        let mut site = site_in_the_clear(&["ada"]);
        site.state = site.path().join("state");
        let file = secret_file(&site, "mock", &secret.repeat(32));
        site.server = format!("mock-secret-file = {file:?}\n");
        let server = site.start();
        let salts = ["ada", "nobody"].map(|user| salt(&server, "SCRAM-SHA-256", user));
        server.stop();
        salts
    };
    let first = salts("x");
    assert_eq!(salts("x"), first);
    let other = salts("y");
    assert_ne!(other[0], first[0]);
    assert_ne!(other[1], first[1]);
}
