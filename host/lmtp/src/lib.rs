//! LMTP (RFC 2033 and its extensions) as a state machine without I/O.
//!
//! A driver owns the socket, the clock, the addresses and the mail. It hands received
//! octets to a [`Session`], writes what the session answers, and does what an
//! [`Action`] asks for; the session alone knows which command is legal when, where a
//! message ends, and what a reply looks like. Nothing in this crate reads a socket, a
//! file or a clock, and no message is collected: its octets are handed on in pieces as
//! they come ([`Receive::Octets`]), and a driver that has no room for more just reads
//! later. Once it is whole, each recipient gets an answer of its own.
//!
//! The states are types, and what leads from one to the next consumes it:
//!
//! ```
//! use std::sync::Arc;
//! use restante_lmtp::{Action, Channel, Reason, Receive, Session, Settings, Step};
//!
//! let mut session = Session::new(Arc::new(Settings::default()), Channel::default());
//! let mut out = Vec::new();
//! session.greet(&mut out);
//!
//! let mut input: &[u8] = b"LHLO mx.example.org\r\nMAIL FROM:<a@example.org>\r\n\
//!     RCPT TO:<mrose@example.com>\r\nRCPT TO:<full@example.com>\r\nDATA\r\n\
//!     Subject: x\r\n\r\n..\r\n.\r\n";
//! let Step::Act(Action::Mail(mail)) = session.step(&mut input, &mut out) else { panic!() };
//! assert_eq!(mail.reverse_path.map(|sender| sender.to_string()), Some("a@example.org".into()));
//! session.mail(Ok(()), &mut out);
//! for _ in 0..2 {
//!     let Step::Act(Action::Recipient(_)) = session.step(&mut input, &mut out) else { panic!() };
//!     session.recipient(Ok(()), &mut out);
//! }
//! let Step::Act(Action::Message) = session.step(&mut input, &mut out) else { panic!() };
//!
//! let mut session = session.receive(&mut out);
//! let mut message = Vec::new();
//! while let Receive::Octets(octets) = session.step(&mut input, &mut out) {
//!     message.extend_from_slice(octets);
//! }
//! assert_eq!(message, b"Subject: x\r\n\r\n.\r\n");
//!
//! let mut session = session.whole();
//! assert!(session.facts().dot_at_line_start);
//! session.answer(Ok("Delivered"), &mut out);
//! session.answer(Err(&Reason::Full.into()), &mut out);
//! let session = session.answered();
//! assert!(out.ends_with(b"250 2.1.5 Delivered\r\n452 4.2.2 Mailbox full, try again later\r\n"));
//! ```

#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod action;
mod address;
mod client;
mod command;
mod envelope;
mod fault;
mod measure;
mod parameters;
mod refusal;
mod reply;
mod session;
mod settings;
mod unstuffing;
mod xtext;

pub use action::{Action, Close, Dropped, Receive, State, Step, Summary, TurnAway};
pub use address::Address;
pub use client::{Attribute, Attributes};
pub use envelope::{Body, Mail, Notify, OriginalRecipient, Recipient, Ret};
pub use measure::Facts;
pub use refusal::{Reason, Refusal};
pub use session::{Answering, Commands, Receiving, Session};
pub use settings::{BareLineEnds, Channel, Limits, Settings};

/// Tries the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
