//! `filter-failure`: what a client sees where a filter fails.

use restante_tests::Site;

use crate::arena::{logged_in, login, temporary, told, under_attack};

/// Five messages, a filter that fails on each, and that policy.
fn site(settings: &str, policy: &str) -> Site {
    let mut site = crate::arena::site("filter", settings);
    let mut maildir = site.maildir("ada");
    for number in 0..4 {
        maildir.deliver(format!("Subject: {number}\n\nbody\n").as_bytes());
    }
    site.tenants[0].lines.push_str(policy);
    site
}

const FAILURES: [&str; 3] = [
    "misdeed = \"trap\"\nat = \"screen\"\n",
    "misdeed = \"fail\"\n",
    "misdeed = \"field-injection\"\n",
];

#[test]
fn failing_filter_refuses_the_login() {
    for settings in FAILURES {
        let site = site(settings, "");
        under_attack(&site, |server| temporary(&login(server).1));
    }
}

#[test]
fn failing_filter_shows() {
    for settings in FAILURES {
        let site = site(settings, "filter-failure = \"show\"\n");
        let log = under_attack(&site, |server| {
            let mut client = logged_in(server);
            assert_eq!(client.list().len(), site.maildir("ada").files().len());
            assert_eq!(client.retr(1), b"Subject: 0\r\n\r\nbody\r\n");
            client.quit();
        });
        told(&log, &["the filter failed", "failures=3", "hidden=false"]);
    }
}

/// What is hidden has no number, and nothing that a client does removes it.
#[test]
fn failing_filter_hides() {
    for settings in FAILURES {
        let site = site(settings, "filter-failure = \"hide\"\n");
        let files = site.maildir("ada").files();
        let log = under_attack(&site, |server| {
            let mut client = logged_in(server);
            assert_eq!(client.stat(), (0, 0));
            client.refused("DELE 1");
            client.quit();
        });
        assert_eq!(site.maildir("ada").files(), files);
        told(&log, &["the filter failed", "messages=", "hidden=true"]);
    }
}

/// Nothing of a failure is remembered: once the filter works, it decides.
#[test]
fn filter_that_works_again_decides() {
    let site = site(FAILURES[0], "filter-failure = \"show\"\n");
    under_attack(&site, |server| {
        let count = site.maildir("ada").files().len();
        let mut client = logged_in(server);
        assert_eq!(client.list().len(), count);
        client.quit();
        site.write_config(&site.config().replace("\"trap\"", "\"hide-all\""));
        assert!(!server.reload().contains("nothing"));
        let mut client = logged_in(server);
        assert_eq!(client.list().len(), 0);
        client.quit();
    });
}
