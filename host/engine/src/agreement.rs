//! What the servers of an engine must agree on, kept in the engine: whoever knows it first notes
//! it, and whoever has it otherwise finds out.

use std::fmt;

use async_trait::async_trait;

use crate::problem::Problem;

/// Texts by names, in an engine beside its maildrops.
#[async_trait]
pub trait Agreements: Send + Sync + fmt::Debug {
    /// What is noted under a name. None: nothing.
    ///
    /// # Errors
    /// The engine does not answer.
    async fn agreed(&self, name: &str) -> Result<Option<String>, Problem>;

    /// Notes a text, unless one is noted under this name: then nothing is changed. What is
    /// noted now.
    ///
    /// # Errors
    /// The engine does not answer.
    async fn agree(&self, name: &str, text: &str) -> Result<String, Problem>;

    /// Notes a text in the place of what is noted, or nothing.
    ///
    /// # Errors
    /// The engine does not answer; whether it was done is not known.
    async fn agree_anew(&self, name: &str, text: Option<&str>) -> Result<(), Problem>;
}
