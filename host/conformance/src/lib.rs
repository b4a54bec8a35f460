//! The conformance kit: what each role owes the host and POP3, asked of a plugin
//! without a mail client. Each check has a rule; a failed one says what was sent
//! and what came back.
//!
//! Knows the roles as [`backend`](restante_roles::backend) has them, and what a view makes
//! of verdicts. How a component becomes a role is not its business.

mod admission;
mod authenticator;
mod candidate;
mod exam;
mod filter;
mod maildrops;
mod messages;
mod selector;
mod session;
mod store;

pub use candidate::Candidate;
pub use exam::{CheckResult, Outcome, TakeLog};
pub use filter::message;
pub use maildrops::{MaildropCopy, MaildropSource, Maildrops};
pub use session::{OpenMaildrop, open};

use futures_core::future::BoxFuture;

use exam::Exam;

/// Every check of every role that the candidate has. `told` hears of each as soon
/// as it is done.
pub fn examine<'a>(
    candidate: &'a Candidate,
    take_log: TakeLog<'a>,
    told: &'a mut (dyn FnMut(&Outcome) + Send),
) -> BoxFuture<'a, Vec<Outcome>> {
    Box::pin(async move {
        let mut exam = Exam {
            candidate,
            take_log,
            told,
            role: "",
            outcomes: Vec::new(),
        };
        if let Some(role) = &candidate.authenticator {
            authenticator::examine(exam.of("authenticator"), &**role).await;
        }
        if let Some(role) = &candidate.store {
            store::examine(exam.of("store"), role).await;
        }
        if let Some(role) = &candidate.filter {
            filter::examine(exam.of("filter"), &**role).await;
        }
        if let Some(role) = &candidate.selector {
            selector::examine(exam.of("selector"), &**role).await;
        }
        if let Some(role) = &candidate.admission {
            admission::examine(exam.of("admission"), &**role).await;
        }
        exam.outcomes
    })
}
