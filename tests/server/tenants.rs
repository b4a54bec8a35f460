//! What is wrong with one tenant's plugins and files is that tenant's alone.
use std::fs;
use std::process::Command;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use restante_tests::{
    Finished, Maildir, Plugin, Pop3, Server, Site, Tenant, binary, run_to_end, test_guest,
};
use serde_json::Value;

const MESSAGE: &[u8] = b"Subject: hello\n\nbody\n";

/// A key that signed nothing here.
const SIGNATURE_KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

/// A healthy tenant with the user ada, and the admin address.
fn site() -> Site {
    let mut site = Site::new();
    site.user("ada@well.example", "x");
    site.maildir("ada@well.example").deliver(MESSAGE);
    site.server = "admin = \"unix:admin.sock\"\n".to_owned();
    site.tenants[0] = tenant("well", "authenticators = [\"users\"]\nstore = \"mail\"\n");
    site
}

fn tenant(name: &str, lines: &str) -> Tenant {
    Tenant {
        name: name.to_owned(),
        lines: format!(
            "domains = [\"{name}.example\"]\nserver-names = [\"pop.{name}.example\"]\n{lines}"
        ),
    }
}

/// A tenant that has what the healthy one has, but for one plugin.
fn with_filter(site: &mut Site, name: &str, plugin: Plugin) {
    let lines = format!(
        "authenticators = [\"users\"]\nstore = \"mail\"\nfilters = [{:?}]\n",
        plugin.name
    );
    site.plugins.push(plugin);
    site.tenants.push(tenant(name, &lines));
}

fn restante(site: &Site, arguments: &[&str]) -> Finished {
    let config = site.path().join("restante.toml");
    let mut command = Command::new(binary());
    command.args(arguments).arg("--config").arg(config);
    run_to_end(command.env_remove("RUST_LOG"))
}

