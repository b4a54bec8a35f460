//! Who may log in to a dialogue's maildrop, and how.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_lines::dialogue::text;
use restante_pop3::{Credentials, DigestAlgorithm, Login, ScramHash, ScramKeys};

/// Everything that logs in; anything else is refused.
pub(super) struct Accepted {
    account: (String, String),
    /// What the account may act as.
    acts_as: Option<String>,
    digests: Vec<Digest>,
    tokens: Vec<Token>,
    /// Whom the certificate names.
    certificate: Option<String>,
    scram: Vec<Keys>,
}

struct Digest {
    user: String,
    algorithm: DigestAlgorithm,
    challenge: String,
    response: String,
}

struct Token {
    user: Option<String>,
    token: String,
}

struct Keys {
    user: String,
    hash: ScramHash,
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl Default for Accepted {
    fn default() -> Self {
        Accepted {
            account: ("mrose".into(), "secret".into()),
            acts_as: None,
            digests: Vec::new(),
            tokens: Vec::new(),
            certificate: None,
            scram: Vec::new(),
        }
    }
}

impl Accepted {
    pub(super) fn directive(&mut self, key: &str, value: &str) -> Result<(), String> {
        let words: Vec<&str> = value.split(' ').collect();
        match (key, &words[..]) {
            ("account", _) => {
                let (user, password) = value.split_once(' ').ok_or("a password is missing")?;
                self.account = (text(user)?, text(password)?);
            }
            ("acts-as", [name]) => self.acts_as = Some(text(name)?),
            ("digest", [user, algorithm, challenge, response]) => self.digests.push(Digest {
                user: text(user)?,
                algorithm: match *algorithm {
                    "md5" => DigestAlgorithm::Md5,
                    "hmac-md5" => DigestAlgorithm::HmacMd5,
                    other => return Err(format!("no digest is {other}")),
                },
                challenge: text(challenge)?,
                response: text(response)?,
            }),
            ("token", [token, user @ ..]) => self.tokens.push(Token {
                token: text(token)?,
                user: user.first().map(|user| text(user)).transpose()?,
            }),
            ("certificate", [name]) => self.certificate = Some(text(name)?),
            ("scram", [user, hash, salt, iterations, stored_key, server_key]) => {
                self.scram.push(Keys {
                    user: text(user)?,
                    hash: match *hash {
                        "sha-1" => ScramHash::Sha1,
                        "sha-256" => ScramHash::Sha256,
                        other => return Err(format!("no hash is {other}")),
                    },
                    salt: base64(salt)?,
                    iterations: super::number(iterations)?,
                    stored_key: base64(stored_key)?,
                    server_key: base64(server_key)?,
                });
            }
            _ => return Err("unknown directive".into()),
        }
        Ok(())
    }

    pub(super) fn accept(&self, login: &Login) -> bool {
        let credentials = match login {
            Login::Credentials(credentials) => credentials,
            Login::Proved { user, acting_as } => {
                let known = self.scram.iter().any(|keys| &keys.user == user);
                return known && self.may_act_as(acting_as);
            }
        };
        match credentials {
            Credentials::Password {
                user,
                acting_as,
                secret,
            } => {
                let (known, password) = &self.account;
                user == known && secret.expose() == password && self.may_act_as(acting_as)
            }
            Credentials::Digest {
                user,
                algorithm,
                challenge,
                response,
            } => self.digests.iter().any(|digest| {
                user == &digest.user
                    && *algorithm == digest.algorithm
                    && challenge == &digest.challenge
                    && response == &digest.response
            }),
            Credentials::Bearer { user, token, .. } => {
                let fits = |known: &Token| {
                    let anyone = known.user.is_none() || user.is_none();
                    token.expose() == known.token && (anyone || known.user == *user)
                };
                self.tokens.iter().any(fits)
            }
            Credentials::Certificate { acting_as } => match (&self.certificate, acting_as) {
                (Some(_), None) => true,
                (Some(name), Some(acting_as)) => name == acting_as,
                (None, _) => false,
            },
        }
    }

    pub(super) fn scram_keys(&self, user: &str, hash: ScramHash) -> Option<ScramKeys> {
        let mut keys = self.scram.iter();
        let keys = keys.find(|keys| keys.user == user && keys.hash == hash)?;
        let Keys {
            salt,
            iterations,
            stored_key,
            server_key,
            ..
        } = keys;
        let keys = ScramKeys::new(hash, salt, *iterations, stored_key, server_key);
        Some(keys.expect("a dialogue's keys fit their hash"))
    }

    fn may_act_as(&self, acting_as: &Option<String>) -> bool {
        acting_as.is_none() || *acting_as == self.acts_as
    }
}

fn base64(value: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(value).map_err(|error| error.to_string())
}
