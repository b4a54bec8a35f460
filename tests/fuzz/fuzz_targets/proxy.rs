//! See `restante_fuzz::proxy`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| restante_fuzz::proxy(octets));
