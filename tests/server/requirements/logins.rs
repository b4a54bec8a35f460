//! Logging in to the whole server: AUTH in both forms, every password, one name
//! in two tenants.

use std::collections::HashSet;

use restante_tests::{Plugin, Pop3, Site, Tenant};

use crate::requirements::{MESSAGE, PASSWORD, Way, site};

/// Base64 as RFC 4648 section 4 has it.
fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let bits = three
            .iter()
            .chain([&0; 2])
            .take(3)
            .fold(0u32, |bits, octet| bits << 8 | u32::from(*octet));
        for place in 0..4 {
            let digit = bits >> (18 - 6 * place) & 63;
            let padding = place > three.len();
            text.push(if padding {
                '='
            } else {
                ALPHABET[digit as usize].into()
            });
        }
    }
    text
}

fn plain(user: &str, password: &str) -> String {
    base64(format!("\0{user}\0{password}").as_bytes())
}

#[test]
fn base64_is_what_the_rfc_says() {
    // RFC 4648 section 10.
    for (octets, text) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64(octets.as_bytes()), text);
    }
}

#[test]
fn both_forms_of_auth_over_tls() {
    let site = site();
    let server = site.start();
    for way in [Way::Stls, Way::Implicit] {
        let mut client = way.connect(&site, &server);
        client.accepted(&format!("AUTH PLAIN {}", plain("ada", PASSWORD)));
        assert_eq!(client.stat().0, 1);
        client.refused("AUTH PLAIN");
        client.quit();

        let mut client = way.connect(&site, &server);
        client.send("AUTH PLAIN");
        assert_eq!(client.challenge(), "");
        client.accepted(&plain("ada", PASSWORD));
        assert_eq!(client.stat().0, 1);
        client.quit();

        let mut client = way.connect(&site, &server);
        client.send("AUTH LOGIN");
        assert_eq!(client.challenge(), base64(b"Username:"));
        client.send(&base64(b"ada"));
        assert_eq!(client.challenge(), base64(b"Password:"));
        client.accepted(&base64(PASSWORD.as_bytes()));
        client.quit();

        let mut client = way.connect(&site, &server);
        client.send("AUTH PLAIN");
        assert_eq!(client.challenge(), "");
        client.refused("*");
        let wrong = client.refused(&format!("AUTH PLAIN {}", plain("ada", "wrong")));
        assert!(wrong.starts_with("[AUTH] "), "{wrong}");
        client.accepted(&format!("AUTH PLAIN {}", plain("ada", PASSWORD)));
        client.quit();
    }
    server.stop();
}

/// RFC 5802 section 5.1: what was heard of one exchange serves no other.
#[test]
fn every_scram_exchange_has_another_nonce() {
    let site = site();
    let server = site.start();
    let first = base64(b"n,,n=ada,r=the-client's-nonce");
    let mut challenges = HashSet::new();
    for _ in 0..3 {
        let mut client = Way::Implicit.connect(&site, &server);
        for _ in 0..2 {
            client.send(&format!("AUTH SCRAM-SHA-256 {first}"));
            let challenge = client.challenge();
            assert!(challenges.insert(challenge.clone()), "{challenge} again");
            client.refused("*");
        }
        client.quit();
    }
    server.stop();
}

/// CVE-2019-3814: with her own password she is herself, and nobody else.
#[test]
fn nobody_acts_as_another_without_the_right_to() {
    let mut site = site();
    site.user("bob", "secret of bob");
    site.maildir("bob");
    let server = site.start();
    let mut client = Way::Implicit.connect(&site, &server);
    let as_bob = base64(format!("bob\0ada\0{PASSWORD}").as_bytes());
    let refused = client.refused(&format!("AUTH PLAIN {as_bob}"));
    assert!(refused.starts_with("[AUTH] "), "{refused}");
    client.refused("STAT");
    let as_herself = base64(format!("ada\0ada\0{PASSWORD}").as_bytes());
    client.accepted(&format!("AUTH PLAIN {as_herself}"));
    assert_eq!(client.stat().0, 1);
    client.quit();
    server.stop();
}

/// Every password is a value: nothing on its way expands, quotes or cuts it.
#[test]
fn log_in_with_every_awkward_password() {
    let passwords = [
        " leads with a space",
        "ends with one ",
        "two  spaces",
        "'\"`\\",
        "$(id) ${HOME} `id`",
        "%s%n%u",
        "{user} {local} {{}}",
        "../../../etc/passwd",
        "--help",
        "a;b;c",
        "#no comment",
        "pässwörd 密码 🔑",
        "=",
        "*",
        "[AUTH]",
    ];
    let mut site = Site::new();
    for (number, password) in passwords.iter().enumerate() {
        site.user(&format!("u{number}"), password);
    }
    let server = site.start();
    for (number, password) in passwords.iter().enumerate() {
        let user = format!("u{number}");
        Pop3::login(server.pop3(), &user, password).quit();
        let mut client = Way::Implicit.connect(&site, &server);
        client.accepted(&format!("AUTH PLAIN {}", plain(&user, password)));
        client.quit();
    }
    server.stop();
}

/// One name and even one password in two tenants: two users, two maildrops, and
/// what is remembered of one is nothing for the other (CVE-2025-30189).
#[test]
fn same_name_in_two_tenants_is_two_users() {
    let mut site = Site::new();
    site.user("ada@one.example", "secret one");
    site.maildir("ada@one.example").deliver(MESSAGE);
    let other = site.path().join("other");
    for folder in ["users", "mail"] {
        std::fs::create_dir_all(other.join(folder)).unwrap();
    }
    std::fs::write(
        other.join("users/passwd"),
        "ada@two.example:{PLAIN}secret two\nada@one.example:{PLAIN}secret two\n",
    )
    .unwrap();
    site.tenants[0]
        .lines
        .push_str("domains = [\"one.example\"]\n");
    for (plugin, grants) in [
        (
            Plugin::new("other-users", "builtin:passwd-file"),
            format!(
                "directories = [{{ host = {:?}, guest = \"/users\", access = \"read\" }}]\n",
                other.join("users")
            ),
        ),
        (
            Plugin::new("other-mail", "builtin:maildir"),
            format!(
                "maildrop = {:?}\nmissing-maildrop = \"empty\"\n",
                other.join("mail/{user}")
            ),
        ),
    ] {
        let settings = match plugin.name.as_str() {
            "other-users" => "file = \"/users/passwd\"\n".to_owned(),
            _ => String::new(),
        };
        site.plugins.push(Plugin {
            settings,
            grants,
            ..plugin
        });
    }
    site.tenants.push(Tenant {
        name: "other".to_owned(),
        lines: "domains = [\"two.example\"]\nauthenticators = [\"other-users\"]\nstore = \"other-mail\"\n"
            .to_owned(),
    });
    let server = site.start();
    let attempt = |user: &str, password: &str| {
        let mut client = Pop3::connect(server.pop3());
        let status = client.authenticate(user, password);
        status.ok.then(|| client.stat().0)
    };
    // More than once: what a first login leaves behind must not change the next.
    for _ in 0..2 {
        assert_eq!(attempt("ada@one.example", "secret one"), Some(1));
        assert_eq!(attempt("ada@two.example", "secret two"), Some(0));
        assert_eq!(attempt("ada@one.example", "secret two"), None);
        assert_eq!(attempt("ada@two.example", "secret one"), None);
    }
    server.stop();
}
