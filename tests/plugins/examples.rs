//! The plugins that are written in Python and JavaScript: their own tests pass,
//! they keep every rule of the kit, and what they say reaches mail clients.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use restante_tests::{
    Plugin, Pop3, Site, Tool, binary, plugin_in_another_language, python, repository, require,
    run_to_end,
};

const NODE: Tool = Tool {
    name: "node",
    probe: &["node", "--version"],
    packages: &["nodejs"],
};
const CURL: Tool = Tool {
    name: "curl",
    probe: &["curl", "--version"],
    packages: &["curl"],
};

/// What these plugins' compilations leave, for the kit and for servers alike: they
/// take seconds each.
fn cache() -> PathBuf {
    std::env::temp_dir().join("restante-test-examples")
}

fn folder(plugin: &str) -> PathBuf {
    repository().join("plugins").join(plugin)
}

fn passes(mut command: Command) {
    let finished = run_to_end(&mut command);
    assert_eq!(finished.code, Some(0), "{command:?}: {finished:#?}");
}

/// A site whose server finds what the kit has compiled.
fn site() -> Site {
    let mut site = Site::new();
    site.state = cache().join("restante");
    site.user("ada", "a pass word");
    site.maildir("ada");
    site
}

fn add(site: &mut Site, name: &str, component: &Path, settings: &str, tenant: &str) {
    let mut plugin = Plugin::new(name, component.to_str().unwrap());
    plugin.settings = settings.to_owned();
    site.plugins.push(plugin);
    site.tenants[0].lines.push_str(tenant);
}

fn keeps_every_rule(component: &Path, arguments: &[&str]) {
    let finished = run_to_end(
        Command::new(binary())
            .args(["plugin", "test"])
            .arg(component)
            .args(arguments)
            .env("XDG_CACHE_HOME", cache()),
    );
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert!(finished.stdout.contains(" 0 failed"), "{finished:#?}");
    assert!(finished.stdout.contains(" 0 skipped"), "{finished:#?}");
}

/// What `restante check` says of a configuration that it refuses.
fn refused(site: &Site) -> String {
    let finished = site.check();
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    finished.stderr
}

#[test]
fn the_plugins_own_tests_pass() {
    for plugin in ["office-hours", "ldap-like"] {
        if let Some(mut python) = python("the_plugins_own_tests_pass") {
            python.args(["-B", "-m", "unittest"]);
            python.current_dir(folder(plugin));
            passes(python);
        }
    }
    if require("the_plugins_own_tests_pass", &[&NODE]) {
        let mut node = Command::new("node");
        node.arg("--test").current_dir(folder("redact"));
        passes(node);
    }
}

/// The day of the week, now and in UTC, some days ahead.
fn weekday(ahead: u64) -> &'static str {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let days = now.as_secs() / 86_400 + ahead;
    // The first of January 1970 was a Thursday.
    ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][usize::try_from(days % 7).unwrap()]
}

#[test]
fn office_hours_lets_clients_in_at_its_hours_and_says_when_at_others() {
    let Some(component) = plugin_in_another_language("office-hours") else {
        return;
    };
    let arguments = ["--settings", "hours=Mon-Fri 08:00-18:00"];
    keeps_every_rule(&component, &arguments);
    if !require("office_hours", &[&CURL]) {
        return;
    }
    let admissions = "admissions = [\"office-hours\"]\n";
    let with = |settings: &str| {
        let mut site = site();
        add(&mut site, "office-hours", &component, settings, admissions);
        site
    };
    let closed = format!("hours = \"{} 08:00-18:00\"\n", weekday(3));

    let site = with("hours = \"Mon-Sun 00:00-24:00\"\n");
    let finished = site.start().curl("", "ada", "a pass word");
    assert_eq!(finished.code, Some(0), "{finished:#?}");

    let site = with(&closed);
    let finished = site.start().curl("", "ada", "a pass word");
    assert_ne!(finished.code, Some(0), "{finished:#?}");
    let words = format!("during office hours, again on {}, ", weekday(3));
    assert!(finished.stderr.contains("-ERR"), "{finished:#?}");
    assert!(finished.stderr.contains(&words), "{finished:#?}");
    assert!(!finished.stderr.contains("PASS"), "{finished:#?}");

    let site = with(&format!("{closed}always-from = \"127.0.0.0/8\"\n"));
    let finished = site.start().curl("", "ada", "a pass word");
    assert_eq!(finished.code, Some(0), "{finished:#?}");

    // The zone is of the data that the component has brought along.
    let site = with(&format!("{closed}time-zone = \"Pacific/Kiritimati\"\n"));
    let finished = site.start().curl("", "ada", "a pass word");
    assert!(finished.stderr.contains("(+14)"), "{finished:#?}");

    let site = with("hours = \"Monday\"\nzone = \"UTC\"\n");
    let said = refused(&site);
    assert!(said.contains("hours: 'Monday' is not like"), "{said}");
    assert!(said.contains("zone: unknown setting"), "{said}");
}

const PEOPLE: &str = "\
dn: uid=grace,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: grace
mail: grace@example.org
mailHost: north
userPassword: {SSHA}";

