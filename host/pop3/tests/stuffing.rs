//! Line ends, byte-stuffing, the TOP cut and octet counts against a reference
//! that takes a message as a whole and goes by the words of RFC 1939.

mod reference;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use restante_pop3::{LineEnds, Measure, Stuffing};

use reference::{client, reference, reference_lines};

fn stuffed<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    body_lines: Option<u64>,
) -> (Vec<u8>, u64) {
    let mut out = Vec::new();
    let mut stuffing = Stuffing::new(body_lines);
    for chunk in chunks {
        let before = out.len();
        stuffing.feed(chunk, &mut out);
        assert!(
            out.len() - before <= 2 * chunk.len(),
            "grew by more than twice the chunk"
        );
    }
    let so_far = stuffing.octets();
    let octets = stuffing.finish(&mut out);
    assert!(
        octets == so_far || octets == so_far + 2,
        "{octets} after {so_far}"
    );
    (out, octets)
}

fn converted<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut line_ends = LineEnds::new();
    for chunk in chunks {
        line_ends.feed(chunk, &mut out);
    }
    line_ends.finish(&mut out);
    out
}

fn measured<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut measure = Measure::new();
    for chunk in chunks {
        measure.feed(chunk);
    }
    measure.finish()
}

const BODY_LINES: [Option<u64>; 7] = [
    None,
    Some(0),
    Some(1),
    Some(2),
    Some(3),
    Some(1_000_000),
    Some(u64::MAX),
];

const AWKWARD: &[&[u8]] = &[
    b"",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\r\r",
    b"\r\r\n",
    b"\r\n\r\n",
    b"\n\r\n\r",
    b".",
    b"..",
    b".\n",
    b".\r\n",
    b".\r",
    b"\r.",
    b"\n.",
    b"\n.\n",
    b"\r\n.\r\n",
    b"\r\n.\r\n\r\n..\r\n...",
    b"A: b\n\nfirst\nsecond\nthird\n",
    b"A: b\r\n\r\nfirst\r\nsecond\r\nthird\r\n",
    b"A: b\r\n\nfirst\r\nsecond\nthird",
    b"A: b\n\r\nfirst\n\n\n.\n..\n",
    b"A: b\n\r\r\nnot blank: a lone CR stands before the line end\n\nbody\n",
    b"A: b\n \nnot blank: a space\n\nbody\nend",
    b"A: no blank line\nB: at all\n",
    b"A: no blank line\nB: no line end",
    b"A: header only\r\n\r\n",
    b"A: header only\n\n",
    b"\nno header\n.\n\n",
    b"\r\nno header\r\n",
    b".A: b\n.\n\n.body\n..\n.",
    b"A: b\n\n.\n.\n.\n",
    b"A: b\n\na lone\rCR\n.\r.\n\rx\n",
    b"A: b\n\nends in CR\r",
    b"A: b\n\nends in LF CR\n\r",
    b"A: \0\xff\xc3\x28\n\n\0.\n.\0\n\xff",
];

#[test]
fn awkward_messages_at_every_split() {
    for raw in AWKWARD {
        for body_lines in BODY_LINES {
            let expected = reference(raw, body_lines);
            let name = format!("{} {body_lines:?}", raw.escape_ascii());
            assert_eq!(stuffed([*raw], body_lines), expected, "{name}");
            assert_eq!(
                stuffed(raw.chunks(1), body_lines),
                expected,
                "octet by octet: {name}"
            );
            for first in 0..=raw.len() {
                for second in first..=raw.len() {
                    let chunks = [&raw[..first], &raw[first..second], &raw[second..]];
                    assert_eq!(
                        stuffed(chunks, body_lines),
                        expected,
                        "split at {first} and {second}: {name}"
                    );
                }
            }
        }
    }
}

#[test]
fn awkward_messages_measure_and_convert_alike() {
    for raw in AWKWARD {
        let expected = reference_lines(raw).concat();
        for split in 0..=raw.len() {
            let chunks = [&raw[..split], &raw[split..]];
            let name = format!("{} at {split}", raw.escape_ascii());
            assert_eq!(converted(chunks), expected, "{name}");
            assert_eq!(measured(chunks), expected.len() as u64, "{name}");
        }
    }
}

