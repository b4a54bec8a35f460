//! See `restante_fuzz::lmtp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| restante_fuzz::lmtp(octets));
