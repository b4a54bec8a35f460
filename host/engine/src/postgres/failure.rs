//! What PostgreSQL and the way to it say, as words for an operator.

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::settings::chain;

/// Why a statement has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The time was over before there was a connection: nothing was sent.
    Late,
    /// There was no connection: nothing was sent.
    Unconnected(String),
    /// It was sent and its answer was lost: nobody knows what became of it.
    Unheard(String),
    /// The server says that it did nothing, and that it may do it if asked again, or if
    /// another server is.
    Again(String),
    /// The server says that it did nothing, and why.
    Refused {
        /// SQLSTATE.
        state: String,
        text: String,
    },
}

impl Failure {
    /// Of a statement that was sent.
    pub(super) fn of(error: &Error) -> Self {
        let Some(refused) = error.as_db_error() else {
            return Self::Unheard(chain(error));
        };
        let text = match refused.hint() {
            Some(hint) => format!("{} ({hint})", refused.message()),
            None => refused.message().to_owned(),
        };
        let code = refused.code();
        if is_lost(code, ends_connection(refused)) {
            return Self::Unheard(text);
        }
        let again = [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            // By the change that is asked for itself, perhaps, whose commit waits for a standby.
            SqlState::LOCK_NOT_AVAILABLE,
        ];
        match again.contains(code) {
            true => Self::Again(text),
            false => Self::Refused {
                state: code.code().to_owned(),
                text,
            },
        }
    }

    /// Of an attempt to connect.
    pub(super) fn unconnected(error: &Error) -> Self {
        match error.as_db_error() {
            // It lets nobody in like this; what is transient is worth another attempt.
            Some(refused) if refuses_all(refused.code().code()) => Self::Refused {
                state: refused.code().code().to_owned(),
                text: refused.message().to_owned(),
            },
            _ => Self::Unconnected(chain(error)),
        }
    }

    /// What happened.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Late => "no connection was free, or none could be made in time",
            Self::Unconnected(text) | Self::Unheard(text) | Self::Again(text) => text,
            Self::Refused { text, .. } => text,
        }
    }
}

/// Whether the connection ends with this error.
fn ends_connection(error: &DbError) -> bool {
    match error.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        // Every server says which in English, also through a pooler. Only a pooler's own errors do
        // not, and it has none but of connections: it lost its server, or lets nobody in.
        None => true,
    }
}

/// Whether it is not the statement that is at fault. `ends_connection`: whoever says so hangs up.
fn is_lost(code: &SqlState, ends_connection: bool) -> bool {
    // A server says this of a statement with a parameter too few, and goes on; a pooler that has
    // no server says it of whatever comes.
    if *code == SqlState::PROTOCOL_VIOLATION {
        return ends_connection;
    }
    // The class of an operator who intervenes: a server that is stopped ends statements at any
    // point, the wait of a commit for the standby among them.
    code.code().starts_with("57P") || code.code().starts_with("08")
}

/// Whether nobody with these settings is let in, by the class of the error.
fn refuses_all(state: &str) -> bool {
    state.starts_with("28") || state.starts_with("3D")
}

/// What to do about a refusal, where that can be said.
pub(super) fn remedy(state: &str) -> &'static str {
    match state {
        // invalid_password, invalid_authorization_specification
        "28P01" | "28000" => ": check the role, its password and pg_hba.conf",
        // insufficient_privilege
        "42501" => ": the role needs to own the schema restante",
        // invalid_catalog_name
        "3D000" => ": create the database first",
        // undefined_table, undefined_function, invalid_schema_name
        "42P01" | "42883" | "3F000" => {
            ": its tables are not there or of another version: restart the server, or run `restante engine migrate`"
        }
        // disk_full
        "53100" => ": its disk is full",
        // too_many_connections
        "53300" => ": it has too few connections for all nodes (max_connections)",
        // query_canceled
        "57014" => ": it took longer than the server allows; nothing was changed",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violated_protocol_is_the_statement_s_fault_while_the_connection_goes_on() {
        let lost = |state: &str, ends| is_lost(&SqlState::from_code(state), ends);
        assert!(!lost("08P01", false));
        assert!(lost("08P01", true));
        for state in ["08006", "57P01"] {
            assert!(lost(state, true) && lost(state, false), "{state}");
        }
        assert!(!lost("42601", false) && !lost("57014", false));
    }
}
