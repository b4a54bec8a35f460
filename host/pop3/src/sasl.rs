//! The server's side of SASL exchanges (RFC 4422) as POP3 frames them (RFC
//! 5034). Whether a mechanism is offered, and who may log in, is decided
//! elsewhere; nothing here knows a user, a socket or a source of random octets.
//!
//! Why not a library: rsasl asks for passwords and keys in callbacks that have to
//! answer before its step returns, and draws its own nonces, so a core that
//! hands every question out to plugins cannot wait for the answer; the scram
//! crates do the same, lack SCRAM-SHA-1 or the -PLUS forms, or come under other
//! licences than this one.

mod bearer;
mod digest;
mod exchange;
mod external;
mod framing;
mod gs2;
mod keys;
mod mechanism;
mod plain;
mod scram;
mod stop;
mod terms;

pub(crate) use bearer::Bearer;
pub(crate) use digest::name_and_digest;
pub use digest::{BadTimestamp, Timestamp};
pub(crate) use exchange::{Exchange, Turn};
pub(crate) use framing::{challenge_line, decoded};
pub use keys::{BadScramNonce, MockCredentials, ScramHash, ScramKeys, ScramKeysError, ScramNonce};
pub use mechanism::{Mechanism, Mechanisms};
pub(crate) use scram::ClientFirst;
pub(crate) use stop::Stop;
pub(crate) use terms::Terms;
pub use terms::{ChannelBinding, Discovery};
