//! An authenticator that lets a user in as whomever he asks for (SASL's authorization
//! identity, RFC 4616).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_tests::{Pop3, Server, Site, Status};

use crate::arena::{site, under_attack};

/// ada's password, and the mail of whom she asks for.
fn ask_for(server: &Server, asked: &str) -> Status {
    let mut client = Pop3::connect(server.pop3());
    let message = STANDARD.encode(format!("{asked}\0ada\0x"));
    let status = client.command(&format!("AUTH PLAIN {message}"));
    if status.ok {
        // The maildrop is free for who comes next.
        client.quit();
    }
    status
}

fn careless() -> Site {
    let mut site = site("authenticator", "misdeed = \"ignore-acting-as\"\n");
    site.user("bob", "b");
    site.maildir("bob").deliver(b"Subject: of bob\n\nbody\n");
    site
}

#[test]
fn a_plugin_that_ignores_acting_as_lets_nobody_in_as_another() {
    let site = careless();
    let log = under_attack(&site, |server| {
        for own in ["", "ada", "ADA"] {
            let status = ask_for(server, own);
            assert!(status.ok, "{own:?} {status:?}");
        }
        let status = ask_for(server, "bob");
        assert!(
            !status.ok && status.text.starts_with("[AUTH] "),
            "{status:?}"
        );
    });
    let refused: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("login failed") && line.contains("acting-as = true"))
        .collect();
    assert_eq!(refused.len(), 1, "{log}");
    assert!(refused[0].contains("user=\"ada\""), "{refused:?}");
}

/// The operator's word lets the plugin judge, and no other plugin.
#[test]
fn a_plugin_judges_acting_as_by_the_operators_word() {
    let mut site = careless();
    let lines = &mut site.tenants[0].lines;
    let entry = "authenticators = [{ plugin = \"hostile\", acting-as = true }]";
    *lines = lines.replace("authenticators = [\"hostile\"]", entry);
    assert!(lines.contains(entry), "{lines}");
    under_attack(&site, |server| {
        let status = ask_for(server, "bob");
        assert!(status.ok, "{status:?}");
    });
}
