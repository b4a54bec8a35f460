//! Guests that look for what others left behind.

use std::thread;

use restante_tests::{Plugin, Pop3, Server};

use crate::arena::{site, under_attack};

fn visit(server: &Server, deed: &str, secret: &str) -> String {
    let status = Pop3::connect(server.pop3()).authenticate(deed, secret);
    assert!(!status.ok, "{deed}: {status:?}");
    status.text
}

/// A pattern that many sessions fill their memory with, looked for by many more in
/// all the memory that they can have.
#[test]
fn memory_of_another_session() {
    let mut site = site("authenticator", "misdeed = \"canary\"\n");
    site.plugins[2].limits = "memory = \"16MiB\"\ncpu-time = \"20s\"\n".to_owned();
    // The places in the pool are few, so that those of the first come again.
    site.limits = "instances = 12\n".to_owned();
    under_attack(&site, |server| {
        let both = visit(server, "both", "birds of a feather");
        assert!(
            both.contains("canary found"),
            "the search finds nothing: {both}"
        );
        for _ in 0..3 {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| assert_eq!(visit(server, "leave", "tweet"), "[SYS/TEMP] left"));
                }
                for _ in 0..2 {
                    scope.spawn(|| {
                        let found = visit(server, "search", "tweet");
                        assert!(found.contains("no canary in 16777216 octets"), "{found}");
                    });
                }
            });
            for _ in 0..4 {
                let found = visit(server, "search", "tweet");
                assert!(found.contains("no canary in 16777216 octets"), "{found}");
            }
        }
    });
}

#[test]
fn settings_of_another_plugin() {
    let mut site = site(
        "authenticator",
        "misdeed = \"other-settings\"\nmine = \"seen\"\n",
    );
    let mut other = Plugin::new("other", "builtin:rules");
    other.settings = "hide-header = [\"X-Secret: of the neighbour\"]\n".to_owned();
    site.plugins.push(other);
    site.tenants[1].lines.push_str("filters = [\"other\"]\n");
    under_attack(&site, |server| {
        let seen = visit(server, "ada", "x");
        assert_eq!(seen, "[SYS/TEMP] misdeed=other-settings mine=seen");
    });
}