fn asked(site: &Site, command: &str) -> Value {
    let finished = restante(site, &[command, "--json"]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

/// The answer to a login in each of the ways that the tenant's clients have.
fn hears_that_it_is_out(server: &Server, site: &Site, tenant: &str) {
    let user = format!("ada@{tenant}.example");
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate(&user, "x");
    assert!(
        status.text.starts_with("[SYS/TEMP] "),
        "{tenant}: {status:?}"
    );
    // A name without password hears the same, and learns nothing of who exists.
    let mut client = Pop3::connect_tls(server.address("pop3s"), &site.certificate);
    let status = client.authenticate(&format!("nobody@{tenant}.example"), "wrong");
    assert!(
        status.text.starts_with("[SYS/TEMP] "),
        "{tenant}: {status:?}"
    );
    // The connection is fine: the next login may be another tenant's.
    assert!(client.authenticate("ada@well.example", "x").ok);
    client.quit();
}

fn well(server: &Server) {
    let mut client = Pop3::login(server.pop3(), "ada@well.example", "x");
    assert_eq!(client.retr(1), b"Subject: hello\r\n\r\nbody\r\n");
    client.quit();
}

/// Every way in which a tenant can be broken, each beside a healthy one, in one
/// server: and none of them is felt there.
#[test]
fn broken_tenants_are_out_alone() {
    let mut site = site();
    let file = |name: &str| site.path().join(name).display().to_string();
    let (missing, corrupt, unsigned) = (file("missing.wasm"), file("corrupt.wasm"), file("u.wasm"));
    let mut octets = fs::read(test_guest("one-user")).unwrap();
    fs::write(&unsigned, &octets).unwrap();
    let middle = octets.len() / 2;
    octets[middle..].fill(0);
    fs::write(&corrupt, octets).unwrap();
    fs::write(site.path().join("rubbish.pem"), "rubbish").unwrap();

    with_filter(
        &mut site,
        "missing",
        Plugin::new("p-missing", missing.clone()),
    );
    with_filter(
        &mut site,
        "corrupt",
        Plugin::new("p-corrupt", corrupt.clone()),
    );
    with_filter(
        &mut site,
        "no-role",
        Plugin::new("p-no-role", "builtin:maildir"),
    );
    let mut refused = Plugin::new("p-settings", "builtin:rules");
    refused.settings = "hide-headr = \"X-Spam: yes\"\n".to_owned();
    with_filter(&mut site, "settings", refused);
    let mut directory = Plugin::new("p-directory", "builtin:passwd-file");
    directory.settings = "file = \"/users/passwd\"\n".to_owned();
    directory.grants = "directories = [{ host = \"not-there\", guest = \"/users\" }]\n".to_owned();
    site.plugins.push(directory);
    let lines = "authenticators = [\"p-directory\"]\nstore = \"mail\"\n";
    site.tenants.push(tenant("directory", lines));
    site.plugins
        .push(Plugin::new("p-unsigned", unsigned.clone()));
    let lines = format!(
        "signature-keys = [{SIGNATURE_KEY:?}]\nauthenticators = [\"p-unsigned\"]\nstore = \"mail\"\n"
    );
    site.tenants.push(tenant("unsigned", &lines));
    let roles = "authenticators = [\"users\"]\nstore = \"mail\"\n";
    let lines = format!("certificate = \"rubbish.pem\"\nkey = \"rubbish.pem\"\n{roles}");
    site.tenants.push(tenant("certificate", &lines));
    let lines = format!("client-authorities = \"rubbish.pem\"\n{roles}");
    site.tenants.push(tenant("authorities", &lines));
    // Not broken: its authenticator judges digests.
    site.tenants.push(tenant(
        "digests",
        &format!("apop = true\ndefault = true\n{roles}"),
    ));
    let broken = [
        ("missing", "missing.wasm` does not exist"),
        ("corrupt", "[plugin.p-corrupt] component"),
        ("no-role", "does not export the role `filter`"),
        ("settings", "hide-headr"),
        ("directory", "not-there` does not exist"),
        ("unsigned", "must be signed"),
        ("certificate", "rubbish.pem: holds no certificate"),
        ("authorities", "rubbish.pem: holds no certificate"),
    ];

    let server = site.start();
    well(&server);
    let log = server.log();
    let tenants = asked(&site, "tenants");
    let said = restante(&site, &["tenants"]).stdout;
    for (tenant, words) in broken {
        hears_that_it_is_out(&server, &site, tenant);
        assert!(log.contains(words), "no {words:?} in {log}");
        let is_out = format!("tenant={tenant:?}");
        let told = |line: &str| line.contains("tenant is out") && line.contains(&is_out);
        assert!(log.lines().any(told), "{tenant} is not told as out: {log}");
        let rows = tenants["tenants"].as_array().unwrap();
        let row = rows.iter().find(|row| row["tenant"] == tenant).unwrap();
        let problems = row["problems"].to_string();
        assert!(problems.contains(words.trim_matches('`')), "{row}");
        let line = format!("{tenant} is out: ");
        assert!(said.contains(&line), "{said}");
    }
    let status = asked(&site, "status");
    assert_eq!(status["tenants"], 10);
    let mut names: Vec<&str> = broken.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(status["tenants_unavailable"], serde_json::json!(names));
    let said = restante(&site, &["status"]).stdout;
    assert!(said.contains("10, 8 of them out: authorities, "), "{said}");
    well(&server);

    // What does for a start does not for a reload: the one that runs may be better.
    let line = server.reload();
    assert!(line.contains("nothing reloaded"), "{line}");
    // And `check` says everything at once.
    let finished = restante(&site, &["check"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    for (tenant, words) in broken {
        assert!(finished.stderr.contains(words), "{tenant}: {finished:#?}");
    }

    // Mended one by one, they all come in with the first reload that is right.
    let components = test_guest("every-role");
    let components = components.parent().and_then(|path| path.parent());
    let good = fs::read(components.unwrap().join("rules.wasm")).unwrap();
    for path in [&missing, &corrupt] {
        fs::write(path, &good).unwrap();
    }
    let mended = fs::read_to_string(site.path().join("restante.toml"))
        .unwrap()
        .replace("hide-headr", "hide-header")
        .replace("filters = [\"p-no-role\"]\n", "")
        .replace("host = \"not-there\"", "host = \"users\"")
        .replace(&format!("signature-keys = [{SIGNATURE_KEY:?}]\n"), "")
        .replace("certificate = \"rubbish.pem\"\nkey = \"rubbish.pem\"\n", "")
        .replace("client-authorities = \"rubbish.pem\"\n", "");
    site.write_config(&mended);
    let line = server.reload();
    assert!(!line.contains("nothing"), "{line}");
    assert_eq!(
        asked(&site, "status")["tenants_unavailable"],
        serde_json::json!([])
    );
    site.user("ada@settings.example", "y");
    site.maildir("ada@settings.example");
    Pop3::login(server.pop3(), "ada@settings.example", "y").quit();
    server.stop();
}

/// A plugin that several tenants use takes all of them along, and one that nobody
/// uses takes nobody.
#[test]
fn a_shared_plugin_takes_its_tenants_along() {
    let mut site = site();
    let broken = site.path().join("gone.wasm").display().to_string();
    with_filter(&mut site, "one", Plugin::new("gone", broken.clone()));
    let lines = "authenticators = [\"gone\"]\nstore = \"mail\"\n";
    site.tenants.push(tenant("two", lines));
    site.plugins.push(Plugin::new("idle", broken));
    let server = site.start();
    well(&server);
    for tenant in ["one", "two"] {
        hears_that_it_is_out(&server, &site, tenant);
    }
    let status = asked(&site, "status");
    assert_eq!(
        status["tenants_unavailable"],
        serde_json::json!(["one", "two"])
    );
    server.stop();
}

/// A client that comes by the tenant's server name is asked for what that tenant
/// could judge, and hears the same whatever it shows.
#[test]
fn clients_are_told_whatever_they_show() {
    let mut site = site();
    with_filter(&mut site, "out", Plugin::new("gone", "./gone.wasm"));
    let lines = &mut site.tenants[1].lines;
    *lines = lines.replace("pop.out.example", "localhost");
    let server = site.start();
    let client = || Pop3::connect_tls(server.address("pop3s"), &site.certificate);
    assert!(client().lines("CAPA").contains(&"USER".to_owned()));
    let mut client = client();
    let plain = BASE64.encode("\0ada@out.example\0x");
    let status = client.command(&format!("AUTH PLAIN {plain}"));
    assert!(status.text.starts_with("[SYS/TEMP] "), "{status:?}");
    let first = BASE64.encode("n,,n=ada@out.example,r=0123456789");
    let status = client.command(&format!("AUTH SCRAM-SHA-256 {first}"));
    assert!(status.text.starts_with("[SYS/TEMP] "), "{status:?}");
    well(&server);
    server.stop();
}

#[test]
fn a_server_without_any_tenant_that_can_serve_does_not_start() {
    let mut site = site();
    site.tenants.clear();
    with_filter(&mut site, "one", Plugin::new("gone", "./gone.wasm"));
    with_filter(&mut site, "two", Plugin::new("gone-too", "./gone-too.wasm"));
    site.write_config(&site.config());
    let finished = restante(&site, &["serve"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    for words in [
        "2 problems",
        "gone.wasm` does not exist",
        "gone-too.wasm` does not exist",
    ] {
        assert!(finished.stderr.contains(words), "{finished:#?}");
    }
}

/// A mistake in the text is nobody's alone.
#[test]
fn mistakes_in_the_text_and_the_servers_own_files_stay_fatal() {
    let mut site = site();
    with_filter(&mut site, "out", Plugin::new("gone", "./gone.wasm"));
    let good = site.config();
    let (certificate, text) = (
        format!("certificate = {:?}", site.certificate.certificate),
        "[tenant.out]\n".to_owned(),
    );
    fs::write(site.path().join("rubbish.pem"), "rubbish").unwrap();
    for (from, to, words) in [
        (&text, "[tenant.out]\nstoer = 1\n", "unknown key `stoer`"),
        (
            &certificate,
            "certificate = \"none.pem\"",
            "none.pem` does not exist",
        ),
        (
            &certificate,
            "certificate = \"rubbish.pem\"",
            "holds no certificate",
        ),
    ] {
        site.write_config(&good.replacen(from, to, 1));
        let finished = restante(&site, &["serve"]);
        assert_eq!(finished.code, Some(1), "{finished:#?}");
        for words in [words, "gone.wasm` does not exist"] {
            assert!(finished.stderr.contains(words), "{finished:#?}");
        }
    }
}

/// Tenants of the large test; `RESTANTE_TENANTS=5000` for the figures in
/// docs/operations.md.
fn many() -> usize {
    let asked = std::env::var("RESTANTE_TENANTS").ok();
    asked.map_or(2000, |count| count.parse().unwrap())
}

/// Components that these have in common.
const COMPONENTS: usize = 20;

/// The component with one more custom section: other octets, the same code.
fn variant(octets: &[u8], number: usize) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets.extend([0, 3, 1, b'n', u8::try_from(number).unwrap()]);
    octets
}

/// Thousands of tenants, each a file with two plugins of its own, over a few
/// components: each of these is compiled once, and a reload that changes one
/// tenant compiles none.
#[test]
fn thousands_of_tenants_share_their_components() {
    let count = many();
    let mut site = site();
    site.state = site.path().join("state");
    site.first = "include = \"tenants.d/*.toml\"\n".to_owned();
    site.limits = "failure-delay = \"0s\"\n".to_owned();
    let at = |name: String| site.path().join(name);
    let users = fs::read(test_guest("one-user")).unwrap();
    let guests = test_guest("one-user");
    let built_in = guests.parent().and_then(|path| path.parent()).unwrap();
    let mail = fs::read(built_in.join("maildir.wasm")).unwrap();
    for number in 0..COMPONENTS / 2 {
        fs::write(at(format!("users{number}.wasm")), variant(&users, number)).unwrap();
        fs::write(at(format!("mail{number}.wasm")), variant(&mail, number)).unwrap();
    }
    fs::create_dir(at("tenants.d".to_owned())).unwrap();
    // Beside the maildrops of the site's own tenants: none leads into another's.
    let maildrop = at("many/{tenant}".to_owned());
    for tenant in 0..count {
        let component = tenant % (COMPONENTS / 2);
        let text = format!(
            "[plugin.users{tenant}]\ncomponent = \"../users{component}.wasm\"\n\
             settings = {{ user = \"ada@t{tenant}.example\", hash = \"{{PLAIN}}x{tenant}\" }}\n\
             [plugin.mail{tenant}]\ncomponent = \"../mail{component}.wasm\"\n\
             grants = {{ maildrop = {maildrop:?} }}\n\
             [tenant.t{tenant}]\ndomains = [\"t{tenant}.example\"]\nserver-names = [\"pop.t{tenant}.example\"]\n\
             authenticators = [\"users{tenant}\"]\nstore = \"mail{tenant}\"\n"
        );
        fs::write(at(format!("tenants.d/t{tenant}.toml")), text).unwrap();
    }
    let step = count / 20;
    for tenant in (0..count).step_by(step) {
        Maildir::create(at(format!("many/t{tenant}"))).deliver(MESSAGE);
    }
    let began = Instant::now();
    let server = site.start();
    let (cold, resident) = (began.elapsed(), server.resident());
    let collect = |server: &Server, tenant: usize| {
        let user = format!("ada@t{tenant}.example");
        let mut client = Pop3::login(server.pop3(), &user, &format!("x{tenant}"));
        assert_eq!(client.retr(1), b"Subject: hello\r\n\r\nbody\r\n");
        client.quit();
        let mut client = Pop3::connect(server.pop3());
        assert!(!client.authenticate(&user, "x").ok);
    };
    collect(&server, 0);
    let compiled = |server: &Server| server.log().matches("component compiled").count();
    // With "users" and "mail" of the healthy tenant.
    assert_eq!(compiled(&server), COMPONENTS + 2);
    assert_eq!(asked(&site, "status")["tenants"], count + 1);
    assert_eq!(
        asked(&site, "status")["tenants_unavailable"],
        serde_json::json!([])
    );

    let one = at("tenants.d/t0.toml".to_owned());
    let text = fs::read_to_string(&one).unwrap();
    fs::write(&one, text.replace("{PLAIN}x0", "{PLAIN}y0")).unwrap();
    let began = Instant::now();
    assert!(!server.reload().contains("nothing"));
    let reload = began.elapsed();
    assert_eq!(compiled(&server), COMPONENTS + 2);
    let mut client = Pop3::login(server.pop3(), "ada@t0.example", "y0");
    assert_eq!(client.stat().0, 1);
    client.quit();
    for tenant in (step..count).step_by(step) {
        collect(&server, tenant);
    }
    let reloaded = server.resident();
    server.stop();
    let began = Instant::now();
    let server = site.start();
    let warm = began.elapsed();
    assert_eq!(compiled(&server), 0);
    collect(&server, step);
    eprintln!(
        "{count} tenants: first start {cold:?}, later ones {warm:?}, {resident} KiB; reload {reload:?}, {reloaded} KiB then"
    );
    server.stop();
}

#[test]
fn domain_of_a_user_counts_in_any_case_and_need_not_be_typed() {
    let mut site = site();
    site.tenants[0]
        .lines
        .push_str("default-domain = \"well.example\"\ndefault = true\n");
    let server = site.start();
    for name in ["ada@well.example", "ada@WELL.Example", "ada"] {
        let mut client = Pop3::login(server.pop3(), name, "x");
        assert_eq!(client.stat().0, 1, "{name}");
        client.quit();
    }
    for name in ["Ada@well.example", "ada@other.example"] {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate(name, "x");
        assert!(status.text.starts_with("[AUTH]"), "{name}: {status:?}");
    }
    server.stop();
}
