//! Logins against a service that is a closure.

use std::cell::RefCell;
use std::rc::Rc;

use restante_guest::authenticator::{Authenticator, Credentials, Denial};
use restante_guest::http::{Error, Method, Request, Response};
use restante_guest::testing::{set_http, set_settings};
use restante_guest::types::{Account, Connection, Failure, Secret, Tls};
use serde_json::{Value, json};

use crate::HttpAuth;
use crate::settings::Settings;

const URL: &str = "https://auth.example.org/pop3";

type Log = Rc<RefCell<Vec<Request>>>;

/// The service answers this, and keeps what it was asked.
fn service(settings: &[(&str, &str)], status: u16, body: &str) -> Log {
    set_settings([("url", URL)].iter().chain(settings).copied());
    let (asked, body) = (Log::default(), body.as_bytes().to_vec());
    let log = asked.clone();
    set_http(move |request| {
        log.borrow_mut().push(request.clone());
        Ok(Response {
            status,
            body: body.clone(),
        })
    });
    asked
}

fn connection() -> Connection {
    Connection {
        session: "s1".into(),
        tenant: "acme".into(),
        listener: "pop3s".into(),
        client_address: "192.0.2.1".into(),
        client_port: 4000,
        tls: Some(Tls {
            version: "TLSv1.3".into(),
            cipher: "TLS_AES_128_GCM_SHA256".into(),
            server_name: None,
            client_certificate: None,
        }),
    }
}

fn login_as(user: &str, password: &str) -> Result<Account, Denial> {
    let credentials = Credentials::Password {
        user: user.into(),
        acting_as: None,
        secret: Secret::new(password),
    };
    HttpAuth::authenticate(connection(), credentials)
}

fn login() -> Result<Account, Denial> {
    login_as("ada", "p&ss w=rd")
}

fn is_temporary(answer: &Result<Account, Denial>) -> bool {
    matches!(answer, Err(Denial::Failed(Failure::Temporary(_))))
}

#[test]
fn a_status_is_a_verdict() {
    for (status, body) in [(200, ""), (204, ""), (200, "\r\n"), (200, "{}")] {
        service(&[], status, body);
        assert_eq!(login().unwrap().maildrop, "ada");
    }
    for (status, denial) in [
        (401, Denial::Rejected),
        (403, Denial::Rejected),
        (404, Denial::Unknown),
    ] {
        service(&[], status, "{\"user\":\"ada\"}");
        assert_eq!(login(), Err(denial), "{status}");
    }
    for status in [100, 201, 302, 400, 405, 418, 429, 500, 503] {
        service(&[], status, "{\"user\":\"ada\"}");
        assert!(is_temporary(&login()), "{status}");
    }
}

#[test]
fn the_service_says_who_it_is() {
    let body = json!({
        "user": "ada@example.org",
        "maildrop": "a/ada",
        "attributes": {"expire": "30d", "level": 3, "vip": true},
    });
    service(&[], 200, &body.to_string());
    let account = login().unwrap();
    assert_eq!(
        (&*account.user, &*account.maildrop),
        ("ada@example.org", "a/ada")
    );
    let mut attributes = account.attributes;
    attributes.sort();
    let expected = [("expire", "30d"), ("level", "3"), ("vip", "true")];
    assert_eq!(
        attributes,
        expected.map(|(key, value)| (key.into(), value.into()))
    );
    service(&[], 200, "{\"user\":\"Ada\"}");
    assert_eq!(login().unwrap().maildrop, "Ada");
}

#[test]
fn nonsense_is_no_login() {
    for body in [
        "yes",
        "[]",
        "\"ada\"",
        "{",
        "{\"user\":1}",
        "{\"user\":\"\"}",
        "{\"user\":\"a\\u0000\"}",
        "{\"maildrop\":[]}",
        "{\"maildrop\":\"a\\nb\"}",
        "{\"attributes\":[]}",
        "{\"attributes\":{\"a\":{}}}",
        "{\"attributes\":{\"a\":null}}",
    ] {
        service(&[], 200, body);
        assert!(is_temporary(&login()), "{body}");
    }
}

#[test]
fn json_has_it_all() {
    let asked = service(&[], 200, "");
    login().unwrap();
    let asked = asked.borrow();
    assert_eq!(
        (asked.len(), asked[0].method, &*asked[0].url),
        (1, Method::Post, URL)
    );
    let body: Value = serde_json::from_slice(&asked[0].body).unwrap();
    let expected = json!({
        "user": "ada",
        "password": "p&ss w=rd",
        "client_address": "192.0.2.1",
        "tls": "TLSv1.3",
        "server_name": null,
        "protocol": "pop3",
        "tenant": "acme",
        "session": "s1",
    });
    assert_eq!(body, expected);
}

