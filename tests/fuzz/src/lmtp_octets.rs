//! LMTP: line reader, parser, un-stuffing and session together, and a driver that
//! answers in any way it may.

use restante_lmtp::{BareLineEnds, Channel, Limits, Settings};

use crate::input::Input;
use crate::lmtp_driver::{Driver, Transcript, expect_legal};
use crate::memory;

/// What a session may keep beside a line, in octets: what XFORWARD said, and the
/// client's name.
const SESSION_OCTETS: usize = 16 * 1024;

/// What one octet of a line may make a session keep: the line, and a command's
/// arguments in another form.
const KEPT_FOR_ONE_OCTET: usize = 4;

/// Any octets, cut anywhere: the same replies, questions, messages and end as in one
/// piece; every reply a legal one; messages within their limit, and without bare line
/// ends where these are refused; bounded memory.
pub fn lmtp(input: &[u8]) {
    let input = Input::read(input);
    let channel = channel(input.settings[0]);
    let mut settings = settings(&input);
    let whole = play(&settings, channel, &input, &[input.octets]);
    expect_legal(&whole.wire);
    for message in &whole.messages {
        assert!(message.len() as u64 <= settings.limits.message_octets);
    }

    settings.limits.output_bytes = 0;
    let chunks = input.chunks(input.octets);
    assert_eq!(play(&settings, channel, &input, &chunks), whole);
    let octets: Vec<&[u8]> = input.octets.chunks(1).collect();
    assert_eq!(play(&settings, channel, &input, &octets), whole);
    bounded_memory(&settings, channel, &input);
}

fn play(settings: &Settings, channel: Channel, input: &Input<'_>, chunks: &[&[u8]]) -> Transcript {
    let mut answers = input.answers.clone();
    let mut driver = Driver::new(settings, channel, || answers.next());
    for chunk in chunks {
        driver.receive(chunk);
    }
    driver.transcript
}

/// Bits: TLS, STARTTLS, TLS required, XCLIENT, XFORWARD.
fn channel(choice: u8) -> Channel {
    Channel {
        tls: choice & 1 != 0,
        starttls: choice & 2 != 0,
        tls_required: choice & 4 != 0,
        xclient: choice & 8 != 0,
        xforward: choice & 16 != 0,
    }
}

fn settings(input: &Input<'_>) -> Settings {
    let [_, offers, limits, _] = input.settings;
    let offered = |bit: u8| offers & (1 << bit) != 0;
    Settings {
        host_name: ["mx.example.com", "", "a\r\nb \u{e4}"][usize::from(offers >> 6) % 3].into(),
        smtputf8: offered(0),
        chunking: offered(1),
        bare_line_ends: match offered(2) {
            true => BareLineEnds::Keep,
            false => BareLineEnds::Refuse,
        },
        limits: Limits {
            line_octets: [0, 2048, 3000, 4096][usize::from(limits & 3)],
            recipients: 100,
            message_octets: [0, 10, 100, 1 << 20][usize::from(limits >> 2 & 3)],
            bad_commands: [0, 2, 20, u32::MAX][usize::from(limits >> 4 & 3)],
            output_bytes: 16 * 1024,
        },
    }
}

/// What a session keeps is bounded by its longest line, however much comes: the
/// input, then a line or a message without an end.
fn bounded_memory(settings: &Settings, channel: Channel, input: &Input<'_>) {
    let bound = SESSION_OCTETS + KEPT_FOR_ONE_OCTET * settings.limits.line_octets.max(2048);
    let mut answers = input.answers.clone();
    let driver = Driver::new(settings, channel, || answers.next());
    let mut driver = driver.without_records();
    let chunks = input.chunks(input.octets);
    let before = memory::allocated();
    let mut check = |octets: &[u8]| {
        driver.receive(octets);
        let kept = memory::allocated().saturating_sub(before);
        assert!(kept <= bound, "{kept} octets, {bound} expected");
    };
    for chunk in chunks {
        check(chunk);
    }
    for _ in 0..=2 * bound / 256 {
        check(&[b'x'; 256]);
    }
}
