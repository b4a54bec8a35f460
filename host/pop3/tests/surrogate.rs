//! Surrogates (RFC 6856 section 2.1, RFC 6858): examples by field, and what
//! holds for any octets at all.

#![allow(clippy::unwrap_used)]

use base64::Engine as _;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use restante_pop3::{Measure, Surrogate};

const INVALID: &str = "<invalid@internationalized-address.invalid>";

fn surrogate_of<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, i64, bool) {
    let mut surrogate = Surrogate::new();
    let mut whole = Vec::new();
    for chunk in chunks {
        let mut chunk = chunk.to_vec();
        surrogate.feed(&mut chunk);
        whole.extend(chunk);
    }
    surrogate.finish(&mut whole);
    (whole, surrogate.growth(), surrogate.is_needed())
}

fn surrogate(message: &[u8]) -> Vec<u8> {
    surrogate_of([message]).0
}

fn measured(octets: &[u8]) -> u64 {
    let mut measure = Measure::new();
    measure.feed(octets);
    measure.finish()
}

/// What a field becomes, all lines of it.
#[track_caller]
fn becomes(field: &str, expected: &str) {
    let message = |field: &str| format!("{field}X-Behind: 1\r\n\r\nBödy\r\n");
    let got = surrogate(message(&format!("{field}\r\n")).as_bytes());
    let expected = match expected {
        "" => message(""),
        expected => message(&format!("{expected}\r\n")),
    };
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

#[test]
fn text_becomes_encoded_words() {
    // RFC 6858 section 2.3.
    becomes("Subject: Grüße", "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=");
    becomes("Subject:Grüße", "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=");
    becomes(
        "Subject: Re: zwölf Boxkämpfer jagen Viktor",
        "Subject: Re: =?utf-8?Q?zw=C3=B6lf_Boxk=C3=A4mpfer?= jagen Viktor",
    );
    // The shorter of Q and B.
    becomes("Subject: 你好", "Subject: =?utf-8?B?5L2g5aW9?=");
    // Nobody's field, and one of MIME's.
    becomes("X-Note: a ü b", "X-Note: a =?utf-8?B?w7w=?= b");
    becomes(
        "content-description: ü",
        "content-description: =?utf-8?B?w7w=?=",
    );
    becomes(
        "Delivered-To: jürgen@example.org",
        "Delivered-To: =?utf-8?Q?j=C3=BCrgen=40example=2Eorg?=",
    );
}

#[test]
fn what_stands_encoded_already_keeps_its_distance() {
    // White space between encoded-words is not shown (RFC 2047 section 6.2).
    becomes(
        "Subject: =?utf-8?Q?a?= ü =?utf-8?Q?b?=",
        "Subject: =?utf-8?Q?a?= =?utf-8?Q?_=C3=BC_?= =?utf-8?Q?b?=",
    );
}

#[test]
fn long_text_is_folded_between_characters() {
    // 76 octets in a line, 75 in a word (RFC 2047 section 2).
    let words = |counts: &[usize]| {
        let word = |&count: &usize| {
            let text = base64::engine::general_purpose::STANDARD.encode("ä".repeat(count));
            format!(" =?utf-8?B?{text}?=")
        };
        counts.iter().map(word).collect::<Vec<_>>().join("\r\n")
    };
    becomes(
        &format!("Subject: {}", "ä".repeat(60)),
        &format!("Subject:{}", words(&[19, 22, 19])),
    );
    let name = format!("X-{}", "long-".repeat(12));
    becomes(
        &format!("{name}: {}", "ä".repeat(3)),
        &format!("{name}:\r\n{}", words(&[3])),
    );
    // A folded field means what its one line meant.
    becomes(
        "Subject: one\r\n\tzwö\r\n three",
        "Subject: one =?utf-8?Q?zw=C3=B6?= three",
    );
}

#[test]
fn names_are_kept_and_their_addresses_with_them() {
    becomes(
        "From: Jürgen Müller <jm@example.org>",
        "From: =?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <jm@example.org>",
    );
    becomes(
        "From: \"Müller, \\\"J.\\\"\" <jm@example.org>",
        "From: =?utf-8?Q?M=C3=BCller=2C_=22J=2E=22?= <jm@example.org>",
    );
    becomes(
        "From: Ann Müller<jm@example.org>",
        "From: Ann =?utf-8?Q?M=C3=BCller?= <jm@example.org>",
    );
    becomes(
        "Cc: a@example.org, Ü <u@example.org>,\r\n \"B, b\" <b@example.org>",
        "Cc: a@example.org, =?utf-8?B?w5w=?= <u@example.org>, \"B, b\" <b@example.org>",
    );
    becomes(
        "From: jm@example.org (Jürgen (M.))",
        "From: jm@example.org (=?utf-8?Q?J=C3=BCrgen_=28M=2E=29?=)",
    );
}

#[test]
fn addresses_that_need_utf_8_become_nobodys() {
    // RFC 6858 section 2.1.
    becomes(
        "From: Fred <jürgen@example.org>",
        &format!("From: Fred =?utf-8?Q?j=C3=BCrgen=40example=2Eorg?=\r\n {INVALID}"),
    );
    becomes(
        "To: fred@bücher.example",
        &format!("To: =?utf-8?Q?fred=40b=C3=BCcher=2Eexample?=\r\n {INVALID}"),
    );
    becomes(
        "Reply-To: \"jü rgen\"@example.org, b@example.org",
        &format!(
            "Reply-To: =?utf-8?Q?=22j=C3=BC_rgen=22=40example=2Eorg?=\r\n {INVALID}, b@example.org"
        ),
    );
    becomes(
        "Return-Path: <jürgen@example.org>",
        &format!("Return-Path: {INVALID}"),
    );
    becomes(
        "Resent-Sender: Jürgen",
        &format!("Resent-Sender: =?utf-8?Q?J=C3=BCrgen?=\r\n {INVALID}"),
    );
}

#[test]
fn groups_stay_groups() {
    becomes(
        "To: Büro: a@example.org, ü@example.org; c@example.org",
        &format!(
            "To: =?utf-8?Q?B=C3=BCro?=: a@example.org, =?utf-8?Q?=C3=BC=40example=2Eorg?=\r\n {INVALID}; c@example.org"
        ),
    );
    becomes("To: Büro:;", "To: =?utf-8?Q?B=C3=BCro?=:;");
    becomes(
        "To: ü <a@[IPv6:2001:db8::1]>, b@[IPv6:2001:db8::1]",
        "To: =?utf-8?B?w7w=?= <a@[IPv6:2001:db8::1]>, b@[IPv6:2001:db8::1]",
    );
}

#[test]
fn parameters_are_extended() {
    // RFC 2231 section 4.
    becomes(
        "Content-Disposition: attachment; filename=\"Käse 1.pdf\"; size=12",
        "Content-Disposition: attachment; filename*=utf-8''K%C3%A4se%201.pdf; size=12",
    );
    becomes(
        "Content-Type: Text/Plain; charset=utf-8; name=ü (Käse)",
        "Content-Type: text/plain; charset=utf-8; name*=utf-8''%C3%BC",
    );
    // Said already, by a sender who knew how; or begun wrongly.
    becomes(
        "Content-Disposition: attachment; filename=\"ü\"; filename*=utf-8''%C3%BC",
        "Content-Disposition: attachment; filename*=utf-8''%C3%BC",
    );
    becomes(
        "Content-Disposition: attachment; filename*=utf-8''ü%20",
        "Content-Disposition: attachment; filename*=utf-8''%C3%BC%20",
    );
    becomes(
        "Content-Disposition: attachment; filename*0=\"ü\"",
        "Content-Disposition: attachment",
    );
    becomes(
        "Content-Disposition: attachment; ü=1; a=1",
        "Content-Disposition: attachment; a=1",
    );
    becomes("Content-Type: text/plän", "");
    // RFC 2231 section 3.
    let long = "ü".repeat(20);
    becomes(
        &format!("Content-Disposition: attachment; filename=\"{long}\""),
        &format!(
            "Content-Disposition: attachment;\r\n filename*0*=utf-8''{};\r\n filename*1*={};\r\n filename*2*=%C3%BC",
            "%C3%BC".repeat(9),
            "%C3%BC".repeat(10)
        ),
    );
}

#[test]
fn identifiers_are_put_aside() {
    becomes(
        "Message-ID: <ü@example.org>",
        "Downgraded-Message-ID: =?utf-8?Q?=3C=C3=BC=40example=2Eorg=3E?=",
    );
    becomes(
        "References: <a@example.org> <ü@example.org>",
        "Downgraded-References: <a@example.org>\r\n =?utf-8?Q?=3C=C3=BC=40example=2Eorg=3E?=",
    );
}

#[test]
fn what_has_a_grammar_of_its_own_keeps_its_comments_or_goes() {
    becomes(
        "Received: from a (Bür\u{f6}) by b for <ü@example.org>; Sat, 1 Aug 2026 00:00:00 +0000",
        "Received: from a (=?utf-8?Q?B=C3=BCr=C3=B6?=) by b; Sat, 1 Aug 2026 00:00:00\r\n +0000",
    );
    becomes("Received: from ü by b; Sat, 1 Aug 2026 00:00:00 +0000", "");
    becomes("DKIM-Signature: v=1; i=ü@example.org", "");
    becomes("List-Unsubscribe: <mailto:ü@example.org>", "");
    becomes(
        "List-Id: Käse <cheese.example.org>",
        "List-Id: =?utf-8?Q?K=C3=A4se?= <cheese.example.org>",
    );
    becomes(
        "Keywords: Käse, Brot",
        "Keywords: =?utf-8?Q?K=C3=A4se?=, Brot",
    );
}

#[test]
fn octets_that_are_not_utf_8_are_of_no_known_charset() {
    // RFC 1428 section 3.
    assert_eq!(
        surrogate(b"Subject: Gr\xFC\xDFe\n\n\xFC\n"),
        b"Subject: =?unknown-8bit?Q?Gr=FC=DFe?=\r\n\n\xFC\n"
    );
    assert_eq!(
        surrogate(b"Content-Disposition: inline; filename=\xFC\n\n"),
        b"Content-Disposition: inline; filename*=unknown-8bit''%FC\r\n\n"
    );
}

#[test]
fn control_characters_end_no_line_of_a_reader() {
    assert_eq!(
        surrogate("Subject: ü\rX: y\0zö\u{7f}\n\n".as_bytes()),
        b"Subject: =?utf-8?B?w7w=?= X: y =?utf-8?Q?z=C3=B6?=\r\n\n"
    );
}

#[test]
fn only_what_needs_it_is_touched() {
    for message in [
        "",
        "\n",
        "A: 1\n",
        "A:  1 \r\nlong \t\n folded\r\n\r\nBödy",
        // No header at all.
        "Grüße,\nUlf: schön\n",
        "\nGrüße: ü\n",
        // Text, not a part; and a part whose header is ASCII.
        "Content-Type: text/plain; boundary=b\n\n--b\nA: ü\n\n",
        "Content-Type: multipart/mixed; boundary=b\n\n--c\nA: ü\n--b\nA: 1\n\nA: ü\n--b--\nA: ü\n",
        // What is encoded has no header here.
        "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nA: ü\n\n",
    ] {
        let (same, growth, needed) = surrogate_of([message.as_bytes()]);
        assert_eq!(String::from_utf8_lossy(&same), message);
        assert_eq!((growth, needed), (0, false), "{message}");
    }
}

#[test]
fn headers_of_parts_and_of_messages_inside() {
    let message = "Content-Type: multipart/mixed;\r\n boundary=\"outer b\"\n\
                   \n\
                   preamble: ü\n\
                   --outer b \n\
                   Content-Type: multipart/digest; boundary=inner\n\
                   \n\
                   --inner\n\
                   \n\
                   Subject: ä\n\
                   \n\
                   text: ü\n\
                   --inner\n\
                   Content-Type: text/plain\n\
                   Content-Description: ä\n\
                   \n\
                   Subject: ü\n\
                   --outer b\n\
                   Content-Type: message/rfc822\n\
                   \n\
                   Subject: ä\n\
                   Content-Type: multipart/mixed; boundary=third\n\
                   \n\
                   --third\n\
                   Content-Description: ä\n\
                   --third--\n\
                   Subject: ü\n\
                   --outer b--\n\
                   Subject: ü\n\
                   --inner\n\
                   Subject: ü\n";
    let expected = message.replace(": ä\n", ": =?utf-8?B?w6Q=?=\r\n");
    assert_eq!(
        String::from_utf8(surrogate(message.as_bytes())).unwrap(),
        expected
    );
}

#[test]
fn lines_that_are_no_fields() {
    // Behind a field they are of the header, as every reader of the header has it.
    assert_eq!(
        surrogate("A: 1\nGrüße\nB: ü\n\nü".as_bytes()),
        "A: 1\nGrüße\nB: =?utf-8?B?w7w=?=\r\n\nü".as_bytes()
    );
    assert_eq!(
        surrogate("From ü Sat Aug  1\nB: ü\n\nü".as_bytes()),
        "From ü Sat Aug  1\nB: =?utf-8?B?w7w=?=\r\n\nü".as_bytes()
    );
}

#[test]
fn a_message_may_end_with_its_header() {
    for (message, expected) in [
        ("A: ü", "A: =?utf-8?B?w7w=?="),
        ("A: ü\r", "A: =?utf-8?B?w7w=?="),
        ("A: ü\n", "A: =?utf-8?B?w7w=?=\r\n"),
        ("A: 1\nDate: ü", "A: 1\n"),
        ("Date: ü", ""),
        ("A: 1\nü", "A: 1\nü"),
    ] {
        let (got, growth, needed) = surrogate_of([message.as_bytes()]);
        assert_eq!(String::from_utf8_lossy(&got), expected);
        assert_eq!(
            measured(&got) as i64 - measured(message.as_bytes()) as i64,
            growth,
            "{message}"
        );
        assert!(needed);
    }
}

/// Half of it would be shown as the whole.
#[test]
fn a_field_that_is_too_long_to_be_rewritten_goes_out_as_it_is() {
    let many = "somebody@example.org, ".repeat(4000);
    let behind = "\r\nSubject: ü\r\n\r\n";
    let subject = "\r\nSubject: =?utf-8?B?w7w=?=\r\n\r\n";
    for (field, needed) in [
        (
            format!("To: {many}jürgen@example.org, other@example.org"),
            true,
        ),
        (format!("To: jürgen@example.org, {many}"), true),
        (format!("X: {many}\n  ü\r\n \n x"), true),
        (format!("Subject: {}", "ü".repeat(40_000)), true),
        (format!("{many} no field\n ü"), true),
    ] {
        for lead in ["", "A: 1\n"] {
            let message = format!("{lead}{field}{behind}");
            // A header that begins with no field is none.
            let is_header = !lead.is_empty() || !field.starts_with("somebody");
            let expected = match is_header {
                true => format!("{lead}{field}{subject}"),
                false => message.clone(),
            };
            for size in [1, 4096, 65_536, 1_000_000] {
                let (got, growth, was_needed) = surrogate_of(message.as_bytes().chunks(size));
                assert!(got == expected.as_bytes(), "{size}: {lead} {:.60}", field);
                let actual = measured(&got) as i64 - measured(message.as_bytes()) as i64;
                assert_eq!(actual, growth);
                assert_eq!(was_needed, needed && is_header);
            }
        }
    }
    // One that can be said as it is.
    let message = format!("To: {many}{behind}");
    let (got, _, _) = surrogate_of([message.as_bytes()]);
    assert!(got == format!("To: {many}{subject}").as_bytes());
}

#[test]
fn in_a_part_without_a_blank_line_text_is_no_field() {
    let message = |part: &str| {
        format!(
            "Content-Type: multipart/mixed; boundary=b\nSubject: ü\n\n--b\n{part}\n--b\n\
             Content-Disposition: attachment; filename=ü\n\nü\n--b--\n"
        )
    };
    let rewritten = |part: &str| {
        message(part)
            .replacen("Subject: ü\n", "Subject: =?utf-8?B?w7w=?=\r\n", 1)
            .replace("filename=ü\n", "filename*=utf-8''%C3%BC\r\n")
    };
    for part in [
        "Content-Type: text/plain\nGrüße an alle\nHallo: schöne Grüße",
        "Content-Type: text/plain\nHallo: schöne Grüße\n zu Hause",
        "Grüße: an alle\nContent-Type: text/plain; name=ü",
        "Hallo: schöne Grüße",
        "Content-Type: message/rfc822\nHallo: Grüße\nSubject: ü",
    ] {
        let message = message(part);
        for size in [1, 7, 1000] {
            let (got, growth, _) = surrogate_of(message.as_bytes().chunks(size));
            assert_eq!(String::from_utf8(got.clone()).unwrap(), rewritten(part));
            let actual = measured(&got) as i64 - measured(message.as_bytes()) as i64;
            assert_eq!(actual, growth);
        }
    }
    // Fields of a part, and those of a message in it.
    let got = surrogate(message("Content-Description: ü\nX-Any: ü\n\nü").as_bytes());
    let got = String::from_utf8(got).unwrap();
    assert!(
        got.contains("Content-Description: =?utf-8?B?w7w=?=\r\nX-Any: =?utf-8?B?w7w=?=\r\n\nü")
    );
    let got = surrogate(message("Content-Type: message/rfc822\n\nSubject: ü\n\nü").as_bytes());
    let got = String::from_utf8(got).unwrap();
    assert!(got.contains("message/rfc822\n\nSubject: =?utf-8?B?w7w=?=\r\n\nü"));
}

/// Octets that are likely to meet: names, marks, quotes, line ends, text.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "Subject",
        "From",
        "To",
        "Received",
        "Content-Type",
        "Content-Disposition",
        "Message-ID",
        "Keywords",
        "X-Any",
        ":",
        ": ",
        ":",
        " ",
        "\t",
        "\n",
        "\r\n",
        "\n",
        "\r\n ",
        "\n\t",
        "\r",
        "\n\n",
        "a@example.org",
        "ü@example.org",
        "<",
        ">",
        "\"",
        "(",
        ")",
        "\\",
        ",",
        ";",
        "=",
        "*",
        "[",
        "]",
        "multipart/mixed; boundary=b",
        "message/rfc822",
        "--b",
        "--b--",
        "--",
        "-",
        "for",
        "filename",
        "=?utf-8?Q?a?=",
        "ä",
        "你好",
        "plain",
        "\u{1f600}",
        "\0",
    ];
    let words = words.map(|word| word.as_bytes().to_vec()).to_vec();
    prop_oneof![
        20 => select(words),
        1 => vec(any::<u8>(), 1..4),
        1 => Just(vec![b'a'; 90]),
    ]
}

