//! Configuration files.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use restante_config::{Config, ListenerTls, Problem, Problems};

/// What relative paths of a configuration can name: files `a.pem`, `a.key` and
/// `a.wasm`, a directory `a`.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    for file in ["a.pem", "a.key", "a.wasm"] {
        fs::write(folder.path().join(file), "").expect("room for an empty file");
    }
    fs::create_dir(folder.path().join("a")).expect("room for a folder");
    folder
});

/// Any text is a configuration or has problems, each with words, in the order of
/// lines that are there. What is a configuration is one again, the same, and keeps
/// what its types promise.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let first = parse(text);
    assert_eq!(parse(text), first);
    match &first {
        Ok(config) => {
            promises(config);
            in_order(text, &config.warnings);
            // What says nothing changes nothing.
            assert_eq!(parse(&format!("{text}\n# the end\n")), first);
            assert_eq!(config.fixed_differences(config), Vec::<String>::new());
            let _printed = format!("{config:?}");
        }
        Err(Problems(problems)) => {
            assert!(!problems.is_empty(), "refused without a word");
            in_order(text, problems);
        }
    }
}

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(text, Path::new("restante.toml"), FOLDER.path())
}

fn in_order(text: &str, problems: &[Problem]) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.split('\n').collect();
    // Those of the file as a whole come last.
    let order = |problem: &Problem| problem.place.map_or((1, None), |place| (0, Some(place)));
    assert!(problems.is_sorted_by_key(order));
    for problem in problems {
        if let Some(place) = problem.place {
            assert!((1..=lines.len()).contains(&place.line), "{problem}");
            let columns = lines[place.line - 1].chars().count() + 1;
            assert!((1..=columns).contains(&place.column), "{problem}");
        }
        let Problem { what, mend, .. } = problem;
        for words in [Some(what), mend.as_ref()].into_iter().flatten() {
            assert!(!words.is_empty());
            assert!(!words.contains(char::is_control), "{problem:?}");
        }
    }
}

/// What docs/configuration.md and the types of the configuration say.
fn promises(config: &Config) {
    let Config {
        server,
        listeners,
        plugins,
        tenants,
        ..
    } = config;
    let limits = &server.limits;
    assert!(limits.autologout >= Duration::from_secs(600), "RFC 1939");
    assert!(limits.line >= 255, "RFC 2449");
    assert!(limits.unauthenticated <= limits.connections);
    assert!(limits.max_failure_delay >= limits.failure_delay);
    assert!(server.state_dir.is_absolute());

    assert!(!listeners.is_empty() && !tenants.is_empty());
    let fixed = listeners.iter().filter(|it| it.address.port() != 0);
    let addresses: Vec<_> = fixed.map(|listener| listener.address).collect();
    assert_eq!(
        addresses.iter().collect::<HashSet<_>>().len(),
        addresses.len()
    );
    let certificates = tenants.iter().map(|tenant| &tenant.certificate);
    let any_certificate = certificates
        .chain([&server.certificate])
        .any(Option::is_some);
    let tls = listeners.iter().any(|it| it.tls != ListenerTls::Off);
    assert!(any_certificate || !tls, "TLS without a certificate");

    let mut claimed = HashSet::new();
    for tenant in tenants {
        let roles = [&tenant.authenticators, &tenant.selectors, &tenant.filters];
        let named = roles.into_iter().flatten().chain([&tenant.store]);
        for name in named {
            assert!(plugins.iter().any(|plugin| &plugin.name == name));
        }
        assert!(!tenant.authenticators.is_empty());
        let names = tenant.domains.iter().chain(&tenant.server_names);
        assert!(names.clone().all(|name| *name == name.to_lowercase()));
        let once = |kind, names: &[String], claimed: &mut HashSet<(u8, String)>| {
            let mut names = names.iter().cloned();
            names.all(|name| claimed.insert((kind, name)))
        };
        assert!(once(0, &tenant.domains, &mut claimed));
        assert!(once(1, &tenant.server_names, &mut claimed));
        let reached = !tenant.domains.is_empty() || !tenant.server_names.is_empty();
        assert!(reached || tenant.default, "nobody reaches it");
    }
    assert!(tenants.iter().filter(|tenant| tenant.default).count() <= 1);

    for plugin in plugins {
        let guests = plugin.grants.directories.iter().map(|it| &it.guest);
        assert!(guests.clone().all(|path| is_guest_path(path)));
        let different: HashSet<_> = guests.clone().collect();
        assert_eq!(different.len(), guests.count());
    }
}

/// Absolute, without "." and "..", not the session's own.
fn is_guest_path(path: &str) -> bool {
    let path = PathBuf::from(path);
    let plain = !path.iter().any(|part| part == "." || part == "..");
    path.is_absolute() && plain && !path.starts_with("/maildrop")
}