/// The octets a client must see, written out by hand.
#[test]
fn what_the_rfc_says_word_for_word() {
    let wire = |raw: &[u8], body_lines| stuffed([raw], body_lines).0;
    // "the line is byte-stuffed by pre-pending the termination octet"
    assert_eq!(wire(b".\n..\na.\n", None), b"..\r\n...\r\na.\r\n.\r\n");
    // An empty message is followed by the terminating line alone.
    assert_eq!(wire(b"", None), b".\r\n");
    // Without a final line end one is added, so that the dot stands alone.
    assert_eq!(wire(b"a", None), b"a\r\n.\r\n");
    // TOP 1 0: the header and the blank line.
    assert_eq!(wire(b"A: b\n\nbody\n", Some(0)), b"A: b\r\n\r\n.\r\n");
    assert_eq!(
        wire(b"A: b\n\n.x\nlast\n", Some(1)),
        b"A: b\r\n\r\n..x\r\n.\r\n"
    );
    // "the server simply counts each occurrence of this character as two octets"
    // and stuffing "must not be counted".
    assert_eq!(stuffed([&b".a\nb\n"[..]], None).1, 7);
}

#[test]
fn top_says_when_it_has_enough() {
    let mut out = Vec::new();
    let mut top = Stuffing::new(Some(1));
    top.feed(b"A: b\r\n\r\none\r", &mut out);
    assert!(!top.is_complete());
    top.feed(b"\ntwo", &mut out);
    assert!(top.is_complete());
    top.feed(b"three\r\n", &mut out);
    assert_eq!(top.finish(&mut out), 13);
    assert_eq!(out, b"A: b\r\n\r\none\r\n.\r\n");

    let mut header = Stuffing::new(Some(0));
    header.feed(b"A: b\n", &mut out);
    assert!(!header.is_complete());
    header.feed(b"\n", &mut out);
    assert!(header.is_complete());
    assert!(!Stuffing::new(None).is_complete());
}

#[test]
fn long_lines_and_long_messages() {
    for unit in [
        &b"."[..],
        b"\n",
        b"\r",
        b"\r\n",
        b".\n",
        b".\r\n",
        b"The quick brown fox jumps over the lazy dog.\n",
        b"The quick brown fox jumps over the lazy dog.\r\n",
    ] {
        let raw = unit.repeat(200_000 / unit.len());
        let expected = reference(&raw, None);
        for size in [1, 255, 256, 4096, 65536, raw.len()] {
            assert_eq!(
                stuffed(raw.chunks(size), None),
                expected,
                "{} in {size}s",
                unit.escape_ascii()
            );
            assert_eq!(measured(raw.chunks(size)), expected.1);
        }
    }
}

/// Messages in which everything that matters is frequent.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        &b"\n"[..],
        b"\r\n",
        b"\r",
        b".",
        b"a",
        b"Subject: text",
        b"\0",
        b"\xff",
    ]);
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// `raw` cut into chunks of the given lengths, in a circle.
fn cut<'a>(raw: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    let mut rest = raw;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, behind) = rest.split_at((*length).min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_message_in_any_chunks(
        raw in message(),
        lengths in vec(0usize..12, 1..8).prop_filter("some length", |all| all.iter().any(|n| *n > 0)),
        body_lines in proptest::option::of(0u64..8),
    ) {
        let chunks = cut(&raw, &lengths);
        let (wire, octets) = stuffed(chunks.iter().copied(), body_lines);
        prop_assert_eq!(&(wire.clone(), octets), &reference(&raw, body_lines));
        let received = client(&wire).expect("one terminated reply");
        prop_assert_eq!(received.len() as u64, octets);
        let plain = converted(chunks.iter().copied());
        prop_assert!(plain.starts_with(&received));
        prop_assert_eq!(&plain, &reference_lines(&raw).concat());
        prop_assert_eq!(measured(chunks), plain.len() as u64);
    }
}
