//! Line ends, byte-stuffing, the TOP cut and octet counts against a reference
//! that takes a message as a whole.

use restante_pop3::{LineEnds, Measure, Stuffing};

use crate::input::Input;
use crate::reference::{client, reference, reference_lines};

/// Any message in any chunks: the octets and counts of the reference, whole or
/// cut by TOP, and a client reads back what was sent.
pub fn stuffing(input: &[u8]) {
    let input = Input::read(input);
    let raw = input.octets;
    let chunks = input.chunks(raw);
    let body_lines = match input.settings[0] {
        255 => u64::MAX,
        lines => u64::from(lines),
    };
    for body_lines in [None, Some(body_lines)] {
        check(raw, &chunks, body_lines);
        check(raw, &[raw], body_lines);
    }

    let whole = reference_lines(raw).concat();
    let mut converted = Vec::new();
    let (mut line_ends, mut measure) = (LineEnds::new(), Measure::new());
    for chunk in &chunks {
        line_ends.feed(chunk, &mut converted);
        measure.feed(chunk);
    }
    line_ends.finish(&mut converted);
    assert_eq!(converted, whole);
    assert_eq!(measure.finish(), whole.len() as u64);
}

fn check(raw: &[u8], chunks: &[&[u8]], body_lines: Option<u64>) {
    let mut wire = Vec::new();
    let mut stuffing = Stuffing::new(body_lines);
    for chunk in chunks {
        let before = wire.len();
        let complete = stuffing.is_complete();
        stuffing.feed(chunk, &mut wire);
        let grown = wire.len() - before;
        assert!(grown <= 2 * chunk.len(), "more than twice the chunk");
        assert!(grown == 0 || !complete, "more than TOP wants");
    }
    let octets = stuffing.finish(&mut wire);
    assert_eq!((wire, octets), reference(raw, body_lines));

    let (wire, _) = reference(raw, body_lines);
    let received = client(&wire).expect("one reply, and its end at its end");
    assert_eq!(received.len() as u64, octets);
    assert!(reference_lines(raw).concat().starts_with(&received));
}
