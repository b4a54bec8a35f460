//! From a token's claims to the account that it opens.

use restante_guest::types::Account;
use serde_json::Value;

use crate::Refusal;
use crate::claims::Claims;
use crate::settings::{Part, Terms};

/// Octets of the longest user name.
const USER: usize = 255;

/// The account of a token whose claims are in order. `asked`: the user that the
/// client named, which must be the token's.
pub(crate) fn of(claims: &Claims, terms: &Terms, asked: Option<&str>) -> Result<Account, Refusal> {
    let user = match claims.get(&terms.user_claim) {
        Some(Value::String(user)) => terms.case.canonical(user),
        Some(_) => return Err(Refusal::Wrong("its user is no text")),
        None => return Err(Refusal::Wrong("it names no user")),
    };
    if user.is_empty() || user.len() > USER || user.chars().any(char::is_control) {
        return Err(Refusal::Wrong("its user is no user name"));
    }
    // An address that its owner typed and never proved could be anybody's.
    let verified = claims.get("email_verified");
    if terms.user_claim == "email" && verified.is_none_or(|verified| *verified != true) {
        return Err(Refusal::Wrong("its mail address is not verified"));
    }
    if asked.is_some_and(|asked| !terms.case.is_same(asked, &user)) {
        return Err(Refusal::Wrong(
            "the client asks for another user than it is for",
        ));
    }
    let maildrop = match &terms.maildrop {
        Some(parts) => maildrop(parts, &user, claims)?,
        None => user.clone(),
    };
    let attributes = terms
        .attributes
        .iter()
        .filter_map(|(name, claim)| Some((name.clone(), text(claims.get(claim)?)?)))
        .collect();
    Ok(Account {
        user,
        maildrop,
        attributes,
    })
}

fn maildrop(parts: &[Part], user: &str, claims: &Claims) -> Result<String, Refusal> {
    let mut maildrop = String::new();
    let (local, domain) = match user.rsplit_once('@') {
        Some((local, domain)) => (local, Some(domain)),
        None => (user, None),
    };
    for part in parts {
        match part {
            Part::Text(text) => maildrop.push_str(text),
            Part::User => maildrop.push_str(user),
            Part::Local => maildrop.push_str(local),
            Part::Domain => {
                let why = "maildrop: {domain} of a user without \"@\"";
                maildrop.push_str(domain.ok_or(Refusal::permanent(why.into()))?);
            }
            Part::Claim(name) => {
                let value = claims.get(name).and_then(text);
                let why = || Refusal::permanent(format!("maildrop: a token without {name}"));
                maildrop.push_str(&value.ok_or_else(why)?);
            }
        }
    }
    Ok(maildrop)
}

/// A claim as text; several with a blank between.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        Value::Array(values) => {
            let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
            Some(texts?.join(" "))
        }
        Value::Null | Value::Object(_) => None,
    }
}