/// What a reader of mail takes for the header: nothing, if it begins with no
/// field.
fn header_of(message: &[u8]) -> &[u8] {
    let mut end = 0;
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if line == b"\n" || line == b"\r\n" {
            break;
        }
        end += line.len();
    }
    &message[..end]
}

/// The lines of a header that are of a field.
fn fields_of(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut is_field = false;
    let lines = header.split_inclusive(|&octet| octet == b'\n');
    lines.filter(move |line| {
        if !matches!(line, [b' ' | b'\t', ..]) {
            let is_name = |octet: &u8| octet.is_ascii_graphic() && *octet != b':';
            let name = line.iter().take_while(|octet| is_name(octet)).count();
            let mut behind = line[name..].iter();
            let behind = behind.find(|octet| !matches!(octet, b' ' | b'\t'));
            is_field = name > 0 && behind == Some(&b':');
        }
        is_field
    })
}

/// Found by the property below: what a field is reduced to may end with a space.
#[test]
fn a_message_that_ends_in_its_header_is_counted() {
    let message = "A: 1\nContent-Type:;\u{fc}@example.org".as_bytes();
    let (got, growth, _) = surrogate_of([message]);
    assert_eq!(measured(&got) as i64 - measured(message) as i64, growth);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_chunks_give_the_same(
        pieces in vec(piece(), 0..60),
        cuts in vec(1..40_usize, 1..20),
    ) {
        let message = [b"A: 1\n".to_vec(), pieces.concat()].concat();
        let (whole, growth, needed) = surrogate_of([message.as_slice()]);
        let mut chunks = Vec::new();
        let mut rest = message.as_slice();
        for cut in cuts.iter().cycle() {
            let (chunk, behind) = rest.split_at((*cut).min(rest.len()));
            chunks.push(chunk);
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(surrogate_of(chunks), (whole.clone(), growth, needed));
        prop_assert_eq!(surrogate_of(message.chunks(1)), (whole, growth, needed));
    }

    #[test]
    fn what_comes_out_is_a_message_in_ascii(pieces in vec(piece(), 0..60)) {
        let message = [b"A: 1\n".to_vec(), pieces.concat()].concat();
        let (got, growth, needed) = surrogate_of([message.as_slice()]);
        let header = header_of(&got);
        for field in fields_of(header) {
            prop_assert!(field.is_ascii(), "{}", field.escape_ascii());
        }
        prop_assert_eq!(measured(&got) as i64 - measured(&message) as i64, growth);
        prop_assert!(needed || got == message);
        let (again, growth, _) = surrogate_of([got.as_slice()]);
        prop_assert_eq!((again, growth), (got.clone(), 0));
        // No line was made that is too long, and none of white space alone.
        let blank = |octets: &[u8]| {
            octets
                .split_inclusive(|&octet| octet == b'\n')
                .filter(|line| line.trim_ascii().is_empty())
                .count()
        };
        prop_assert!(blank(header) <= blank(header_of(&message)));
        let longest = |octets: &[u8]| octets.split(|&octet| octet == b'\n').map(<[u8]>::len).max();
        prop_assert!(longest(header) <= longest(header_of(&message)).max(Some(998)));
    }

    #[test]
    fn what_is_ascii_passes(pieces in vec(piece(), 0..60)) {
        let mut message = pieces.concat();
        message.retain(u8::is_ascii);
        prop_assert_eq!(surrogate_of(message.chunks(7)), (message.clone(), 0, false));
    }

    #[test]
    fn a_body_stays_as_it_is(body in vec(piece(), 0..40)) {
        let body = body.concat();
        let message = [b"A: 1\nB: \xC3\xBC\n\n".as_slice(), &body].concat();
        let got = surrogate(&message);
        prop_assert_eq!(&got, &[b"A: 1\nB: =?utf-8?B?w7w=?=\r\n\n".as_slice(), &body].concat());
    }

    #[test]
    fn no_address_becomes_another(local in "[a-zü.\" ]{1,8}", domain in "[a-zü.]{1,8}") {
        let field = format!("To: x@example.org, {local}@{domain}\n\n");
        prop_assume!(!field.is_ascii());
        let got = String::from_utf8(surrogate(field.as_bytes())).unwrap();
        let rest = got.replace("x@example.org", "").replace(INVALID, "");
        prop_assert!(!rest.contains('@') || rest.contains('"'), "{}", got);
    }
}
