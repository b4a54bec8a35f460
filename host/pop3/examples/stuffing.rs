//! How fast the path of every octet is:
//! `cargo run --release -p restante-pop3 --example stuffing`.

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use restante_pop3::{LineEnds, Measure, Stuffing};

const CHUNK_OCTETS: usize = 64 * 1024;
const ROUNDS: usize = 20_000;

fn main() {
    for (name, line) in [
        ("LF, 40", "The quick brown fox jumps over the dog.\n"),
        (
            "LF, 76",
            "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZyBhbmQgcnVucyBhd2E=\n",
        ),
        (
            "CRLF, 76",
            "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZyBhbmQgcnVucyBhd2E=\r\n",
        ),
        ("dots", ".\n"),
    ] {
        let mut chunk = line.repeat(CHUNK_OCTETS / line.len()).into_bytes();
        chunk.resize(CHUNK_OCTETS, b'x');
        let mut out = Vec::new();
        measure(name, "RETR", || {
            let mut stuffing = Stuffing::new(None);
            out.clear();
            stuffing.feed(black_box(&chunk), &mut out);
            black_box(&out);
        });
        measure(name, "TOP 1000000", || {
            let mut stuffing = Stuffing::new(Some(1_000_000));
            out.clear();
            stuffing.feed(black_box(&chunk), &mut out);
            black_box(&out);
        });
        measure(name, "line ends", || {
            out.clear();
            LineEnds::new().feed(black_box(&chunk), &mut out);
            black_box(&out);
        });
        measure(name, "measure", || {
            let mut measure = Measure::new();
            measure.feed(black_box(&chunk));
            black_box(measure.finish());
        });
    }
}

fn measure(name: &str, what: &str, mut round: impl FnMut()) {
    round();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        round();
    }
    let seconds = start.elapsed().as_secs_f64();
    let octets = (ROUNDS * CHUNK_OCTETS) as f64;
    println!("{name:>9}  {what:<12} {:6.2} GB/s", octets / seconds / 1e9);
}
