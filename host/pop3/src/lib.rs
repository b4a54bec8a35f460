//! POP3 (RFC 1939 and its extensions) as a state machine without I/O.
//!
//! A driver owns the socket, the clock and the policy. It hands received octets
//! to a [`Session`], writes what the session answers, and does what an action
//! ([`AuthorizationAction`], [`TransactionAction`]) asks for; the session alone
//! knows which command is legal when, and what its reply looks like. Nothing in this crate reads a socket, a file
//! or a clock, and nothing here knows where messages come from: a [`Listing`]
//! is all the session is told of a maildrop. What has to be random (a nonce, a
//! timestamp) is handed in.
//!
//! Two numbering systems meet here, and only [`Maildrop`] crosses between them:
//! a *message-number* is the client's word and counts from 1 (RFC 1939
//! section 4), a *position* is an index into a [`Listing`] and counts from 0.
//!
//! ```
//! use std::sync::Arc;
//! use restante_pop3::{
//!     AuthorizationAction, Channel, Listing, Maildrop, Session, Settings, Step,
//! };
//!
//! let channel = Channel { tls: true, plaintext_login: true, ..Channel::default() };
//! let mut session = Session::new(Arc::new(Settings::default()), channel);
//! let mut out = Vec::new();
//! session.greet(&mut out);
//!
//! let mut input: &[u8] = b"USER mrose\r\nPASS secret\r\nSTAT\r\n";
//! let step = session.step(&mut input, &mut out);
//! assert!(matches!(step, Step::Act(AuthorizationAction::Login(_))));
//! let listing = Listing::new([("first", 120), ("second", 200)])?;
//! let mut session = session.logged_in(Maildrop::new(Arc::new(listing)), &mut out);
//! assert!(matches!(session.step(&mut input, &mut out), Step::Read));
//! assert!(out.ends_with(b"+OK 2 320\r\n"));
//! # Ok::<(), restante_pop3::ListingError>(())
//! ```

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod action;
mod code;
mod command;
mod login;
mod maildrop;
mod policy;
mod prepare;
mod refusal;
mod reply;
mod sasl;
mod secret;
mod session;
mod settings;
mod stuffing;
mod surrogate;
mod syntax;
mod text;
mod url;
mod weight;
mod wording;

pub use action::{AuthorizationAction, Close, Retrieval, State, Step, Summary, TransactionAction};
pub use code::{ResponseCode, UnknownResponseCode};
pub use login::{Cause, Credentials, DigestAlgorithm, FailedLogin, Login};
pub use maildrop::{Listing, ListingError, Maildrop, MessageNumber, NoMessage, Part};
pub use policy::{ByUser, Retention};
pub use prepare::{Preparation, Unprepared, saslprep};
pub use refusal::Refusal;
pub use sasl::{
    BadScramNonce, BadTimestamp, ChannelBinding, Discovery, Mechanism, Mechanisms, MockCredentials,
    ScramHash, ScramKeys, ScramKeysError, ScramNonce, Timestamp,
};
pub use secret::Secret;
pub use session::{Authorization, Phase, Session, Transaction};
pub use settings::{Channel, Limits, Settings};
pub use stuffing::{LineEnds, Measure, Stuffing};
pub use surrogate::Surrogate;
pub use url::without_url_secrets;
pub use weight::{Scales, Weight};
pub use wording::Language;
