//! See `restante_fuzz::users`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| restante_fuzz::users(octets));
