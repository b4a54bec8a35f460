//! For whom requests are sent. The pool of connections is a plugin's; what a connection
//! computes, and what waits for it, is its tenant's that asks.
//!
//! A task of the pool's belongs to the tenant in whose name it was begun, and a connection
//! that goes on to the next request to the tenant of that one: see [`takes_over`]. Each
//! poll is measured by the CPU time of its thread, as a call's polls are.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::task_local;

use restante_roles::work::{WorkRoom, thread_time};

task_local! {
    /// Whose request the task serves.
    static ASKING: RefCell<Asking>;
}

struct Asking {
    who: WorkRoom,
    /// CPU time of the thread up to which it is charged.
    charged: Duration,
}

impl Asking {
    fn charge(&mut self) {
        let now = thread_time();
        self.who.charge(now.saturating_sub(self.charged));
        self.charged = now;
    }
}

/// Charges what a poll has used, however it ends.
struct Poll;

impl Poll {
    fn begin() -> Self {
        ASKING.with(|asking| asking.borrow_mut().charged = thread_time());
        Poll
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        ASKING.with(|asking| asking.borrow_mut().charge());
    }
}

/// Does something for this tenant, which is charged for each poll of it. It must be no part
/// of what is charged already: of a guest's call, or of another one of these.
pub(super) async fn asking<F: Future>(who: WorkRoom, asked: F) -> F::Output {
    let charged = Duration::ZERO;
    let asking = RefCell::new(Asking { who, charged });
    let measured = async move {
        let mut asked = pin!(asked);
        poll_fn(|context| {
            let _poll = Poll::begin();
            asked.as_mut().poll(context)
        })
        .await
    };
    ASKING.scope(asking, measured).await
}

/// The tenant that it is done for.
pub(super) fn who_asks() -> Option<WorkRoom> {
    let who = ASKING.try_with(|asking| asking.borrow().who.clone());
    who.ok()
}

/// From now on the task serves this tenant's request. In a task that serves nobody, nothing.
pub(super) fn takes_over(who: &WorkRoom) {
    let _ = ASKING.try_with(|asking| {
        let mut asking = asking.borrow_mut();
        asking.charge();
        asking.who = who.clone();
    });
}

/// Spawns the tasks of a pool, each for the tenant in whose name it begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tasks;

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, task: F) {
        match who_asks() {
            Some(who) => drop(tokio::spawn(asking(who, task))),
            None => drop(tokio::spawn(task)),
        }
    }
}
