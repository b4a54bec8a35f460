//! The issuer's keys: from a file, or from the issuer itself and kept for a while.

use serde_json::{Map, Value};

use restante_guest::http::Request;
use restante_guest::{files, log};

use crate::Refusal;
use crate::cache::{Cache, Kept};
use crate::fetch;
use crate::jwk::{KeySet, Signed, Verdict};
use crate::settings::{Jwt, KeySource, Terms};

/// Seconds between two looks for a key that the issuer does not have.
const AGAIN: u64 = 60;
/// Octets of a set of keys.
const KEY_FILE: u32 = 512 * 1024;

/// What the issuer's keys say of a signature.
pub(crate) fn verify(
    signed: &Signed<'_>,
    jwt: &Jwt,
    terms: &Terms,
    now: u64,
) -> Result<Verdict, Refusal> {
    let source = match &jwt.keys {
        KeySource::File(path) => return Ok(from_file(path)?.verify(signed)),
        KeySource::Url(url) => Source::Keys(url),
        KeySource::Discovery => Source::Issuer(terms.issuer.as_deref().unwrap_or_default()),
    };
    let cache = Cache::of(&jwt.cache, source.name());
    let kept = cache
        .read(now)
        .filter(|kept| now - kept.fetched < jwt.cache_for);
    if let Some(kept) = &kept {
        let verdict = kept.keys.verify(signed);
        if verdict != Verdict::NoKey {
            return Ok(verdict);
        }
        // A new key, or somebody who makes up names.
        if now - kept.asked < AGAIN {
            return match kept.failed {
                false => Ok(verdict),
                true => Err(Refusal::temporary(
                    "a key is not known, and the issuer could not be asked a moment ago".into(),
                )),
            };
        }
    }
    match source.fetch() {
        Ok(keys) => {
            let verdict = keys.verify(signed);
            cache.keep(&Kept {
                keys,
                fetched: now,
                asked: now,
                failed: false,
            });
            Ok(verdict)
        }
        Err(refusal) => {
            if let Some(kept) = kept {
                cache.keep(&Kept {
                    asked: now,
                    failed: true,
                    ..kept
                });
            }
            Err(refusal)
        }
    }
}

/// Where keys come from.
enum Source<'a> {
    /// The keys themselves.
    Keys(&'a str),
    /// Who says where they are (OpenID Connect Discovery section 4, RFC 8414).
    Issuer(&'a str),
}

impl<'a> Source<'a> {
    fn name(&self) -> &'a str {
        match self {
            Source::Keys(url) | Source::Issuer(url) => url,
        }
    }

    fn fetch(&self) -> Result<KeySet, Refusal> {
        let url = match self {
            Source::Keys(url) => (*url).to_owned(),
            Source::Issuer(issuer) => discover(issuer)?,
        };
        let set = fetch::json(&Request::get(&url))?;
        usable(&set)
            .ok_or_else(|| Refusal::temporary(format!("{url} has no keys that could be used")))
    }
}

/// URL of the issuer's keys.
fn discover(issuer: &str) -> Result<String, Refusal> {
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let configuration = fetch::json(&Request::get(&url))?;
    let text = |name: &str| configuration.get(name).and_then(Value::as_str);
    // OpenID Connect Discovery section 4.3.
    if text("issuer") != Some(issuer) {
        return Err(Refusal::permanent(format!("{url} is another issuer's")));
    }
    match text("jwks_uri") {
        Some(keys) if !issuer.starts_with("https://") || keys.starts_with("https://") => {
            Ok(keys.to_owned())
        }
        _ => Err(Refusal::permanent(format!("{url} has no proper jwks_uri"))),
    }
}

fn from_file(path: &str) -> Result<KeySet, Refusal> {
    let failed = |what: &str| Refusal::permanent(format!("jwks: {path}: {what}"));
    let file = files::read(path, 0, KEY_FILE).map_err(|error| failed(&error))?;
    let file = file.ok_or_else(|| failed("there is no such file"))?;
    let set: Option<Map<String, Value>> = serde_json::from_slice(&file.octets).ok();
    set.and_then(|set| usable(&set))
        .ok_or_else(|| failed("it holds no keys that could be used"))
}

/// A set without keys is no set: kept, it would refuse everybody for an hour.
fn usable(set: &Map<String, Value>) -> Option<KeySet> {
    let keys = KeySet::read(set)?;
    if keys.is_empty() {
        log::debug!("a set of keys in which none is for signatures that are known");
        return None;
    }
    Some(keys)
}
