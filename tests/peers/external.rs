//! EXTERNAL with client certificates (RFC 4422 appendix A), through openssl and
//! curl: who is asked for one, whose counts where, and whom it logs in.
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use restante_tests::{Plugin, Site, Tenant, Tool, require, run_to_end};

const OPENSSL: Tool = Tool {
    name: "openssl",
    probe: &["openssl", "version"],
    packages: &["openssl"],
};

const CURL: Tool = Tool {
    name: "curl with POP3",
    probe: &["sh", "-c", "curl --version | grep -q pop3s"],
    packages: &["curl"],
};

/// An authority and what it issues, as PEM files.
struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: PathBuf) -> Self {
        fs::create_dir(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Test Authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join("authority.pem"), certificate.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Authority { folder, issuer }
    }

    fn pem(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// The certificate of somebody with this address, and its key.
    fn issue(&self, address: &str) -> (PathBuf, PathBuf) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let at = |end: &str| self.folder.join(format!("{address}.{end}"));
        fs::write(at("pem"), certificate.pem()).unwrap();
        fs::write(at("key"), key.serialize_pem()).unwrap();
        (at("pem"), at("key"))
    }
}

/// Tenants "acme" and "globex" by server name, each with authorities of its own,
/// and "rest", the default, with acme's.
struct Stage {
    site: Site,
    acme: Authority,
    globex: Authority,
}

fn stage() -> Stage {
    let mut site = Site::new();
    let acme = Authority::new(site.path().join("acme"));
    let globex = Authority::new(site.path().join("globex"));
    let certificates = Plugin::new("certificates", "builtin:client-certificate");
    site.plugins.push(certificates);
    site.tenants.clear();
    for (name, reached_by, authority) in [
        ("acme", "server-names = [\"pop.acme.example\"]", &acme),
        (
            "globex",
            "server-names = [\"pop.globex.example\"]\ndomains = [\"globex.example\"]",
            &globex,
        ),
        ("rest", "default = true", &acme),
    ] {
        site.tenants.push(Tenant {
            name: name.to_owned(),
            lines: format!(
                "{reached_by}\nclient-authorities = {:?}\nauthenticators = [\"certificates\", \"users\"]\nstore = \"mail\"\n",
                authority.pem()
            ),
        });
    }
    for user in ["ada@acme.example", "bob@globex.example"] {
        site.maildir(user)
            .deliver(format!("Subject: for {user}\n\n").as_bytes());
    }
    site.user("ada@acme.example", "x");
    Stage { site, acme, globex }
}

/// What the server says to these lines.
fn s_client(
    address: SocketAddr,
    starttls: bool,
    server_name: &str,
    certificate: Option<&(PathBuf, PathBuf)>,
    lines: &[&str],
) -> String {
    let mut command = openssl(address, server_name, certificate);
    command.arg("-quiet");
    if starttls {
        command.args(["-starttls", "pop3"]);
    }
    conversation(command, lines)
}

fn openssl(
    address: SocketAddr,
    server_name: &str,
    certificate: Option<&(PathBuf, PathBuf)>,
) -> Command {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-crlf", "-connect"])
        .arg(address.to_string())
        .args(["-servername", server_name]);
    if let Some((certificate, key)) = certificate {
        command.arg("-cert").arg(certificate).arg("-key").arg(key);
    }
    command
}

fn conversation(mut command: Command, lines: &[&str]) -> String {
    let mut client = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    // A handshake that fails closes the pipe.
    let _ = stdin.write_all((lines.join("\n") + "\n").as_bytes());
    // Held open until the server closes: openssl ends when its input does.
    let output = client.wait_with_output().unwrap();
    drop(stdin);
    String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
}

/// What CAPA offered.
fn mechanisms(said: &str) -> Vec<&str> {
    let line = said.lines().find_map(|line| line.strip_prefix("SASL "));
    line.unwrap_or_default().split(' ').collect()
}

#[test]
fn a_certificate_of_the_tenants_authorities_logs_in() {
    if !require("EXTERNAL", &[&OPENSSL]) {
        return;
    }
    let Stage { site, acme, .. } = stage();
    let server = site.start();
    let ada = acme.issue("ada@acme.example");
    for (listener, starttls) in [("pop3s", false), ("stls", true)] {
        let said = s_client(
            server.address(listener),
            starttls,
            "pop.acme.example",
            Some(&ada),
            &["CAPA", "AUTH EXTERNAL =", "RETR 1", "QUIT"],
        );
        assert!(mechanisms(&said).contains(&"EXTERNAL"), "{said}");
        assert!(said.contains("Subject: for ada@acme.example"), "{said}");
    }
    let log = server.stop();
    assert!(log.contains("user=\"ada@acme.example\""), "{log}");
}

#[test]
fn without_a_certificate_external_is_not_offered() {
    if !require("EXTERNAL", &[&OPENSSL]) {
        return;
    }
    let Stage { site, .. } = stage();
    let server = site.start();
    let said = s_client(
        server.address("pop3s"),
        false,
        "pop.acme.example",
        None,
        &[
            "CAPA",
            "AUTH EXTERNAL =",
            "USER ada@acme.example",
            "PASS x",
            "QUIT",
        ],
    );
    assert!(mechanisms(&said).contains(&"PLAIN"), "{said}");
    assert!(!mechanisms(&said).contains(&"EXTERNAL"), "{said}");
    assert!(said.contains("\n-ERR"), "{said}");
    // A password serves all the same.
    assert!(said.contains("1 message"), "{said}");
    server.stop();
}

