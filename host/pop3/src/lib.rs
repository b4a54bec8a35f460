//! POP3 (RFC 1939 and its extensions) as a state machine without I/O.
//!
//! A driver owns the socket, the clock and the policy. It hands received octets
//! to a [`Session`], writes what the session answers, and does what an
//! [`Action`] asks for; the session alone knows which command is legal when,
//! and what its reply looks like. Nothing in this crate reads a socket, a file
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
//! use restante_pop3::{Action, Channel, Listing, Maildrop, Session, Settings, Step};
//!
//! let channel = Channel { tls: true, plaintext_login: true, ..Channel::default() };
//! let mut session = Session::new(Arc::new(Settings::default()), channel);
//! let mut out = Vec::new();
//! session.greet(&mut out);
//!
//! let mut input: &[u8] = b"USER mrose\r\nPASS secret\r\nSTAT\r\n";
//! let Step::Act(Action::Login(_)) = session.step(&mut input, &mut out) else { panic!() };
//! let listing = Listing::new([("first", 120), ("second", 200)])?;
//! session.logged_in(Maildrop::new(Arc::new(listing)), &mut out);
//! assert!(matches!(session.step(&mut input, &mut out), Step::Read));
//! assert!(out.ends_with(b"+OK 2 320\r\n"));
//! # Ok::<(), restante_pop3::ListingError>(())
//! ```

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod action;
mod command;
mod line;
mod maildrop;
mod prepare;
mod reply;
mod sasl;
mod secret;
mod session;
mod settings;
mod stuffing;
mod surrogate;
mod url;
mod weight;
mod wording;

pub use action::{Action, Close, DigestAlgorithm, Login, State, Step, Summary};
pub use maildrop::{Listing, ListingError, Maildrop, MessageNumber, NoMessage, Part};
pub use prepare::{Preparation, Unprepared, saslprep};
pub use reply::{Refusal, ResponseCode, UnknownResponseCode};
pub use sasl::{
    BadScramNonce, BadTimestamp, Cause, Decoy, FailedLogin, Mechanism, Mechanisms, ScramHash,
    ScramKeys, ScramKeysError, ScramNonce, Timestamp,
};
pub use secret::Secret;
pub use session::Session;
pub use settings::{ByUser, Channel, ChannelBinding, Discovery, Limits, Retention, Settings};
pub use stuffing::{LineEnds, Measure, Stuffing};
pub use surrogate::Surrogate;
pub use url::without_url_secrets;
pub use weight::{Scales, Weight};
pub use wording::Language;
