//! Bytes that must not outlive their use: keys, and the lines that carry
//! passwords. Nothing here knows what a secret is good for.

use std::fmt;
use std::ops::Deref;

/// Bytes of fixed capacity that may hold a secret: overwritten when dropped,
/// and never moved by growing, which would leave a copy behind.
#[derive(Default, PartialEq, Eq)]
pub struct Sensitive(Vec<u8>);

impl Sensitive {
    /// Room for `bytes` bytes; nothing is allocated for 0.
    pub fn with_capacity(bytes: usize) -> Self {
        Sensitive(Vec::with_capacity(bytes))
    }

    /// The same bytes; the original stays as it is.
    pub fn copied(bytes: &[u8]) -> Self {
        Sensitive(bytes.to_vec())
    }

    /// Appends what the capacity has room for.
    pub fn extend(&mut self, bytes: &[u8]) {
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
pub fn wipe(bytes: &mut [u8]) {
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
