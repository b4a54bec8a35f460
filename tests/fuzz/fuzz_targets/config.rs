//! See `restante_fuzz::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| restante_fuzz::config(octets));
