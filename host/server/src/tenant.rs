//! Whose policy a session follows: server name or domain → tenant, with its
//! roles and limits.
//!
//! A tenant is made when a generation is built and never changes; only its
//! count of live sessions does.

mod offer;
mod one;
mod serving;
mod sessions;
mod settings;
mod tenants;

pub use offer::Offer;
pub use one::{Tenant, shared_key};
pub use serving::Serving;
pub use sessions::{SessionCount, SessionPermit, UserPermit};
pub use settings::{SessionSettings, mock_credentials};
pub use tenants::Tenants;

#[cfg(test)]
mod tests;
