//! `restante:plugin/passwords`: hashes checked, and SCRAM keys made, natively and
//! off the event loop. What is no hash is compared at once.

use std::sync::{Arc, LazyLock};

use restante_pop3::{ScramHash, Secret};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::bindings::restante::plugin::passwords as wit;
use super::state::State;
use super::tape::Heard;
use crate::passwords::{self, HashError};

/// Hashes being computed at once: they are meant to be slow, and more of them
/// than there are processors only take memory.
static AT_ONCE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    Arc::new(Semaphore::new(processors))
});

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
            let same = self.limits.charged(|| passwords::verify(&hash, &secret));
            same.map_err(|error| error.to_string())
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
    /// The result of something slow, in its tenant's turn and then in everybody's.
    async fn computed<R: Send + 'static>(
        &mut self,
        compute: impl FnOnce() -> Result<R, HashError> + Send + 'static,
    ) -> wasmtime::Result<Result<R, String>> {
        let of_tenant = self.limits.slow_work().acquire_owned().await?;
        let of_all = AT_ONCE.clone().acquire_owned().await?;
        let computed = tokio::task::spawn_blocking(move || {
            // Held until it is done, also when nobody waits for it any more: it
            // takes processor and memory all the same.
            let _turn = (of_tenant, of_all);
            compute()
        });
        Ok(computed.await?.map_err(|error| error.to_string()))
    }
}
