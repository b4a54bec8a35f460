//! Why a login is refused: what the client hears, what the log says, and as what
//! it is counted.

use std::fmt;

use restante_pop3::{Refusal, ResponseCode};

use crate::connection::end::End;
use crate::connection::refusal::{login_failed, refusal_for};
use crate::policy::whole_seconds;
use crate::tenant::Tenant;
use restante_roles::acting::Denied;
use restante_roles::backend::{Denial, Failure};
use restante_roles::metrics::LoginResult;
use restante_roles::shared_holds::NotHeld;
use restante_roles::turns::Busy;

/// Why a login comes to nothing.
pub(in crate::connection) enum LoginError {
    /// The connection is over.
    End(End),
    /// The client hears why, and may try again.
    Refused(Refused),
}

/// Why a login is refused: what the client hears, what the log says.
pub(in crate::connection) struct Refused {
    pub(in crate::connection) refusal: Refusal,
    pub(super) why: Why,
}

pub(in crate::connection) enum Why {
    NoTenant,
    /// The name, or the account that it led to, is another tenant's.
    Foreign(Foreign),
    NotAdmitted,
    InTheClear,
    OldTls,
    TurnedOff,
    TooManySessions,
    TooManyOfThisUser,
    TooManyLogins,
    Unknown,
    Rejected,
    /// The client asks for another user than the one whose credentials it shows.
    ActingAs,
    InUse,
    /// Another node has it, or nobody can say who.
    NotHeld(NotHeld),
    Failed(Failure),
}

/// What named a user whom the tenant may not serve.
#[derive(Debug, Clone, Copy)]
pub(in crate::connection) enum Foreign {
    /// The client.
    Name,
    /// One of the tenant's authenticators.
    Account,
}

impl Refused {
    pub(super) fn credentials(why: Why) -> Self {
        Refused {
            refusal: login_failed(),
            why,
        }
    }

    /// Nothing, where the next authenticator may know more.
    pub(super) fn unless_unknown(denied: impl Into<Denied>) -> Result<(), Self> {
        match denied.into() {
            Denied::Denial(Denial::Unknown) => Ok(()),
            denied => Err(denied.into()),
        }
    }

    /// Counts a login, where its tenant may have one more now.
    pub(super) fn unless_within_rate(tenant: &Tenant) -> Result<(), Self> {
        tenant.ledger.share().log_in().map_err(|limit| {
            tenant.ledger.share().complain(&tenant.name, limit);
            Refused {
                refusal: Refusal::new(
                    Some(ResponseCode::SysTemp),
                    "too many logins, try again in a minute",
                ),
                why: Why::TooManyLogins,
            }
        })
    }

    pub(in crate::connection) fn not_admitted(refusal: Refusal) -> Self {
        Refused {
            refusal,
            why: Why::NotAdmitted,
        }
    }

    pub(super) fn in_the_clear() -> Self {
        Refused {
            refusal: Refusal::new(
                Some(ResponseCode::Auth),
                "no plaintext login without TLS for this user",
            ),
            why: Why::InTheClear,
        }
    }

    pub(super) fn old_tls() -> Self {
        Refused {
            refusal: Refusal::new(
                Some(ResponseCode::Auth),
                "this user needs a newer version of TLS",
            ),
            why: Why::OldTls,
        }
    }

    pub(super) fn too_many_sessions() -> Self {
        Refused {
            refusal: Refusal::new(
                Some(ResponseCode::SysTemp),
                "too many sessions, try again later",
            ),
            why: Why::TooManySessions,
        }
    }

    pub(super) fn too_many_of_this_user() -> Self {
        Refused {
            refusal: Refusal::new(
                Some(ResponseCode::InUse),
                "this user has too many sessions, end one of them first",
            ),
            why: Why::TooManyOfThisUser,
        }
    }

    pub(super) fn in_use() -> Self {
        Refused {
            refusal: Refusal::new(
                Some(ResponseCode::InUse),
                "another session has this maildrop open",
            ),
            why: Why::InUse,
        }
    }
}

