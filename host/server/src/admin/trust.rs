//! Places for those who have shown that they may come here.

use std::sync::{Arc, OnceLock};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::eviction::Place;

/// Whether a connection is one of somebody who may come here.
pub(super) struct Trust {
    places: Arc<Semaphore>,
    place: OnceLock<OwnedSemaphorePermit>,
    given: Notify,
}

/// Those who may come here have all places already.
pub(super) struct TooManyTrusted;

impl Trust {
    pub(super) fn new(places: &Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Trust {
            places: Arc::clone(places),
            place: OnceLock::new(),
            given: Notify::new(),
        })
    }

    /// From now on the connection makes room for nobody.
    pub(super) fn give(&self) -> Result<(), TooManyTrusted> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| TooManyTrusted)?;
        // A connection has one request, so this is its first place.
        let _ = self.place.set(place);
        self.given.notify_one();
        Ok(())
    }

    /// Returns once a connection that is not trusted has to make room.
    pub(super) async fn displaced(&self, place: Place) {
        tokio::select! {
            biased;
            () = self.given.notified() => {}
            () = place.displaced() => return,
        }
        drop(place);
        std::future::pending().await
    }
}
