//! See `restante_fuzz::stuffing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| restante_fuzz::stuffing(octets));