impl From<NotHeld> for Refused {
    fn from(why: NotHeld) -> Self {
        let refusal = match &why {
            NotHeld::InUse { .. } => Refused::in_use().refusal,
            NotHeld::TooSoon(wait) => refusal_for(&Failure::LoginDelay(whole_seconds(*wait))),
            NotHeld::TooManySessions => Refused::too_many_of_this_user().refusal,
            NotHeld::Unavailable(_) => Refusal::new(
                Some(ResponseCode::SysTemp),
                "the maildrop cannot be locked, try again later",
            ),
        };
        Refused {
            refusal,
            why: Why::NotHeld(why),
        }
    }
}

impl From<End> for LoginError {
    fn from(end: End) -> Self {
        LoginError::End(end)
    }
}

impl From<Refused> for LoginError {
    fn from(refused: Refused) -> Self {
        LoginError::Refused(refused)
    }
}

impl From<Busy> for Refused {
    fn from(_: Busy) -> Self {
        Failure::Temporary("the server is busy, try again later".into()).into()
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Denial(Denial::Unknown) => Refused::credentials(Why::Unknown),
            Denied::Denial(Denial::Rejected) => Refused::credentials(Why::Rejected),
            Denied::Denial(Denial::Failed(failure)) => failure.into(),
            Denied::ActingAs => Refused::credentials(Why::ActingAs),
        }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Refused {
            refusal: refusal_for(&failure),
            why: Why::Failed(failure),
        }
    }
}

impl Why {
    /// As it is counted.
    pub(super) fn result(&self) -> LoginResult {
        match self {
            Why::NoTenant | Why::Unknown | Why::Rejected => LoginResult::Rejected,
            Why::Foreign(_) => LoginResult::Foreign,
            Why::NotAdmitted => LoginResult::NotAdmitted,
            Why::InTheClear | Why::OldTls | Why::TurnedOff | Why::ActingAs => {
                LoginResult::NotAllowed
            }
            Why::TooManySessions
            | Why::TooManyOfThisUser
            | Why::TooManyLogins
            | Why::NotHeld(NotHeld::TooSoon(_) | NotHeld::TooManySessions)
            | Why::Failed(Failure::LoginDelay(_)) => LoginResult::Limited,
            Why::InUse | Why::NotHeld(NotHeld::InUse { .. }) => LoginResult::InUse,
            Why::NotHeld(NotHeld::Unavailable(_)) | Why::Failed(_) => LoginResult::Failed,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::NoTenant => out.write_str("no tenant has such users"),
            Why::Foreign(Foreign::Name) => out.write_str("the domain is another tenant's"),
            Why::Foreign(Foreign::Account) => {
                out.write_str("the authenticator's account is of a domain that is not the tenant's")
            }
            Why::NotAdmitted => out.write_str("not admitted"),
            Why::InTheClear => out.write_str("plaintext login without TLS"),
            Why::OldTls => out.write_str("a version of TLS below the tenant's `tls-minimum`"),
            Why::TurnedOff => out.write_str("the tenant has not turned this digest on"),
            Why::TooManySessions => out.write_str("the tenant has too many sessions"),
            Why::TooManyLogins => out.write_str("the tenant has too many logins"),
            Why::TooManyOfThisUser => out.write_str("the user has too many sessions"),
            Why::Unknown => out.write_str("unknown user"),
            Why::Rejected => out.write_str("wrong credentials"),
            Why::ActingAs => out.write_str(
                "acting as another user, which no authenticator of the tenant is let judge \
                 (an entry { plugin = \"NAME\", acting-as = true } of `authenticators` lets it)",
            ),
            Why::InUse => out.write_str("maildrop in use"),
            Why::NotHeld(why) => why.fmt(out),
            // Quoted: parts of it may have come from anywhere.
            Why::Failed(failure) => write!(out, "{:?}", failure.to_string()),
        }
    }
}
