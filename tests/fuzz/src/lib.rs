//! Properties that must hold for any input at all: one function for each fuzz
//! target, which panics where a property does not hold. docs/testing.md says how
//! they are run.
//!
//! An input is octets, and what they mean is written where they are read
//! ([`input`]): as little as possible stands between a seed and what is tested.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config_text;
mod driver;
mod input;
mod lmtp_octets;
mod memory;
mod proxy_header;
mod replies;
mod sasl_exchange;
mod scram_client;
mod session_octets;
mod stuffed_message;
mod user_names;

// What property tests of the protocols go by: models, sessions in either state, a driver.
#[path = "../../../host/pop3/tests/either/mod.rs"]
mod either;
#[path = "../../../host/lmtp/tests/driver/mod.rs"]
mod lmtp_driver;
#[path = "../../../host/pop3/tests/model/mod.rs"]
#[allow(dead_code, reason = "commands come from the input")]
mod model;
#[path = "../../../host/pop3/tests/reference/mod.rs"]
mod reference;

pub use config_text::config;
pub use lmtp_octets::lmtp;
pub use proxy_header::proxy;
pub use sasl_exchange::sasl;
pub use session_octets::session;
pub use stuffed_message::stuffing;
pub use user_names::users;
