//! `restante:plugin/passwords`: hashes checked, and SCRAM keys made, natively and
//! off the event loop. What is no hash is compared at once.

use restante_pop3::{ScramHash, Secret};
use zeroize::Zeroizing;

use crate::bindings::restante::plugin::passwords as wit;
use crate::instance::state::State;
use crate::record::tape::Heard;
use restante_roles::passwords::{self, HashError};
use restante_roles::turns::{self, MAX_BUSY_WAIT};
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
        self.hear(asked, |(hash, secret)| Heard::Verify {
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
        self.hear(asked, |(user, secret)| Heard::Derive {
            user,
            secret,
            hash: wanted,
            answer: answer.clone(),
        });
        Ok(answer)
    }
}

impl State {
    /// The result of something slow, in its turn. To wait for that is not the
    /// plugin's doing: its wall clock stands still meanwhile.
    async fn computed<R: Send + 'static>(
        &mut self,
        compute: impl FnOnce() -> Result<R, HashError> + Send + 'static,
    ) -> wasmtime::Result<Result<R, String>> {
        let usage = self.limits.usage();
        let most = MAX_BUSY_WAIT.saturating_sub(usage.waited());
        let waiting = usage.waits();
        let before = usage.waited();
        let turn = turns::server().turn(self.owner.clone(), most).await?;
        drop(waiting);
        let waited = usage.waited().saturating_sub(before);
        self.postpone(waited);
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