#[test]
fn a_form_is_encoded() {
    let asked = service(&[("request", "form")], 200, "");
    login_as("ada+x", "p&ss w=rd\u{e9}").unwrap();
    let body = String::from_utf8(asked.borrow()[0].body.clone()).unwrap();
    assert_eq!(
        body,
        "user=ada%2Bx&password=p%26ss+w%3Drd%C3%A9&client_address=192.0.2.1&tls=TLSv1.3&protocol=pop3&tenant=acme&session=s1"
    );
}

#[test]
fn an_unknown_client_has_no_address() {
    let connection = || Connection {
        client_address: "::".into(),
        client_port: 0,
        ..connection()
    };
    let login = || {
        let credentials = Credentials::Password {
            user: "ada".into(),
            acting_as: None,
            secret: Secret::new("x"),
        };
        HttpAuth::authenticate(connection(), credentials).unwrap()
    };
    let asked = service(&[], 200, "");
    login();
    let body: Value = serde_json::from_slice(&asked.borrow()[0].body).unwrap();
    assert_eq!(body["client_address"], Value::Null);
    let asked = service(&[("request", "form")], 200, "");
    login();
    let body = String::from_utf8(asked.borrow()[0].body.clone()).unwrap();
    assert!(!body.contains("client_address"), "{body}");
}

#[test]
fn basic_takes_what_basic_can_say() {
    let asked = service(&[("request", "basic")], 200, "");
    login_as("Aladdin", "open sesame").unwrap();
    {
        let asked = asked.borrow();
        assert_eq!(asked[0].method, Method::Get);
        // RFC 7617 section 2.
        let expected = (
            "authorization".into(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==".into(),
        );
        assert!(asked[0].headers.contains(&expected));
    }
    assert_eq!(login_as("a:b", "x"), Err(Denial::Unknown));
    assert_eq!(login_as("a", "x\ny"), Err(Denial::Rejected));
    assert_eq!(asked.borrow().len(), 1);
}

#[test]
fn some_are_not_asked_about() {
    let asked = service(&[], 200, "");
    for (user, password, denial) in [
        ("", "x", Denial::Unknown),
        ("a\r\nb", "x", Denial::Unknown),
        (&*"a".repeat(256), "x", Denial::Unknown),
        ("ada", "", Denial::Rejected),
        ("ada", &*"x".repeat(4097), Denial::Rejected),
    ] {
        assert_eq!(login_as(user, password), Err(denial));
    }
    let as_another = Credentials::Password {
        user: "ada".into(),
        acting_as: Some("bob".into()),
        secret: Secret::new("x"),
    };
    let answer = HttpAuth::authenticate(connection(), as_another);
    assert_eq!(answer, Err(Denial::Unknown));
    assert!(asked.borrow().is_empty());
}

#[test]
fn no_answer_is_a_failure() {
    for (error, temporary) in [
        (Error::Closed, true),
        (Error::TooLarge, true),
        (Error::Failed("DNS".into()), true),
        (Error::Denied, false),
    ] {
        set_settings([("url", URL)]);
        let answered = error.clone();
        set_http(move |_| Err(answered.clone()));
        let answer = login();
        assert_eq!(is_temporary(&answer), temporary, "{error:?}");
        assert!(matches!(answer, Err(Denial::Failed(_))));
    }
}

#[test]
fn problems_name_their_keys() {
    let problems = |settings: &[(&str, &str)]| {
        let settings = settings.iter();
        let settings = settings.map(|(key, value)| (key.to_string(), value.to_string()));
        Settings::parse(settings.collect())
            .err()
            .unwrap_or_default()
    };
    assert_eq!(problems(&[("url", URL)]), [""; 0]);
    for (settings, key) in [
        (&[][..], "url"),
        (&[("url", "auth.example.org")], "url"),
        (&[("url", URL), ("request", "xml")], "request"),
        (&[("url", URL), ("secret-file", "secret")], "secret-file"),
        (
            &[("url", URL), ("secret-header", "x-secret")],
            "secret-header",
        ),
        (
            &[
                ("url", URL),
                ("secret-file", "/s"),
                ("secret-header", "Host"),
            ],
            "secret-header",
        ),
        (
            &[
                ("url", URL),
                ("secret-file", "/s"),
                ("secret-header", "a b"),
            ],
            "secret-header",
        ),
        (&[("url", URL), ("tiemout", "3")], "tiemout"),
    ] {
        let found = problems(settings);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("{key}: ")), "{found:?}");
    }
}
