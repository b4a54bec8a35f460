//! Who names users of another tenant: an authenticator in its answers, a client in
//! its names.

use std::fs;

use restante_tests::{Plugin, Pop3, Server, Site, Tenant, test_guest};

const STORED: &[u8] = b"Subject: of bob\n\nbody\n";

/// Two tenants with one store, laid out by domain. The attacked one has bob, the
/// other an authenticator that takes everybody for `account`.
fn site(account: &str) -> Site {
    let mut site = Site::new();
    site.user("bob@attacked.example", "b");
    site.maildir("attacked.example/bob").deliver(STORED);
    let template = site.path().join("mail/{domain}/{local}");
    site.plugins[1].grants = format!("maildrop = {template:?}\nmissing-maildrop = \"empty\"\n");
    let mut hostile = Plugin::new("hostile", test_guest("hostile").display().to_string());
    hostile.settings = format!("misdeed = \"other-user\"\nuser = {account:?}\n");
    site.plugins.push(hostile);
    site.tenants.clear();
    for (name, authenticator) in [("attacked", "users"), ("hostile", "hostile")] {
        site.tenants.push(Tenant {
            name: name.to_owned(),
            lines: format!(
                "domains = [\"{name}.example\"]\nserver-names = [\"pop.{name}.example\"]\n\
                 authenticators = [{authenticator:?}]\nstore = \"mail\"\n"
            ),
        });
    }
    site.limits = "failure-delay = \"0s\"\n".to_owned();
    site
}

fn refused(server: &Server, user: &str, password: &str) {
    let mut client = Pop3::connect(server.pop3());
    let status = client.authenticate(user, password);
    assert!(
        !status.ok && status.text.starts_with("[AUTH] "),
        "{status:?}"
    );
}

fn untouched(server: &Server) {
    let mut client = Pop3::login(server.pop3(), "bob@attacked.example", "b");
    assert_eq!(client.retr(1), b"Subject: of bob\r\n\r\nbody\r\n");
    client.quit();
}

#[test]
fn an_authenticator_answers_with_another_tenants_user() {
    for account in [
        "bob@attacked.example",
        "bob@ATTACKED.example",
        "bob@attacked.example.",
        "eve@hostile.example@attacked.example",
        "bob@nobodys.example",
    ] {
        let site = site(account);
        let server = site.start();
        refused(&server, "eve@hostile.example", "x");
        untouched(&server);
        let log = server.stop();
        assert!(
            log.contains("of a domain that is not the tenant's"),
            "{log}"
        );
        assert!(!site.path().join("mail/nobodys.example").exists());
    }
    // It may name its own.
    let site = site("eve@hostile.example");
    fs::create_dir_all(site.path().join("mail/hostile.example")).unwrap();
    site.maildir("hostile.example/eve").deliver(STORED);
    let server = site.start();
    Pop3::login(server.pop3(), "anybody@hostile.example", "x").quit();
    server.stop();
}

/// The server name leads to the hostile tenant: nobody there is asked.
#[test]
fn a_client_names_another_tenants_user() {
    let mut site = site("eve@hostile.example");
    let lines = &mut site.tenants[1].lines;
    *lines = lines.replace("pop.hostile.example", "localhost");
    let server = site.start();
    for user in ["bob@attacked.example", "bob@Attacked.Example"] {
        let mut client = Pop3::connect_tls(server.address("pop3s"), &site.certificate);
        let status = client.authenticate(user, "b");
        assert!(
            !status.ok && status.text.starts_with("[AUTH] "),
            "{status:?}"
        );
    }
    untouched(&server);
    let log = server.stop();
    assert!(log.contains("the domain is another tenant's"), "{log}");
    // Whom the authenticator would have let in as eve.
    assert!(!log.contains("user=\"eve@hostile.example\""), "{log}");
}

/// With a layout that keeps nobody apart there is no server.
#[test]
fn a_layout_with_which_tenants_meet_is_refused() {
    for template in ["mail/{user}", "mail/{local}", "mail/{maildrop}", "mail"] {
        let mut site = site("eve@hostile.example");
        site.plugins[1].grants = format!(
            "maildrop = {:?}\nmissing-maildrop = \"empty\"\n",
            site.path().join(template)
        );
        // Where the harness says that the tenants share, it takes it back.
        let config = site.config();
        let config = config.replace("shares-maildrops-with-other-tenants = true\n", "");
        let config = site.write_config(&config);
        let mut check = std::process::Command::new(restante_tests::binary());
        let finished = restante_tests::run_to_end(check.args(["check", "--config"]).arg(config));
        assert_eq!(finished.code, Some(1), "{finished:#?}");
        assert!(
            finished.stderr.contains("to the same mail"),
            "{finished:#?}"
        );
    }
}
