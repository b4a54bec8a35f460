//! Where a bucket is, and how it is used.

use std::path::PathBuf;

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
    /// Lines `aws_access_key_id = …` and `aws_secret_access_key = …`, as other programs
    /// have them; `aws_session_token = …` and one `[section]` before them may be there.
    pub credentials_file: PathBuf,
    /// What every key begins with: "" or, for example, "mail/".
    pub prefix: String,
    /// Certificate authorities in PEM form, the only ones to be trusted. None: the
    /// system's.
    pub authorities_file: Option<PathBuf>,
    /// Whether everything is read again after it was written, for stores that
    /// acknowledge what is not there.
    pub reads_back: bool,
}
