//! See `restante_fuzz::session`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| restante_fuzz::session(octets));
