//! Bytes that must not outlive their use: passwords, keys, and the lines that
//! carry them. Nothing here knows what a secret is good for.

use std::fmt;
use std::mem;
use std::ops::Deref;

use subtle::ConstantTimeEq;

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

/// Bytes of fixed capacity that may hold a secret: overwritten when dropped,
/// and never moved by growing, which would leave a copy behind.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Sensitive(Vec<u8>);

impl Sensitive {
    /// Room for `bytes` bytes; nothing is allocated for 0.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Sensitive(Vec::with_capacity(bytes))
    }

    /// The same bytes; the original stays as it is.
    pub(crate) fn copied(bytes: &[u8]) -> Self {
        Sensitive(bytes.to_vec())
    }

    /// Appends what the capacity has room for.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        let room = self.0.capacity() - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl From<Vec<u8>> for Sensitive {
    /// Takes the bytes over; no copy of them stays behind.
    fn from(bytes: Vec<u8>) -> Self {
        Sensitive(bytes)
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("***")
    }
}

impl Deref for Sensitive {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Sensitive {
    fn drop(&mut self) {
        // What was cut off may lie behind the end.
        self.0.resize(self.0.capacity(), 0);
        wipe(&mut self.0);
    }
}

/// Overwrites every byte, in a way the optimiser may not leave out although
/// nobody reads them again.
#[allow(unsafe_code)]
fn wipe(bytes: &mut [u8]) {
    for byte in bytes {
        // SAFETY: `byte` is a unique, valid, aligned reference to a u8.
        unsafe { std::ptr::write_volatile(byte, 0) };
    }
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
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

    #[test]
    fn wiping_leaves_nothing() {
        let mut bytes = *b"tanstaaf";
        wipe(&mut bytes);
        assert_eq!(bytes, [0; 8]);
    }

    #[test]
    fn sensitive_bytes_never_move() {
        let mut bytes = Sensitive::with_capacity(8);
        let before = bytes.as_ptr();
        let room = bytes.0.capacity();
        bytes.extend(&vec![b'x'; room + 100]);
        assert_eq!((bytes.as_ptr(), bytes.len()), (before, room));
    }
}