#[test]
fn a_certificate_means_nothing_to_another_tenant() {
    if !require("EXTERNAL", &[&OPENSSL]) {
        return;
    }
    let Stage { site, acme, globex } = stage();
    let server = site.start();
    let address = server.address("pop3s");
    // Its authorities do not stand behind it: the handshake ends.
    let ada = acme.issue("ada@acme.example");
    let said = s_client(address, false, "pop.globex.example", Some(&ada), &["QUIT"]);
    assert!(!said.contains("signing off"), "{said}");
    let bob = globex.issue("bob@globex.example");
    let said = s_client(
        address,
        false,
        "pop.globex.example",
        Some(&bob),
        &["AUTH EXTERNAL =", "RETR 1", "QUIT"],
    );
    assert!(said.contains("Subject: for bob@globex.example"), "{said}");
    // Acme's authorities issue one with a name of globex. By a server name that
    // nobody claims, the domain of whom it wants to act as leads to globex, which
    // did not verify it.
    let forged = acme.issue("bob@globex.example");
    let as_bob = "AUTH EXTERNAL Ym9iQGdsb2JleC5leGFtcGxl";
    let said = s_client(
        address,
        false,
        "elsewhere.example",
        Some(&forged),
        &[as_bob, "STAT", "QUIT"],
    );
    assert!(said.contains("\n-ERR [AUTH]"), "{said}");
    assert!(!said.contains("message"), "{said}");
    server.stop();
}

/// A session that was resumed counts for the tenant that verified the
/// certificate, and for no other (RFC 8446 section 4.6.1: the ticket stands for
/// the client's authentication too).
#[test]
fn a_resumed_session_keeps_its_certificate_with_its_tenant() {
    if !require("EXTERNAL", &[&OPENSSL]) {
        return;
    }
    let Stage { site, acme, .. } = stage();
    let server = site.start();
    let address = server.address("pop3s");
    let ada = acme.issue("ada@acme.example");
    for version in ["-tls1_2", "-tls1_3"] {
        let ticket = site.path().join(format!("ticket{version}"));
        let begin = |server_name: &str, certificate| {
            let mut command = openssl(address, server_name, certificate);
            command.args([version, "-ign_eof"]);
            command
        };
        let mut first = begin("pop.acme.example", Some(&ada));
        first.arg("-sess_out").arg(&ticket);
        let said = conversation(first, &["CAPA", "QUIT"]);
        assert!(said.contains("New, TLS"), "{version}: {said}");
        assert!(mechanisms(&said).contains(&"EXTERNAL"), "{version}: {said}");

        let resume = |server_name| {
            let mut command = begin(server_name, None);
            command.arg("-sess_in").arg(&ticket);
            conversation(command, &["CAPA", "AUTH EXTERNAL =", "STAT", "QUIT"])
        };
        let said = resume("pop.acme.example");
        assert!(said.contains("Reused, TLS"), "{version}: {said}");
        assert!(said.contains("+OK 1 "), "{version}: {said}");
        for elsewhere in ["pop.globex.example", "elsewhere.example"] {
            let said = resume(elsewhere);
            assert!(!said.contains("Reused, TLS"), "{version}: {said}");
            assert!(
                !mechanisms(&said).contains(&"EXTERNAL"),
                "{version}: {said}"
            );
            assert!(!said.contains("+OK 1 "), "{version}: {said}");
        }
    }
    server.stop();
}

#[test]
fn nobody_acts_as_somebody_else() {
    if !require("EXTERNAL", &[&OPENSSL]) {
        return;
    }
    let Stage { site, acme, .. } = stage();
    let server = site.start();
    let eve = acme.issue("eve@acme.example");
    // "ada@acme.example"
    let as_ada = "AUTH EXTERNAL YWRhQGFjbWUuZXhhbXBsZQ==";
    let said = s_client(
        server.address("pop3s"),
        false,
        "pop.acme.example",
        Some(&eve),
        &[as_ada, "QUIT"],
    );
    assert!(said.contains("\n-ERR [AUTH]"), "{said}");
    server.logged(&["login failed", "acting-as = true"]);
    server.stop();
}

#[test]
fn curl_logs_in_with_a_certificate() {
    if !require("EXTERNAL with curl", &[&CURL]) {
        return;
    }
    let Stage { site, acme, .. } = stage();
    let server = site.start();
    let (certificate, key) = acme.issue("ada@acme.example");
    let fetched = run_to_end(
        curl(
            server.address("pop3s"),
            &site.certificate.authority,
            &certificate,
            &key,
        )
        .args(["--user", "ada@acme.example:"])
        .args(["--login-options", "AUTH=EXTERNAL"]),
    );
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
    assert_eq!(fetched.stdout, "Subject: for ada@acme.example\r\n\r\n");
    server.stop();
}

fn curl(address: SocketAddr, authority: &Path, certificate: &Path, key: &Path) -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--disable"])
        .arg(format!("pop3s://localhost:{}/1", address.port()))
        .arg("--cacert")
        .arg(authority)
        .arg("--cert")
        .arg(certificate)
        .arg("--key")
        .arg(key);
    command
}
