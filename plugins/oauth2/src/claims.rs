//! What a token says of itself, and whether that will do: the members that JWTs
//! (RFC 7519 section 4.1) and introspection (RFC 7662 section 2.2) share.

use serde_json::{Map, Value};

use crate::Refusal;
use crate::settings::Terms;

/// A JSON object that somebody vouched for.
pub(crate) type Claims = Map<String, Value>;

/// Whether a claim must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Required,
    Optional,
}

/// Issuer, audience, times and scope. `expiry`: whether a token may be without
/// one; everything else that the operator asks for must be there.
pub(crate) fn check(
    claims: &Claims,
    terms: &Terms,
    expiry: Presence,
    now: u64,
) -> Result<(), Refusal> {
    if let Some(issuer) = &terms.issuer
        && claims.get("iss").and_then(Value::as_str) != Some(issuer)
    {
        return Err(Refusal::Wrong("it is from another issuer"));
    }
    if !terms.audience.is_empty() && !has_audience(claims, &terms.audience) {
        return Err(Refusal::Wrong("it is for another audience"));
    }
    times(claims, terms.leeway, expiry, now)?;
    let scopes = scopes(claims);
    let has = |wanted: &String| scopes.contains(&wanted.as_str());
    if !terms.scope.iter().all(has) {
        return Err(Refusal::Wrong("it lacks a scope that is required"));
    }
    Ok(())
}

/// `aud` is one text or several (RFC 7519 section 4.1.3).
fn has_audience(claims: &Claims, wanted: &[String]) -> bool {
    let is_wanted = |value: &Value| {
        let audience = value.as_str();
        audience.is_some_and(|audience| wanted.iter().any(|wanted| wanted == audience))
    };
    match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.iter().any(is_wanted),
        Some(audience) => is_wanted(audience),
        None => false,
    }
}

fn times(claims: &Claims, leeway: u64, expiry: Presence, now: u64) -> Result<(), Refusal> {
    let (now, leeway) = (now as f64, leeway as f64);
    match date(claims, "exp")? {
        Some(expires) if now >= expires + leeway => return Err(Refusal::Wrong("it has expired")),
        None if expiry == Presence::Required => return Err(Refusal::Wrong("it never expires")),
        _ => {}
    }
    if date(claims, "nbf")?.is_some_and(|begins| now + leeway < begins) {
        return Err(Refusal::Wrong("it is not valid yet"));
    }
    if date(claims, "iat")?.is_some_and(|issued| now + leeway < issued) {
        return Err(Refusal::Wrong("it was issued in the future"));
    }
    Ok(())
}

/// Seconds since the Unix epoch (NumericDate). A claim of another kind is wrong:
/// taken for none, it would be no bound.
fn date(claims: &Claims, name: &str) -> Result<Option<f64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if seconds.is_finite() => Ok(Some(seconds)),
            _ => Err(Refusal::Wrong("one of its times is no number")),
        },
    }
}

/// `scope` is a text with blanks between (RFC 8693 section 4.2); some issuers
/// write `scp`, as a text or an array.
fn scopes(claims: &Claims) -> Vec<&str> {
    let mut scopes = Vec::new();
    for name in ["scope", "scp"] {
        match claims.get(name) {
            Some(Value::String(text)) => scopes.extend(text.split(' ')),
            Some(Value::Array(values)) => scopes.extend(values.iter().filter_map(Value::as_str)),
            _ => {}
        }
    }
    scopes
}
