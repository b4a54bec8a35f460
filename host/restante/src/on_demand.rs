//! What is opened when it is first asked, again and again until that works, and stays open
//! from then on.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use restante_engine::Problem;
use tokio::sync::watch;
use tokio::time::timeout;

/// Something that is open, or will be.
#[derive(Debug)]
pub(crate) struct OnDemand<T> {
    /// Lets go of it. Whoever drops it may not be able to wait.
    close: fn(Arc<T>),
    state: Mutex<State<T>>,
}

type Opened<T> = Result<Arc<T>, Problem>;

#[derive(Debug)]
enum State<T> {
    Closed,
    /// Somebody opens it. A mount that hangs keeps one thread, whoever asks.
    Opening(watch::Receiver<Option<Opened<T>>>),
    Open(Arc<T>),
}

impl<T: Send + Sync + 'static> OnDemand<T> {
    /// Closed.
    pub(crate) fn new(close: fn(Arc<T>)) -> Arc<Self> {
        Arc::new(OnDemand {
            close,
            state: Mutex::new(State::Closed),
        })
    }

    /// It, if it is open.
    pub(crate) fn opened(&self) -> Option<Arc<T>> {
        match &*self.state.lock() {
            State::Open(opened) => Some(opened.clone()),
            State::Closed | State::Opening(_) => None,
        }
    }

    /// It, opened first if it is not open and nobody else is about it. None: that has not come
    /// to an end within `patience`; it goes on.
    pub(crate) async fn get<F>(
        self: &Arc<Self>,
        patience: Duration,
        open: impl FnOnce() -> F,
    ) -> Option<Opened<T>>
    where
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let mut opening = match &mut *self.state.lock() {
            State::Open(opened) => return Some(Ok(opened.clone())),
            State::Opening(opening) => opening.clone(),
            state @ State::Closed => {
                let (told, opening) = watch::channel(None);
                *state = State::Opening(opening.clone());
                let (slot, open) = (self.clone(), open());
                tokio::spawn(async move {
                    // Also after a panic somebody may try again.
                    let closed = Reset(slot);
                    let opened = open.await.map(Arc::new);
                    if let Ok(opened) = &opened {
                        *closed.0.state.lock() = State::Open(opened.clone());
                    }
                    drop(closed);
                    let _ = told.send(Some(opened));
                });
                opening
            }
        };
        match timeout(patience, opening.wait_for(Option::is_some)).await {
            Ok(Ok(opened)) => opened.clone(),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

/// What is not open when it is dropped can be opened again.
struct Reset<T>(Arc<OnDemand<T>>);

impl<T> Drop for Reset<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        if let State::Opening(_) = &*state {
            *state = State::Closed;
        }
    }
}

impl<T> Drop for OnDemand<T> {
    fn drop(&mut self) {
        if let State::Open(opened) = std::mem::replace(self.state.get_mut(), State::Closed) {
            (self.close)(opened);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn away() -> Result<u32, Problem> {
        Err(Problem::unavailable("away"))
    }

    async fn panics() -> Result<u32, Problem> {
        panic!("a bug")
    }

    #[tokio::test]
    async fn it_is_opened_once_and_again_after_a_failure() {
        let slot = OnDemand::<u32>::new(drop);
        let failed = slot.get(LONG, away).await;
        assert_eq!(failed, Some(Err(Problem::unavailable("away"))));
        assert_eq!(slot.opened(), None);
        let (free, freed) = oneshot::channel::<()>();
        let opens = Arc::new(AtomicU32::new(0));
        let count = opens.clone();
        let open = async move {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = freed.await;
            Ok(7)
        };
        // Whoever opens it waits no longer than the others.
        let short = Duration::from_millis(10);
        assert_eq!(slot.get(short, || open).await, None);
        let (waiting, others) = (slot.clone(), slot.clone());
        let waiting = tokio::spawn(async move { waiting.get(LONG, away).await });
        assert_eq!(others.get(short, away).await, None);
        free.send(()).unwrap();
        assert_eq!(waiting.await.unwrap(), Some(Ok(Arc::new(7))));
        assert_eq!(slot.get(short, away).await, Some(Ok(Arc::new(7))));
        assert_eq!(
            (slot.opened(), opens.load(Ordering::Relaxed)),
            (Some(Arc::new(7)), 1)
        );
    }

    #[tokio::test]
    async fn after_a_panic_somebody_may_try_again() {
        let slot = OnDemand::<u32>::new(drop);
        assert_eq!(slot.get(LONG, panics).await, None);
        let again = slot.get(LONG, || async { Ok(7) }).await;
        assert_eq!(again, Some(Ok(Arc::new(7))));
    }
}
