//! A bucket as its clients know it, whatever keeps it.

use std::path::PathBuf;

/// Where a bucket is, and what a client needs to use it.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// "http://127.0.0.1:12345"
    pub endpoint: String,
    /// The text of a file with the key.
    pub credentials: &'static str,
    /// What the keys of objects begin with. Nobody else has it.
    pub prefix: String,
    /// PEM of the authority that is to be trusted, where the endpoint speaks TLS.
    pub authority: Option<PathBuf>,
}

impl Bucket {
    /// Its name.
    pub const NAME: &str = "bucket";
    /// The region of signatures.
    pub const REGION: &str = "garage";
}
