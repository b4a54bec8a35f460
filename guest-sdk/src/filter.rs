//! Role `filter`: what a client sees of a message.

use std::marker::PhantomData;

use crate::bindings::filter::exports::restante::plugin::filter as raw;
use crate::bindings::host::restante::plugin::maildrop as host;
use crate::types::{Account, Failure};

pub use raw::Verdict;

/// Screens messages. The verdict must follow from account, message and
/// settings alone: the host asks once for each message and remembers, across
/// logins, until the plugin or its settings change.
pub trait Filter {
    /// Show the message, hide it, or show it with header fields in front.
    ///
    /// # Errors
    /// The login is refused with what the [`Failure`] says: mail is neither
    /// shown nor hidden by accident.
    fn screen(account: Account, message: &Message<'_>) -> Result<Verdict, Failure>;
}

/// A message as a filter may look at it. Nothing is read from the store until
/// it is asked for.
pub struct Message<'a>(Inner<'a>);

enum Inner<'a> {
    Host(&'a host::Message),
    #[cfg(not(target_family = "wasm"))]
    Sample(&'a crate::testing::SampleMessage),
}

impl Message<'_> {
    /// Its unique-id.
    pub fn unique_id(&self) -> String {
        match &self.0 {
            Inner::Host(message) => message.unique_id(),
            #[cfg(not(target_family = "wasm"))]
            Inner::Sample(sample) => sample.unique_id.clone(),
        }
    }

    /// Its octets, as LIST would say.
    pub fn octets(&self) -> u64 {
        match &self.0 {
            Inner::Host(message) => message.octets(),
            #[cfg(not(target_family = "wasm"))]
            Inner::Sample(sample) => sample.octets(),
        }
    }

    /// Seconds since the Unix epoch; 0: not known.
    pub fn received(&self) -> u64 {
        match &self.0 {
            Inner::Host(message) => message.received(),
            #[cfg(not(target_family = "wasm"))]
            Inner::Sample(sample) => sample.received,
        }
    }

    /// The header section with CRLF line ends, as far as the host's limit.
    /// [`header::fields`](crate::header::fields) takes it apart.
    ///
    /// # Errors
    /// As the store says: the message may have vanished.
    pub fn header(&self) -> Result<Vec<u8>, Failure> {
        match &self.0 {
            Inner::Host(message) => message.header(),
            #[cfg(not(target_family = "wasm"))]
            Inner::Sample(sample) => Ok(sample.header().to_vec()),
        }
    }

    /// At most `length` octets of the message, from `offset`.
    ///
    /// # Errors
    /// As the store says: the message may have vanished.
    pub fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        match &self.0 {
            Inner::Host(message) => message.read(offset, length),
            #[cfg(not(target_family = "wasm"))]
            Inner::Sample(sample) => Ok(sample.read(offset, length).to_vec()),
        }
    }
}

#[cfg(not(target_family = "wasm"))]
impl<'a> From<&'a crate::testing::SampleMessage> for Message<'a> {
    fn from(sample: &'a crate::testing::SampleMessage) -> Message<'a> {
        Message(Inner::Sample(sample))
    }
}

/// Joins a [`Filter`] to the generated bindings.
#[doc(hidden)]
pub struct Adapter<T>(PhantomData<T>);

impl<T: Filter> raw::Guest for Adapter<T> {
    fn screen(account: Account, message: &host::Message) -> Result<Verdict, Failure> {
        T::screen(account, &Message(Inner::Host(message)))
    }
}
