//! OAuth 2.0 tokens, from clients that show them to an identity provider that is
//! asked about them, and everything that the provider may do meanwhile.
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_tests::{
    Answer, Certificate, Finished, Idp, PATIENCE, Plugin, Server, Site, Tool, require, run_to_end,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

const CURL: Tool = Tool {
    name: "curl",
    probe: &["curl", "--version"],
    packages: &["curl", "ca-certificates"],
};

/// Longer than anything is waited for in these tests' limits.
const LONG: Duration = Duration::from_secs(20);

/// Time for the plugin's calls: its requests may take three quarters of it.
const LIMITS: &str = "wall-time = \"4s\"\n";

/// Limits of the server where a test is refused on purpose.
const NO_DELAY: &str = "failure-delay = \"0s\"\nmax-failure-delay = \"0s\"\n";

/// Settings against the provider's keys.
fn jwt(idp: &Idp) -> String {
    format!(
        "mode = \"jwt\"\nissuer = {:?}\naudience = \"mail\"\njwks = {:?}\nuser-claim = \"preferred_username\"\n",
        idp.origin(),
        idp.url("/keys"),
    )
}

/// Ada has a message; the built-in plugin judges tokens with these settings.
fn site(settings: String, grants: String) -> Site {
    let mut site = Site::new();
    let mut plugin = Plugin::new("tokens", "builtin:oauth2");
    plugin.settings = settings;
    plugin.grants = grants;
    plugin.limits = LIMITS.to_owned();
    site.plugins[0] = plugin;
    site.tenants[0].lines = "authenticators = [\"tokens\"]\nstore = \"mail\"\n".to_owned();
    site.maildir("ada").deliver(b"Subject: hello\n\nbody\n");
    site
}

fn granted(idp: &Idp) -> String {
    format!("http = [{:?}]\n", idp.origin())
}

/// With a directory for the keys.
fn with_cache(site: &mut Site) {
    let cache = site.path().join("cache");
    fs::create_dir(&cache).unwrap();
    site.plugins[0].grants.push_str(&format!(
        "directories = [{{ host = {cache:?}, guest = \"/cache\", access = \"read-write\" }}]\n"
    ));
}

/// A connection over TLS.
struct Client(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Client {
    fn connect(site: &Site, server: &Server) -> Client {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(&site.certificate.authority).unwrap();
        roots.add(authority).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let tcp = TcpStream::connect(server.address("pop3s")).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut client = Client(BufReader::new(StreamOwned::new(tls, tcp)));
        assert!(client.line().starts_with("+OK"));
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.strip_suffix("\r\n").unwrap().to_owned()
    }

    fn command(&mut self, line: &str) -> String {
        write!(self.0.get_mut(), "{line}\r\n").unwrap();
        self.line()
    }

    /// OAUTHBEARER in one line; the answer, and the challenge before it if there
    /// was one.
    fn bearer(&mut self, user: &str, token: &str) -> (String, Option<Value>) {
        let response = format!("n,a={user},\u{1}auth=Bearer {token}\u{1}\u{1}");
        // The line's bound is far above RFC 5034's 255 octets, as tokens need it.
        self.exchange("OAUTHBEARER", &response, "AQ==")
    }

    fn exchange(
        &mut self,
        mechanism: &str,
        response: &str,
        dummy: &str,
    ) -> (String, Option<Value>) {
        let response = STANDARD.encode(response);
        let answer = self.command(&format!("AUTH {mechanism} {response}"));
        let Some(challenge) = answer.strip_prefix("+ ") else {
            return (answer, None);
        };
        let challenge = serde_json::from_slice(&STANDARD.decode(challenge).unwrap());
        (self.command(dummy), Some(challenge.unwrap()))
    }
}

/// One login of Ada's on a connection of its own: the last answer.
fn login(site: &Site, server: &Server, token: &str) -> String {
    Client::connect(site, server).bearer("ada", token).0
}

fn is_temporary(answer: &str) -> bool {
    answer.starts_with("-ERR [SYS/TEMP] ")
}

fn is_permanent(answer: &str) -> bool {
    answer.starts_with("-ERR [SYS/PERM] ")
}

fn curl(site: &Site, server: &Server, mechanism: &str, user: &str, token: &str) -> Finished {
    let config = site.path().join("curlrc");
    // A token on the command line would be everybody's to see.
    let text = format!(
        "user = \"{user}:\"\noauth2-bearer = {token:?}\ncacert = {:?}\n",
        site.certificate.authority
    );
    fs::write(&config, text).unwrap();
    let port = server.address("pop3s").port();
    run_to_end(
        Command::new("curl")
            .args([
                "--disable",
                "--ipv4",
                "--silent",
                "--show-error",
                "--config",
            ])
            .arg(&config)
            .args(["--login-options", &format!("AUTH={mechanism}")])
            .arg(format!("pop3s://localhost:{port}/1")),
    )
}

#[test]
fn curl_logs_in_with_a_token() {
    if !require("curl_logs_in_with_a_token", &[&CURL]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::create(directory.path());
    let idp = Idp::tls(&certificate);
    let grants = format!(
        "{}http-authorities = {:?}\n",
        granted(&idp),
        certificate.authority
    );
    let mut site = site(jwt(&idp), grants);
    with_cache(&mut site);
    let server = site.start();
    let token = idp.token("k1", &idp.claims("ada"));
    for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
        let got = curl(&site, &server, mechanism, "ada", &token);
        assert_eq!(got.stdout, "Subject: hello\r\n\r\nbody\r\n", "{got:?}");
        let refused = curl(&site, &server, mechanism, "bob", &token);
        // CURLE_LOGIN_DENIED
        assert_eq!(refused.code, Some(67), "{refused:?}");
    }
    // The keys were had once, for all of them.
    assert_eq!(idp.asked().len(), 1);
    let log = server.stop();
    for part in token.split('.').skip(1) {
        assert!(!log.contains(part), "a token in the log");
    }
}

#[test]
fn a_refused_client_hears_what_is_wanted() {
    let idp = Idp::plain();
    let mut site = site(jwt(&idp), granted(&idp));
    let configuration = idp.url("/.well-known/openid-configuration");
    site.server =
        format!("oauth-scope = \"openid mail\"\noauth-configuration = {configuration:?}\n");
    site.limits = NO_DELAY.to_owned();
    let server = site.start();
    let mut client = Client::connect(&site, &server);
    let mut claims = idp.claims("ada");
    claims["aud"] = json!("calendar");
    let token = idp.token("k1", &claims);
    let (answer, challenge) = client.bearer("ada", &token);
    assert!(answer.starts_with("-ERR [AUTH] "), "{answer}");
    let expected = json!({
        "status": "invalid_token",
        "scope": "openid mail",
        "openid-configuration": configuration,
    });
    assert_eq!(challenge, Some(expected));
    let response = format!("user=ada\u{1}auth=Bearer {token}\u{1}\u{1}");
    let (answer, challenge) = client.exchange("XOAUTH2", &response, "");
    assert!(answer.starts_with("-ERR [AUTH] "), "{answer}");
    let challenge = challenge.unwrap();
    assert_eq!(challenge["status"], "400");
    assert_eq!(challenge["scope"], "openid mail");
    // The same connection, with a good one.
    let token = idp.token("k1", &idp.claims("ada"));
    let (answer, challenge) = client.bearer("ada", &token);
    assert!(answer.starts_with("+OK"), "{answer}");
    assert_eq!(challenge, None);
    assert_eq!(client.command("STAT"), "+OK 1 24");
    assert!(client.command("QUIT").starts_with("+OK"));
    server.stop();
}

#[test]
fn a_provider_in_trouble_lets_nobody_in_and_holds_nobody_up() {
    let idp = Idp::plain();
    let site = site(jwt(&idp), granted(&idp));
    let server = site.start();
    let before = server.resident();
    let token = idp.token("k1", &idp.claims("ada"));
    let huge = 1 << 30;
    for answer in [
        Answer::Status(503, String::new()),
        Answer::Garbage,
        Answer::Json(json!({"keys": []})),
        Answer::Closes,
        Answer::Silent(LONG),
        Answer::Stalls(LONG),
        Answer::Huge(huge),
        Answer::HeaderWithoutEnd,
    ] {
        idp.answer("/keys", answer.clone());
        let started = Instant::now();
        let said = login(&site, &server, &token);
        assert!(is_temporary(&said), "{answer:?}: {said}");
        // It is the plugin that gave up, in words, not the host on the plugin.
        assert!(
            said.contains("tokens cannot be checked"),
            "{answer:?}: {said}"
        );
        assert!(
            started.elapsed() < LONG,
            "{answer:?}: {:?}",
            started.elapsed()
        );
    }
    let log = server.log();
    assert!(!log.contains("plugin call failed"), "{log}");
    for words in [
        "answers status 503",
        "answers something else than JSON",
        "has no keys",
        "too large",
    ] {
        assert!(log.contains(words), "{words}: {log}");
    }
    // None of the gibibyte but its beginning was taken.
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");
    // It is well again.
    idp.answer("/keys", Answer::Json(json!({"keys": [idp.jwk("k1")]})));
    assert!(login(&site, &server, &token).starts_with("+OK"));
    server.stop();
}

#[test]
fn a_provider_that_is_down() {
    let idp = Idp::plain();
    let (settings, grants) = (jwt(&idp), granted(&idp));
    let token = idp.token("k1", &idp.claims("ada"));
    let origin = idp.origin().to_owned();
    drop(idp);
    let site = site(settings, grants);
    let server = site.start();
    // The accepting thread ends a moment after its owner.
    let said = login(&site, &server, &token);
    assert!(is_temporary(&said), "{said}");
    server.logged(&["WARN", "an HTTP request failed", &origin]);
    server.stop();
}

#[test]
fn nothing_but_what_was_granted_is_asked() {
    let (idp, other) = (Idp::plain(), Idp::plain());
    let site = site(jwt(&idp), granted(&other));
    let server = site.start();
    let token = idp.token("k1", &idp.claims("ada"));
    for _ in 0..3 {
        let said = login(&site, &server, &token);
        assert!(is_permanent(&said), "{said}");
    }
    server.logged(&["ERROR", "is not named in `http`"]);
    let log = server.stop();
    // One line of the host's for all of them.
    let denied = log
        .lines()
        .filter(|line| line.contains("an HTTP request was denied"));
    let denied: Vec<_> = denied.collect();
    assert_eq!(denied.len(), 1, "{denied:?}");
    assert!(denied[0].contains(idp.origin()) && denied[0].contains("WARN"));
    assert!(idp.asked().is_empty() && idp.connections() == 0);
    assert!(other.asked().is_empty());
}

#[test]
fn redirects_lead_nowhere() {
    let (idp, other) = (Idp::plain(), Idp::plain());
    idp.answer("/keys", Answer::Status(302, other.url("/keys")));
    let site = site(
        jwt(&idp),
        format!("http = [{:?}, {:?}]\n", idp.origin(), other.origin()),
    );
    let server = site.start();
    let said = login(&site, &server, &other.token("k1", &idp.claims("ada")));
    assert!(is_permanent(&said), "{said}");
    server.logged(&["ERROR", "leads elsewhere (status 302)"]);
    server.stop();
    assert!(other.asked().is_empty());
}

#[test]
fn keys_are_kept_and_connections_too() {
    let idp = Idp::plain();
    let mut site = site(jwt(&idp), granted(&idp));
    with_cache(&mut site);
    site.limits = NO_DELAY.to_owned();
    let server = site.start();
    let token = idp.token("k1", &idp.claims("ada"));
    for _ in 0..3 {
        assert!(login(&site, &server, &token).starts_with("+OK"));
    }
    assert_eq!(idp.asked().len(), 1);
    // Names that were made up are no reason to ask again so soon.
    for kid in ["k2", "../../users/passwd", "http://localhost/keys"] {
        let said = login(&site, &server, &idp.token(kid, &idp.claims("ada")));
        assert!(said.starts_with("-ERR [AUTH] "), "{said}");
    }
    assert_eq!(idp.asked().len(), 1);
    // Half a cache is none, and is mended.
    let cache = fs::read_dir(site.path().join("cache")).unwrap();
    let files: Vec<_> = cache.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let whole = fs::read(&files[0]).unwrap();
    fs::write(&files[0], &whole[..whole.len() / 2]).unwrap();
    assert!(login(&site, &server, &token).starts_with("+OK"));
    assert_eq!(idp.asked().len(), 2);
    assert!(login(&site, &server, &token).starts_with("+OK"));
    assert_eq!(idp.asked().len(), 2);
    // Both times over one connection, by instances that knew nothing of each other.
    assert_eq!(idp.connections(), 1);
    server.stop();
}

#[test]
fn a_provider_is_asked_about_each_token() {
    let idp = Idp::plain();
    let mut site = site(String::new(), granted(&idp));
    let secrets = site.path().join("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("client"), "open: sesame\n").unwrap();
    let plugin = &mut site.plugins[0];
    plugin.settings = format!(
        "mode = \"introspection\"\nendpoint = {:?}\nclient-id = \"pop3\"\nclient-secret-file = \"/secrets/client\"\naudience = [\"mail\"]\n",
        idp.url("/introspect")
    );
    plugin.grants.push_str(&format!(
        "directories = [{{ host = {secrets:?}, guest = \"/secrets\", access = \"read\" }}]\n"
    ));
    let server = site.start();
    let active = json!({"active": true, "username": "ada", "aud": "mail"});
    idp.answer("/introspect", Answer::Json(active));
    let opaque = "2YotnFZFEjr1zCsicMWpAA";
    assert!(login(&site, &server, opaque).starts_with("+OK"));
    let asked = &idp.asked()[0];
    assert_eq!(asked.line, "POST /introspect");
    let authorization = format!("Basic {}", STANDARD.encode("pop3:open%3A+sesame"));
    assert_eq!(asked.header["authorization"], authorization);
    assert_eq!(
        asked.body,
        format!("token={opaque}&token_type_hint=access_token")
    );
    idp.answer("/introspect", Answer::Json(json!({"active": false})));
    assert!(login(&site, &server, opaque).starts_with("-ERR [AUTH] "));
    // Our own secret is wrong: the client cannot help it.
    idp.answer("/introspect", Answer::Status(401, String::new()));
    assert!(is_permanent(&login(&site, &server, opaque)));
    assert!(!server.stop().contains(opaque));
}

#[test]
fn what_is_missing_is_said_before_anybody_comes() {
    let idp = Idp::plain();
    let complaint = |settings: String, grants: &str, words: &[&str]| {
        let found = site(settings, grants.to_owned()).check();
        assert_ne!(found.code, Some(0), "{found:?}");
        let said = found.stdout.clone() + &found.stderr;
        for word in words {
            assert!(said.contains(word), "{word}: {said}");
        }
    };
    let http = granted(&idp);
    complaint(jwt(&idp), "", &["[plugin.tokens]", "wasi:http", "http = ["]);
    complaint(
        "mode = \"jwt\"\n".into(),
        &http,
        &["issuer: ", "audience: ", "user-claim: "],
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    fs::write(&file, "nothing").unwrap();
    let grants = format!("http = [\"https://localhost\"]\nhttp-authorities = {file:?}\n");
    complaint(jwt(&idp), &grants, &["[plugin.tokens]", "it holds none"]);
    let origins = "http = [\"https://localhost/path\"]\n";
    complaint(
        jwt(&idp),
        origins,
        &["https://localhost/path", "without a path"],
    );
    assert_eq!(site(jwt(&idp), http).check().code, Some(0));
}

#[test]
fn a_certificate_from_nobody_we_know() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::create(directory.path());
    let idp = Idp::tls(&certificate);
    let other = Certificate::create(&directory.path().join("other"));
    let grants = format!(
        "{}http-authorities = {:?}\n",
        granted(&idp),
        other.authority
    );
    let site = site(jwt(&idp), grants);
    let server = site.start();
    let said = login(&site, &server, &idp.token("k1", &idp.claims("ada")));
    assert!(is_temporary(&said), "{said}");
    server.logged(&["WARN", "an HTTP request failed", "invalid peer certificate"]);
    assert!(idp.asked().is_empty());
    server.stop();
}
