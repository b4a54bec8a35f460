//! Where a bucket is, and how it is used.

use std::path::PathBuf;

use super::credentials::S3Credentials;

/// Where a bucket is, and how it is used.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// `https://HOST[:PORT]`, under which the bucket's name is the first part of the path.
    /// `http://` is for addresses of this machine alone: mail and signatures would be
    /// readable on the way.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// As the store has it; "us-east-1" if it has none.
    pub region: String,
    /// The key to it.
    pub credentials: S3Credentials,
    /// What every key begins with: "" or, for example, "mail/".
    pub prefix: String,
    /// Certificate authorities in PEM form, the only ones to be trusted. None: the
    /// system's.
    pub authorities_file: Option<PathBuf>,
    /// Whether everything is read again after it was written, for stores that
    /// acknowledge what is not there.
    pub reads_back: bool,
}
