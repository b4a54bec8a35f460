//! Passwords, and other bytes that must not outlive their use. Nothing here knows
//! what a secret is good for.

use std::fmt;
use std::mem;

use restante_lines::wipe;
use subtle::ConstantTimeEq;

pub(crate) use restante_lines::Sensitive;

/// A password or a token. It never prints, in any build, and its memory is overwritten
/// when it is dropped; so is that of each copy.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the secret over; no copy of it stays behind.
    pub fn new(secret: String) -> Self {
        Secret(secret)
    }

    /// The secret itself, for the one who checks it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Secret::new(secret)
    }
}

impl PartialEq for Secret {
    /// Takes as long wherever the first difference is.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut mem::take(&mut self.0).into_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("tanstaaf".into());
        assert_eq!(format!("{secret:?} {secret:#?}"), "*** ***");
        assert_eq!(secret.expose(), "tanstaaf");
    }
}
