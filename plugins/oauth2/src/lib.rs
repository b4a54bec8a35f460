//! `oauth2`: judges OAuth 2.0 access tokens (OAUTHBEARER, XOAUTH2), either by
//! asking the server that issued them (introspection, RFC 7662) or as signed JWTs
//! (RFC 7519, RFC 9068) against the issuer's published keys (RFC 7517).
//!
//! Settings are in README.md of this folder. What a token says is taken for true
//! only after its signature or its issuer has vouched for it; a token never stands
//! in a log line.
//!
//! An instance lives for one question. What outlives it is a cache of the issuer's
//! keys, in a directory that the operator grants.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod account;
mod cache;
mod claims;
mod fetch;
mod introspection;
mod jwk;
mod jwt;
mod keys;
mod settings;
#[cfg(test)]
mod tests;

use std::time::{SystemTime, UNIX_EPOCH};

use restante_guest::accepts::{Accepts, Kinds};
use restante_guest::authenticator::{Authenticator, Credentials, Denial};
use restante_guest::log;
use restante_guest::settings::{Validate, all};
use restante_guest::types::{Account, Connection, Failure};

use crate::settings::{Mode, Settings};

struct OAuth2;

restante_guest::export! { authenticator: OAuth2, accepts: OAuth2, settings: OAuth2 }

restante_guest::describe_settings! {
    "mode": "\"jwt\" or \"introspection\"",
    "issuer": "what iss must be",
    "audience": "what aud must hold",
    "scope": "scopes that the token must have",
    "user-claim": "the claim that is the user",
    "case": "\"fold\" compares and reports user names in lower case",
    "maildrop": "the maildrop's name, from {user}, {local}, {domain} and {claim.NAME}",
    "attributes": "claims that become attributes of the account",
    "leeway": "seconds that clocks may differ",
    "jwks": "the issuer's keys: a URL, or a path inside a granted directory",
    "algorithms": "signature algorithms, of RS256, PS256, ES256 and EdDSA",
    "token-type": "what typ of the header must be",
    "cache": "directory for the keys",
    "cache-for": "seconds that fetched keys are used",
    "endpoint": "the introspection endpoint's URL",
    "client-id": "what the issuer knows this server by",
    "client-secret": "the secret for that",
    "client-secret-file": "or a file with it, inside a granted directory",
    "client-auth": "\"basic\" (if it is not set), or \"post\": the secret in the form",
}

/// Octets of the longest token that is looked at.
const TOKEN: usize = 16 * 1024;

impl Accepts for OAuth2 {
    fn accepts() -> Kinds {
        Kinds::BEARER
    }
}

impl Validate for OAuth2 {
    fn validate() -> Result<(), Vec<String>> {
        let problems = Settings::parse(all())?.missing_files();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }
}

impl Authenticator for OAuth2 {
    fn authenticate(_: Connection, credentials: Credentials) -> Result<Account, Denial> {
        let Credentials::Bearer { user, token } = credentials else {
            return Err(Denial::Unknown);
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        judge(user.as_deref(), token.expose(), now).map_err(Refusal::into_denial)
    }
}

/// Whose token it is. `now`: seconds since the Unix epoch.
fn judge(user: Option<&str>, token: &str, now: u64) -> Result<Account, Refusal> {
    let settings = Settings::parse(all()).map_err(|problems| {
        let log = problems.join("; ");
        Refusal::Failed(log, Failure::permanent("token checks are not set up"))
    })?;
    if token.len() > TOKEN {
        return Err(Refusal::Wrong("it is too long"));
    }
    let claims = match &settings.mode {
        Mode::Jwt(jwt) => jwt::claims(token, jwt, &settings.terms, now)?,
        Mode::Introspection(server) => introspection::claims(token, server, &settings.terms, now)?,
    };
    account::of(&claims, &settings.terms, user)
}

/// Why a token does not open an account. The words are for the log, and hold
/// nothing of the token.
#[derive(Debug, Clone, PartialEq)]
enum Refusal {
    /// It is somebody else's: another authenticator may know it.
    NotMine(&'static str),
    /// It is ours to judge, and no good.
    Wrong(&'static str),
    /// It could not be judged.
    Failed(String, Failure),
}

impl Refusal {
    /// It could not be judged now.
    fn temporary(log: String) -> Refusal {
        let client = "tokens cannot be checked at the moment";
        Refusal::Failed(log, Failure::temporary(client))
    }

    /// It cannot be judged until somebody acts.
    fn permanent(log: String) -> Refusal {
        Refusal::Failed(
            log,
            Failure::permanent("token checks are not set up properly"),
        )
    }

    fn into_denial(self) -> Denial {
        match self {
            Refusal::NotMine(why) => {
                log::info!("a token is not for this plugin: {why}");
                Denial::Unknown
            }
            Refusal::Wrong(why) => {
                log::info!("a token was refused: {why}");
                Denial::Rejected
            }
            Refusal::Failed(why, failure) => {
                log::error!("a token could not be checked: {why}");
                Denial::Failed(failure)
            }
        }
    }
}
