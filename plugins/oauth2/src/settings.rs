//! The plugin's settings, looked over.

use restante_guest::types::Secret;
use restante_guest::users::Case;
use restante_guest::{files, http};

use crate::jwk::Algorithm;

/// Seconds that clocks may differ, where the operator does not say.
const LEEWAY: u64 = 60;
const MOST_LEEWAY: u64 = 600;
/// Seconds that fetched keys are used.
const CACHE_FOR: u64 = 60 * 60;
const MOST_CACHE_FOR: u64 = 24 * 60 * 60;
/// Where the cache is, if it is granted.
const CACHE: &str = "/cache";

/// What tokens are checked against.
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) terms: Terms,
}

pub(crate) enum Mode {
    Introspection(Introspection),
    Jwt(Jwt),
}

/// What holds in both modes.
pub(crate) struct Terms {
    /// Always there for JWTs.
    pub(crate) issuer: Option<String>,
    /// One of these will do. Never empty for JWTs.
    pub(crate) audience: Vec<String>,
    /// All of these.
    pub(crate) scope: Vec<String>,
    /// Seconds.
    pub(crate) leeway: u64,
    pub(crate) user_claim: String,
    pub(crate) case: Case,
    /// None: the user.
    pub(crate) maildrop: Option<Vec<Part>>,
    /// Names of attributes and the claims that they come from.
    pub(crate) attributes: Vec<(String, String)>,
}

pub(crate) struct Jwt {
    pub(crate) keys: KeySource,
    pub(crate) algorithms: Vec<Algorithm>,
    /// What `typ` must be.
    pub(crate) token_type: Option<String>,
    pub(crate) cache: String,
    /// Seconds.
    pub(crate) cache_for: u64,
}

/// Where the issuer's keys are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    Url(String),
    /// Inside a granted directory.
    File(String),
    /// Where the issuer says.
    Discovery,
}

pub(crate) struct Introspection {
    pub(crate) endpoint: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: ClientSecret,
    pub(crate) client_auth: ClientAuth,
}

pub(crate) enum ClientSecret {
    Inline(Secret),
    /// Inside a granted directory.
    File(String),
}

/// How the client shows its secret (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuth {
    Basic,
    Post,
}

/// A part of the template of maildrops.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    User,
    Local,
    Domain,
    Claim(String),
}

impl Settings {
    /// Every problem, each with the name of its key and without its value.
    pub(crate) fn parse(all: Vec<(String, String)>) -> Result<Settings, Vec<String>> {
        let mut keys = Keys {
            left: all,
            problems: Vec::new(),
        };
        let mode = keys.choice("mode", &[("jwt", true), ("introspection", false)]);
        if mode.is_none() {
            keys.problem("mode", "must be \"jwt\" or \"introspection\"");
        }
        let is_jwt = mode.unwrap_or(true);
        let terms = keys.terms(is_jwt);
        let mode = match is_jwt {
            true => Mode::Jwt(keys.jwt(terms.issuer.as_deref())),
            false => Mode::Introspection(keys.introspection()),
        };
        keys.unknown();
        if keys.problems.is_empty() {
            Ok(Settings { mode, terms })
        } else {
            Err(keys.problems)
        }
    }

    /// Files that are named and not there.
    pub(crate) fn missing_files(&self) -> Vec<String> {
        let (key, path) = match &self.mode {
            Mode::Jwt(Jwt {
                keys: KeySource::File(path),
                ..
            }) => ("jwks", path),
            Mode::Introspection(Introspection {
                client_secret: ClientSecret::File(path),
                ..
            }) => ("client-secret-file", path),
            _ => return Vec::new(),
        };
        match files::stat(path) {
            Ok(Some(_)) => Vec::new(),
            Ok(None) => vec![format!("{key}: there is no {path}")],
            Err(error) => vec![format!("{key}: {path}: {error}")],
        }
    }
}

/// Settings that are being taken.
struct Keys {
    left: Vec<(String, String)>,
    problems: Vec<String>,
}

impl Keys {
    fn problem(&mut self, key: &str, what: &str) {
        self.problems.push(format!("{key}: {what}"));
    }

    /// An empty one is as good as none.
    fn take(&mut self, key: &str) -> Option<String> {
        let index = self.left.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.left.remove(index);
        (!value.is_empty()).then_some(value)
    }

    fn list(&mut self, key: &str) -> Vec<String> {
        let value = self.take(key).unwrap_or_default();
        value.lines().map(str::to_owned).collect()
    }

    fn require(&mut self, key: &str, what: &str) -> String {
        self.take(key).unwrap_or_else(|| {
            self.problem(key, what);
            String::new()
        })
    }

    fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.take(key)?;
        let found = choices.iter().find(|(word, _)| *word == value);
        if found.is_none() {
            let words: Vec<_> = choices
                .iter()
                .map(|(word, _)| format!("{word:?}"))
                .collect();
            self.problem(key, &format!("must be {}", words.join(" or ")));
        }
        found.map(|(_, choice)| *choice)
    }

    fn seconds(&mut self, key: &str, default: u64, most: u64) -> u64 {
        let Some(value) = self.take(key) else {
            return default;
        };
        match value.parse() {
            Ok(seconds) if seconds <= most => seconds,
            _ => {
                let what = format!("must be a number of seconds, {most} at most");
                self.problem(key, &what);
                default
            }
        }
    }

    fn url(&mut self, key: &str, value: &str) {
        if !http::is_url(value) {
            self.problem(
                key,
                "must be a URL such as \"https://idp.example.org/realm\"",
            );
        }
    }

    fn terms(&mut self, is_jwt: bool) -> Terms {
        let issuer = self.take("issuer");
        let audience = self.list("audience");
        if is_jwt {
            if issuer.is_none() {
                self.problem("issuer", "must be what tokens have as `iss`");
            }
            if audience.is_empty() {
                let what = "must be what tokens for this server have as `aud`: one that was made for another service is no key to the mail";
                self.problem("audience", what);
            }
        }
        let user_claim = self.take("user-claim").unwrap_or_else(|| match is_jwt {
            true => {
                let what = "must name the claim that holds the user: \"email\", \"preferred_username\", \"sub\"";
                self.problem("user-claim", what);
                String::new()
            }
            false => "username".to_owned(),
        });
        let case = self.choice("case", &[("exact", Case::Exact), ("fold", Case::Fold)]);
        let maildrop = self.take("maildrop").map(|text| {
            template(&text).unwrap_or_else(|what| {
                self.problem("maildrop", what);
                Vec::new()
            })
        });
        let attributes = self.list("attributes").into_iter();
        let attributes = attributes.map(|line| match line.split_once('=') {
            Some((name, claim)) => (name.to_owned(), claim.to_owned()),
            None => (line.clone(), line),
        });
        let attributes: Vec<_> = attributes.collect();
        if attributes
            .iter()
            .any(|(name, claim)| name.is_empty() || claim.is_empty())
        {
            self.problem("attributes", "each must be \"claim\" or \"name=claim\"");
        }
        Terms {
            issuer,
            audience,
            scope: self.list("scope"),
            leeway: self.seconds("leeway", LEEWAY, MOST_LEEWAY),
            user_claim,
            case: case.unwrap_or_default(),
            maildrop,
            attributes,
        }
    }

    fn jwt(&mut self, issuer: Option<&str>) -> Jwt {
        let keys = match self.take("jwks") {
            None => KeySource::Discovery,
            Some(path) if path.starts_with('/') => KeySource::File(path),
            Some(url) => {
                if !http::is_url(&url) {
                    let what = "must be a URL, or an absolute path inside a granted directory";
                    self.problem("jwks", what);
                }
                KeySource::Url(url)
            }
        };
        if keys == KeySource::Discovery
            && let Some(issuer) = issuer
        {
            self.url("issuer", issuer);
        }
        let names = self.list("algorithms");
        let mut algorithms: Vec<Algorithm> = Vec::new();
        for name in &names {
            match Algorithm::ALL.iter().find(|(known, _)| known == name) {
                Some((_, algorithm)) => algorithms.push(*algorithm),
                None => {
                    let what = "each must be \"RS256\", \"PS256\", \"ES256\" or \"EdDSA\"";
                    self.problem("algorithms", what);
                }
            }
        }
        if names.is_empty() {
            algorithms = Algorithm::ALL.map(|(_, algorithm)| algorithm).to_vec();
        }
        let cache = self.take("cache").unwrap_or_else(|| CACHE.to_owned());
        if !cache.starts_with('/') {
            self.problem(
                "cache",
                "must be an absolute path inside a granted directory",
            );
        }
        Jwt {
            keys,
            algorithms,
            token_type: self.take("token-type"),
            cache,
            cache_for: self.seconds("cache-for", CACHE_FOR, MOST_CACHE_FOR),
        }
    }

    fn introspection(&mut self) -> Introspection {
        let endpoint = self.require("endpoint", "must be the URL of the introspection endpoint");
        if !endpoint.is_empty() {
            self.url("endpoint", &endpoint);
        }
        let client_id = self.require("client-id", "must be what the issuer knows this server by");
        let inline = self.take("client-secret");
        let file = self.take("client-secret-file");
        let client_secret = match (inline, file) {
            (Some(secret), None) => ClientSecret::Inline(Secret::new(secret)),
            (None, Some(path)) if path.starts_with('/') => ClientSecret::File(path),
            (None, Some(_)) => {
                let what = "must be an absolute path inside a granted directory";
                self.problem("client-secret-file", what);
                ClientSecret::File(String::new())
            }
            _ => {
                let what = "must be there, or client-secret-file, and not both";
                self.problem("client-secret", what);
                ClientSecret::File(String::new())
            }
        };
        let auth = [("basic", ClientAuth::Basic), ("post", ClientAuth::Post)];
        Introspection {
            endpoint,
            client_id,
            client_secret,
            client_auth: self
                .choice("client-auth", &auth)
                .unwrap_or(ClientAuth::Basic),
        }
    }

    /// What nobody has taken is not known, in this mode at least.
    fn unknown(&mut self) {
        for (key, value) in std::mem::take(&mut self.left) {
            if !value.is_empty() {
                self.problem(&key, "no such setting in this mode");
            }
        }
    }
}

/// Reads `text{user}text`; a brace itself is written twice.
fn template(text: &str) -> Result<Vec<Part>, &'static str> {
    const UNBALANCED: &str = "has an unbalanced brace; a brace itself is written twice";
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        plain.push_str(&rest[..at]);
        let brace = &rest[at..];
        if let Some(after) = brace.strip_prefix("{{").or(brace.strip_prefix("}}")) {
            plain.push_str(&brace[..1]);
            rest = after;
            continue;
        }
        let inside = brace
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'));
        let (name, after) = inside.ok_or(UNBALANCED)?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(match name {
            "user" => Part::User,
            "local" => Part::Local,
            "domain" => Part::Domain,
            _ => match name.strip_prefix("claim.") {
                Some(claim) if !claim.is_empty() => Part::Claim(claim.to_owned()),
                _ => return Err("may have {user}, {local}, {domain} and {claim.NAME}"),
            },
        });
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}
