//! Tokens that their issuer is asked about (RFC 7662).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use restante_guest::files;
use restante_guest::http::{Request, form_encoded as form};
use restante_guest::types::Secret;

use crate::Refusal;
use crate::claims::{self, Claims, Presence};
use crate::fetch;
use crate::settings::{ClientAuth, ClientSecret, Introspection, Terms};

/// What the issuer says of a token, if it is a good one.
pub(crate) fn claims(
    token: &str,
    server: &Introspection,
    terms: &Terms,
    now: u64,
) -> Result<Claims, Refusal> {
    let claims = fetch::json(&request(token, server)?)?;
    // RFC 7662 section 2.2: nothing else counts of a token that is not active.
    match claims.get("active").and_then(|active| active.as_bool()) {
        Some(true) => {}
        Some(false) => return Err(Refusal::Wrong("its issuer says that it is not active")),
        None => {
            let endpoint = &server.endpoint;
            let why = format!("{endpoint} does not say whether the token is active");
            return Err(Refusal::temporary(why));
        }
    }
    claims::check(&claims, terms, Presence::Optional, now)?;
    Ok(claims)
}

fn request(token: &str, server: &Introspection) -> Result<Request, Refusal> {
    let secret = secret(&server.client_secret)?;
    let (id, secret) = (form(&server.client_id), form(secret.expose()));
    let mut body = format!("token={}&token_type_hint=access_token", form(token));
    if server.client_auth == ClientAuth::Post {
        body.push_str(&format!("&client_id={id}&client_secret={secret}"));
    }
    let request = Request::post(&server.endpoint, "application/x-www-form-urlencoded", body)
        .header("accept", "application/json");
    Ok(match server.client_auth {
        // RFC 6749 section 2.3.1: encoded as in a form before it becomes Basic.
        ClientAuth::Basic => {
            let basic = STANDARD.encode(format!("{id}:{secret}"));
            request.header("authorization", format!("Basic {basic}"))
        }
        ClientAuth::Post => request,
    })
}

fn secret(secret: &ClientSecret) -> Result<Secret, Refusal> {
    match secret {
        ClientSecret::Inline(secret) => Ok(secret.clone()),
        ClientSecret::File(path) => files::read_secret(path)
            .map_err(|error| Refusal::permanent(format!("client-secret-file: {error}"))),
    }
}
