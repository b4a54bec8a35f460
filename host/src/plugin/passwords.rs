//! `restante:plugin/passwords`: hashes checked natively, off the event loop.

use std::sync::LazyLock;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::bindings::restante::plugin::passwords::Host;
use super::state::State;

/// Hashes being computed at once: they are meant to be slow, and more of them
/// than there are processors only take memory.
static AT_ONCE: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(std::thread::available_parallelism().map_or(2, std::num::NonZero::get))
});

impl Host for State {
    async fn verify(
        &mut self,
        hash: String,
        secret: String,
    ) -> wasmtime::Result<Result<bool, String>> {
        let secret = Zeroizing::new(secret);
        let _turn = AT_ONCE.acquire().await?;
        let verified =
            tokio::task::spawn_blocking(move || crate::passwords::verify(&hash, &secret)).await?;
        Ok(verified.map_err(|error| error.to_string()))
    }
}
