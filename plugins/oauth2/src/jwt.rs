//! Tokens that are JWTs: `header.claims.signature` (RFC 7515 section 3.1,
//! RFC 7519), with the advice of RFC 8725.

use serde_json::{Map, Value};

use crate::Refusal;
use crate::claims::{self, Claims, Presence};
use crate::jwk::{Algorithm, Signed, Verdict, decode};
use crate::keys;
use crate::settings::{Jwt, Terms};

/// Octets of a `kid` that is looked for.
const KID: usize = 512;

/// Types that an access token may say it has, where the operator does not say
/// (RFC 9068 section 2.1; most issuers still write the first).
const TYPES: [&str; 2] = ["JWT", "at+jwt"];

/// The claims of a token whose signature and times are good.
pub(crate) fn claims(token: &str, jwt: &Jwt, terms: &Terms, now: u64) -> Result<Claims, Refusal> {
    let parts = Parts::read(token).ok_or(Refusal::NotMine("it is no JWT"))?;
    // Of a stranger's token nothing else counts; of ours everything, later.
    if parts.claims.get("iss").and_then(Value::as_str) != terms.issuer.as_deref() {
        return Err(Refusal::NotMine("it is from another issuer"));
    }
    let signed = parts.signed(jwt)?;
    let verdict = keys::verify(&signed, jwt, terms, now)?;
    match verdict {
        Verdict::Valid => {}
        Verdict::Invalid => return Err(Refusal::Wrong("its signature is not the issuer's")),
        Verdict::NoKey => {
            return Err(Refusal::Wrong(
                "the issuer has no key of that name and kind",
            ));
        }
    }
    claims::check(&parts.claims, terms, Presence::Required, now)?;
    Ok(parts.claims)
}

struct Parts<'a> {
    header: Map<String, Value>,
    claims: Claims,
    message: &'a str,
    signature: Vec<u8>,
}

impl<'a> Parts<'a> {
    fn read(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        Some(Parts {
            header: object(header)?,
            claims: object(claims)?,
            message,
            signature: decode(signature)?,
        })
    }

    /// What its header says, as far as it may say it.
    fn signed(&self, jwt: &Jwt) -> Result<Signed<'_>, Refusal> {
        let text = |name: &str| self.header.get(name).and_then(Value::as_str);
        let algorithm = text("alg")
            .and_then(Algorithm::named)
            .filter(|algorithm| jwt.algorithms.contains(algorithm))
            .ok_or(Refusal::Wrong("it is signed in a way that is not allowed"))?;
        // RFC 7515 section 4.1.11: what it names must be understood, and we
        // understand nothing of the kind.
        if self.header.contains_key("crit") {
            return Err(Refusal::Wrong("its header has critical extensions"));
        }
        let kid = match self.header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID => Some(kid.as_str()),
            Some(_) => return Err(Refusal::Wrong("its key has no proper name")),
        };
        if !self.has_type(jwt) {
            return Err(Refusal::Wrong("it is another type of token"));
        }
        Ok(Signed {
            algorithm,
            kid,
            message: self.message.as_bytes(),
            signature: &self.signature,
        })
    }

    /// RFC 8725 section 3.11: a token that was made for something else does not do.
    fn has_type(&self, jwt: &Jwt) -> bool {
        let found = match self.header.get("typ") {
            None => return jwt.token_type.is_none(),
            Some(Value::String(found)) => found,
            Some(_) => return false,
        };
        // RFC 7515 section 4.1.9: "application/" may be left out.
        let bare = |name: &'_ str| {
            let name = name.to_ascii_lowercase();
            name.strip_prefix("application/")
                .map_or(name.clone(), str::to_owned)
        };
        match &jwt.token_type {
            Some(wanted) => bare(found) == bare(wanted),
            None => TYPES.iter().any(|wanted| bare(found) == bare(wanted)),
        }
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&decode(part)?) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}
