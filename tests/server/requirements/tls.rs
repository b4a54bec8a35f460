//! TLS seen from outside, octet by octet.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use restante_tests::{PATIENCE, Pop3, Stream, Tenant};

use crate::requirements::{PASSWORD, Way, site};

/// A ClientHello of the version 3.`minor`. All else in it is what a server of
/// today takes, so that nothing but the version can be refused.
fn client_hello(minor: u8) -> Vec<u8> {
    // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 and _256_, and for RSA.
    let suites: [u16; 4] = [0xc02b, 0xc02c, 0xc02f, 0xc030];
    let extensions = [
        // supported_groups: x25519, secp256r1.
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23][..],
        // ec_point_formats: uncompressed.
        &[0, 11, 0, 2, 1, 0],
        // signature_algorithms: ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256.
        &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4],
    ]
    .concat();
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.push(0);
    body.extend((2 * suites.len() as u16).to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut hello = vec![22, 3, minor.min(1)];
    hello.extend((body.len() as u16 + 4).to_be_bytes());
    hello.extend([1, 0]);
    hello.extend((body.len() as u16).to_be_bytes());
    hello.extend(body);
    hello
}

/// The first octets of what the server says to it.
fn answer(address: SocketAddr, hello: &[u8]) -> [u8; 7] {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(hello).unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn old_versions_of_tls_are_refused() {
    let site = site();
    let server = site.start();
    let said = |minor| answer(server.address("pop3s"), &client_hello(minor));
    // SSL 3.0, TLS 1.0, TLS 1.1: a fatal alert (RFC 5246 section 7.2), for the
    // version where rustls looks at that first.
    for minor in 0..=2 {
        let [kind, _, _, high, low, level, alert] = said(minor);
        assert_eq!((kind, high, low, level), (21, 0, 2, 2), "3.{minor}");
        assert!([40, 70].contains(&alert), "3.{minor}: alert {alert}");
    }
    // TLS 1.2: a handshake record with a ServerHello.
    let [kind, _, minor, _, _, message, _] = said(3);
    assert_eq!((kind, minor, message), (22, 3, 2));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let socket = Stream::Clear(TcpStream::connect(server.address("pop3s")).unwrap());
        let stream = socket.under_tls_of(&[version], "localhost", &site.certificate);
        assert_eq!(stream.version(), Some(version.version));
    }
    server.stop();
}

/// Of the listener's and the tenant's oldest version the newer one counts.
#[test]
fn no_version_of_tls_is_spoken_that_listener_or_tenant_finds_too_old() {
    let mut site = site();
    site.listeners[2].lines = "tls-minimum = \"1.3\"\n".to_owned();
    let roles = site.tenants[0].lines.clone();
    site.tenants[0].lines += "default = true\n";
    site.tenants.push(Tenant {
        name: "new".to_owned(),
        lines: format!(
            "domains = [\"new.example\"]\nserver-names = [\"new.names.example\"]\ntls-minimum = \"1.3\"\n{roles}"
        ),
    });
    site.user("eve@new.example", PASSWORD);
    site.maildir("eve@new.example");
    let server = site.start();
    let over_stls = |version, name: &str| {
        let client = Pop3::connect(server.address("stls"));
        client.try_stls(&[version], name, &site.certificate)
    };
    let implicit = |version, name: &str| {
        let socket = TcpStream::connect(server.address("pop3s")).unwrap();
        Stream::Clear(socket).try_tls_of(&[version], name, &site.certificate)
    };
    let (old, new) = (&rustls::version::TLS12, &rustls::version::TLS13);
    for (listener, version, name, spoken) in [
        ("pop3s", old, "localhost", false),
        ("pop3s", new, "localhost", true),
        ("stls", old, "localhost", true),
        ("stls", new, "localhost", true),
        ("stls", old, "new.names.example", false),
        ("stls", new, "new.names.example", true),
    ] {
        let spoken_here = match listener {
            "stls" => over_stls(version, name).is_ok(),
            _ => implicit(version, name).is_ok(),
        };
        assert_eq!(spoken_here, spoken, "{listener} {version:?} {name}");
    }
    // Who asks for another name has shaken hands as others do, and does not log in.
    let login = |version, user: &str| {
        let mut client = over_stls(version, "localhost").unwrap();
        client.authenticate(user, PASSWORD)
    };
    let refused = login(old, "eve@new.example");
    assert!(
        !refused.ok && refused.text.contains("newer version of TLS"),
        "{refused:?}"
    );
    server.logged(&["login failed", "below the tenant's `tls-minimum`"]);
    assert!(login(new, "eve@new.example").ok);
    assert!(login(old, "ada").ok);
    server.stop();
}

/// RFC 8314 section 4: what TLS was used stands with each login.
#[test]
fn tls_of_a_login_is_logged() {
    let site = site();
    let server = site.start();
    for (way, logged) in [
        (Way::Stls, "listener=stls"),
        (Way::Implicit, "listener=pop3s"),
    ] {
        let mut client = way.connect(&site, &server);
        let status = client.authenticate("ada", PASSWORD);
        assert!(status.ok, "{way:?}: {status:?}");
        client.quit();
        let logged = server.logged(&[" login ", logged]);
        assert!(logged.contains("tls=\"TLSv1.3\" cipher=\"TLS_"), "{logged}");
    }
    server.stop();
}

/// RFC 8314 section 4.1: nobody learns over a cleartext channel whether the
/// credentials were right.
#[test]
fn refused_clear_text_logins_are_all_alike() {
    let mut site = site();
    site.tenants[0]
        .lines
        .push_str("domains = [\"strict.example\"]\nplaintext-login = \"never\"\n");
    site.user("ada@strict.example", PASSWORD);
    let mut lax = site.tenants[0].clone();
    lax.name = "lax".to_owned();
    lax.lines = lax
        .lines
        .replace("strict.example", "lax.example")
        .replace("never", "always");
    site.tenants.push(lax);
    let server = site.start();
    let mut client = Way::Clear.connect(&site, &server);
    let mut answers = Vec::new();
    for (user, password) in [
        ("ada@strict.example", PASSWORD),
        ("ada@strict.example", "wrong"),
        ("nobody@strict.example", PASSWORD),
    ] {
        let status = client.authenticate(user, password);
        assert!(!status.ok, "{user}: {status:?}");
        answers.push(status);
        client = Way::Clear.connect(&site, &server);
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    let mut client = Way::Stls.connect(&site, &server);
    let status = client.authenticate("ada@strict.example", PASSWORD);
    assert!(status.ok, "{status:?}");
    client.quit();
    server.stop();
}
