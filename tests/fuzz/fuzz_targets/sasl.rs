//! See `restante_fuzz::sasl`.

#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| restante_fuzz::sasl(octets));
