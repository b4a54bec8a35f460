//! `restante:plugin/passwords`: hashes checked and made, and SCRAM keys made, natively and
//! off the event loop. What is no hash is compared at once.

use restante_pop3::{ScramHash, Secret};
use zeroize::Zeroizing;

use crate::bindings::restante::plugin::passwords as wit;
use crate::instance::state::State;
use crate::record::tape::Exchange;
use restante_roles::passwords::{self, HashError, Scheme};
use restante_roles::turns;
use restante_roles::work::Charge;

impl wit::Host for State {
    async fn verify(
        &mut self,
        hash: String,
        secret: String,
    ) -> wasmtime::Result<Result<bool, String>> {
        let secret = Zeroizing::new(secret);
        if let Some(player) = self.player() {
            return Ok(player.verify(&hash, &secret));
        }
        let asked = (self.border.tape())
            .map(|_| (Secret::from(hash.clone()), Secret::from((*secret).clone())));
        let answer = if passwords::is_compared(&hash) {
            passwords::verify(&hash, &secret).map_err(|error| error.to_string())
        } else {
            self.computed(move || passwords::verify(&hash, &secret))
                .await?
        };
        self.hear(asked, |(hash, secret)| Exchange::Verify {
            hash,
            secret,
            answer: answer.clone(),
        });
        Ok(answer)
    }

    async fn derive_scram(
        &mut self,
        user: String,
        secret: String,
        hash: wit::ScramHash,
    ) -> wasmtime::Result<Result<wit::ScramKeys, String>> {
        let secret = Zeroizing::new(secret);
        if let Some(player) = self.player() {
            return Ok(player.derive(&user, &secret, hash));
        }
        let asked = (self.border.tape()).map(|_| (user.clone(), Secret::from((*secret).clone())));
        let wanted = hash;
        let hash = match hash {
            wit::ScramHash::Sha1 => ScramHash::Sha1,
            wit::ScramHash::Sha256 => ScramHash::Sha256,
        };
        let (salt, iterations) = (self.salts.salt(hash, &user), self.salts.iterations());
        let computing = self.computed(move || {
            let mut keys = passwords::ScramSecret::derive(hash, &secret, &salt, iterations)?;
            Ok(wit::ScramKeys {
                salt,
                iterations,
                stored_key: std::mem::take(&mut keys.stored_key),
                server_key: std::mem::take(&mut keys.server_key),
            })
        });
        let answer = computing.await?;
        self.hear(asked, |(user, secret)| Exchange::Derive {
            user,
            secret,
            hash: wanted,
            answer: answer.clone(),
        });
        Ok(answer)
    }

    async fn hash(
        &mut self,
        secret: String,
        scheme: wit::HashScheme,
    ) -> wasmtime::Result<Result<String, String>> {
        let secret = Zeroizing::new(secret);
        if let Some(player) = self.player() {
            return Ok(player.hash(&secret, scheme));
        }
        let asked = (self.border.tape()).map(|_| Secret::from((*secret).clone()));
        let iterations = self.salts.iterations();
        let making = self.computed(move || passwords::hash(scheme.into(), iterations, &secret));
        let answer = match making.await {
            // Whoever has no turn to check a secret cannot let anybody in. A new hash may wait
            // for another day, and the guest decides.
            Err(error) if error.is::<turns::Busy>() => Err(turns::Busy.to_string()),
            made => made?,
        };
        self.hear(asked, |secret| Exchange::Hash {
            secret,
            scheme,
            answer: answer.clone().map(Secret::from),
        });
        Ok(answer)
    }
}

impl From<wit::HashScheme> for Scheme {
    fn from(scheme: wit::HashScheme) -> Self {
        match scheme {
            wit::HashScheme::Argon2id => Scheme::Argon2id,
            wit::HashScheme::Scrypt => Scheme::Scrypt,
            wit::HashScheme::Bcrypt => Scheme::Bcrypt,
            wit::HashScheme::Sha512Crypt => Scheme::Sha512Crypt,
            wit::HashScheme::ScramSha256 => Scheme::ScramSha256,
            wit::HashScheme::ScramSha1 => Scheme::ScramSha1,
        }
    }
}

impl State {
    /// The result of something slow, in its turn.
    async fn computed<R: Send + 'static>(
        &mut self,
        compute: impl FnOnce() -> Result<R, HashError> + Send + 'static,
    ) -> wasmtime::Result<Result<R, String>> {
        let turn = self.turn(turns::server()).await?;
        let meter = self.limits.meter();
        let computed = tokio::task::spawn_blocking(move || {
            // Held until it is done, also when nobody waits for it any more: it
            // takes processor and memory all the same.
            let _turn = turn;
            // Strangers with wrong passwords would use up the tenant's share with it.
            let _charge = Charge::begin(move |time| meter.hashed(time));
            compute()
        });
        match computed.await? {
            // That says nothing of the hash: it is no answer to what the plugin asks.
            Err(HashError::OutOfMemory) => Err(turns::Busy.into()),
            computed => Ok(computed.map_err(|error| error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_of_the_contract_makes_hashes_that_verify() {
        for (scheme, begin) in [
            (wit::HashScheme::Argon2id, "{ARGON2ID}$argon2id$"),
            (wit::HashScheme::Scrypt, "{SCRYPT}$scrypt$"),
            (wit::HashScheme::Bcrypt, "{BLF-CRYPT}$2y$"),
            (wit::HashScheme::Sha512Crypt, "{SHA512-CRYPT}$6$"),
            (wit::HashScheme::ScramSha256, "{SCRAM-SHA-256}4096,"),
            (wit::HashScheme::ScramSha1, "{SCRAM-SHA-1}4096,"),
        ] {
            let made = passwords::hash(scheme.into(), 4096, "pencil").expect("a good password");
            assert!(made.starts_with(begin), "{made}");
            assert_eq!(passwords::verify(&made, "pencil"), Ok(true), "{made}");
            assert_eq!(passwords::verify(&made, "pencils"), Ok(false), "{made}");
        }
    }
}
