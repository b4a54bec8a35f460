//! A login as an HTTP request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_guest::authenticator::Denial;
use restante_guest::http::{self, Request};
use restante_guest::types::{Connection, Secret};
use serde_json::json;

use crate::out_of_order;
use crate::settings::{Settings, Shape};

/// What the service is asked.
pub(crate) fn of(
    settings: &Settings,
    secret: Option<&Secret>,
    connection: &Connection,
    user: &str,
    password: &Secret,
) -> Result<Request, Denial> {
    let request = match settings.form {
        Shape::Json => as_json(&settings.url, connection, user, password),
        Shape::Form => as_form(&settings.url, connection, user, password),
        Shape::Basic => as_basic(&settings.url, user, password)?,
    };
    let request = request.header("accept", "application/json");
    match secret {
        None => Ok(request),
        Some(secret)
            if secret
                .expose()
                .bytes()
                .all(|octet| octet.is_ascii_graphic()) =>
        {
            Ok(request.header(&settings.secret_header, secret.expose()))
        }
        Some(_) => Err(out_of_order(
            "secret-file: a header field takes visible ASCII characters only",
        )),
    }
}

fn as_json(url: &str, connection: &Connection, user: &str, password: &Secret) -> Request {
    let tls = connection.tls.as_ref();
    let body = json!({
        "user": user,
        "password": password.expose(),
        "client_address": client_address(connection),
        "tls": tls.map(|tls| &tls.version),
        "server_name": tls.and_then(|tls| tls.server_name.as_ref()),
        "protocol": "pop3",
        "tenant": connection.tenant,
        "session": connection.session,
    });
    Request::post(url, "application/json", body.to_string())
}

/// None: nobody knows it, and "::" would be taken for an address.
fn client_address(connection: &Connection) -> Option<&str> {
    connection.client()?;
    Some(&connection.client_address)
}

/// The same fields; one that has no value is left out.
fn as_form(url: &str, connection: &Connection, user: &str, password: &Secret) -> Request {
    let tls = connection.tls.as_ref();
    let fields = [
        ("user", Some(user)),
        ("password", Some(password.expose())),
        ("client_address", client_address(connection)),
        ("tls", tls.map(|tls| &*tls.version)),
        (
            "server_name",
            tls.and_then(|tls| tls.server_name.as_deref()),
        ),
        ("protocol", Some("pop3")),
        ("tenant", Some(&*connection.tenant)),
        ("session", Some(&*connection.session)),
    ];
    let fields: Vec<String> = fields
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", http::form_encoded(value?))))
        .collect();
    Request::post(url, "application/x-www-form-urlencoded", fields.join("&"))
}

/// RFC 7617 section 2: no colon in the user, and no control characters at all.
fn as_basic(url: &str, user: &str, password: &Secret) -> Result<Request, Denial> {
    if user.contains(':') {
        return Err(Denial::Unknown);
    }
    if password.expose().chars().any(char::is_control) {
        return Err(Denial::Rejected);
    }
    let basic = STANDARD.encode(format!("{user}:{}", password.expose()));
    Ok(Request::get(url).header("authorization", format!("Basic {basic}")))
}