#[test]
fn ldap_like_knows_users_of_a_file_by_uid_and_mail() {
    let Some(component) = plugin_in_another_language("ldap-like") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("users.ldif");
    // slappasswd -h '{SSHA}' makes such of "secret", and of "changed".
    let hashes = [
        "yZC6SxWsZ/yuPXTBI+wAriilZCkgHiYu",
        "4wH5iyzxY9gNgCLdJNq2Bu2fykwgHiYu",
    ];
    fs::write(&file, format!("{PEOPLE}{}\n", hashes[0])).unwrap();
    let password = directory.path().join("password");
    fs::write(&password, "secret\n").unwrap();
    let grant = format!("{}:/directory", directory.path().display());
    for user in ["grace", "grace@example.org"] {
        let arguments = [
            "--settings",
            "file=/directory/users.ldif",
            "--directory",
            &grant,
            "--user",
            user,
            "--password-file",
            password.to_str().unwrap(),
        ];
        keeps_every_rule(&component, &arguments);
    }
    if !require("ldap_like", &[&CURL]) {
        return;
    }

    let mut site = site();
    site.tenants[0].lines = "store = \"mail\"\nauthenticators = [\"directory\"]\n".to_owned();
    add(
        &mut site,
        "directory",
        &component,
        "file = \"/directory/users.ldif\"\nbase = \"ou=people,dc=example,dc=org\"\nattributes = \"mailHost\"\n",
        "",
    );
    site.plugins[2].grants = format!(
        "directories = [{{ host = {:?}, guest = \"/directory\" }}]\n",
        directory.path()
    );
    site.plugins[1].grants = format!(
        "maildrop = {:?}\nmissing-maildrop = \"empty\"\n",
        site.path().join("mail/{attribute.mailhost}-{user}")
    );
    site.maildir("north-grace")
        .deliver(b"Subject: one\n\nbody\n");
    let server = site.start();
    let sees_mail = |user: &str, password: &str| {
        let finished = server.curl("1", user, password);
        finished.code == Some(0) && finished.stdout == "Subject: one\r\n\r\nbody\r\n"
    };
    assert!(sees_mail("grace", "secret"));
    assert!(sees_mail("GRACE@example.org", "secret"));
    assert!(!sees_mail("grace", "changed"));
    assert!(!sees_mail("*", "secret"));
    assert!(!sees_mail("nobody", "secret"));
    // Without a reload.
    fs::write(&file, format!("{PEOPLE}{}\n", hashes[1])).unwrap();
    assert!(sees_mail("grace", "changed"));
    assert!(!sees_mail("grace", "secret"));
    // What is wrong is the operator's to read, and the client hears that it is not its fault.
    fs::write(&file, format!("{PEOPLE}{}\nnonsense\n", hashes[1])).unwrap();
    let finished = server.curl("1", "grace", "changed");
    assert!(finished.stderr.contains("[SYS/TEMP]"), "{finished:#?}");
    server.logged(&["ERROR", "file: line 7: is not"]);

    let said = refused(&site);
    assert!(said.contains("file: line 7"), "{said}");
}

#[test]
fn redact_hides_and_annotates_by_decoded_headers() {
    let Some(component) = plugin_in_another_language("redact") else {
        return;
    };
    let rules = [
        "--settings",
        "hide=spam: X-Spam-Flag: yes",
        "--settings",
        "annotate=any: Subject: *",
    ];
    keeps_every_rule(&component, &rules);
    let settings = "\
hide = [\"offers: Subject: *sonderangebot für*\"]
annotate = [\"outside: From.address: !*@example.org\", \"russian: Subject: привет*\"]
show = [\"boss: From.address: boss@example.org\"]
";
    let mut site = site();
    add(
        &mut site,
        "redact",
        &component,
        settings,
        "filters = [\"redact\"]\n",
    );
    let mut maildir = site.maildir("ada");
    for message in [
        "From: a@example.org\nSubject: plain\n\n1\n",
        // Folded in the middle, cut in the middle of a letter.
        "From: b@example.org\nSubject: =?utf-8?Q?Sonderangebot_f=C3?=\n =?utf-8?Q?=BCr_Sie?=\n\n2\n",
        "From: \"c@example.org\" <c@elsewhere.example>\nSubject: =?koi8-r?B?8NLJ18XU?=\n\n3\n",
        "From: boss@example.org\nSubject: Sonderangebot =?iso-8859-1?q?f=FCr_alle?=\n\n4\n",
    ] {
        maildir.deliver(message.as_bytes());
    }
    let server = site.start();
    let mut client = Pop3::login(server.pop3(), "ada", "a pass word");
    let bodies: Vec<String> = client
        .list()
        .iter()
        .map(|(number, octets)| {
            let message = client.retr(*number);
            assert_eq!(message.len() as u64, *octets);
            String::from_utf8(message).unwrap()
        })
        .collect();
    client.quit();
    assert_eq!(bodies.len(), 3, "{bodies:#?}");
    assert_eq!(
        bodies[0],
        "From: a@example.org\r\nSubject: plain\r\n\r\n1\r\n"
    );
    assert!(
        bodies[1].starts_with("X-Redact-Rule: outside\r\nX-Redact-Rule: russian\r\nFrom: "),
        "{bodies:#?}"
    );
    assert!(bodies[1].ends_with("\r\n3\r\n"), "{bodies:#?}");
    assert!(bodies[2].starts_with("From: boss"), "{bodies:#?}");
    // Nothing that is hidden is gone.
    assert_eq!(maildir.files().len(), 4);

    site.plugins[2].settings = "hide = [\"Subject\", \"a: Subject: /(/\"]\n".to_owned();
    let said = refused(&site);
    assert!(said.contains("hide: \"Subject\" is not"), "{said}");
    assert!(said.contains("has no regular expression"), "{said}");
}
