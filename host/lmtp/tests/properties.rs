//! Messages that come as they were, commands as another parser reads them, and
//! random sessions against the few rules that hold for any input.

mod driver;

use std::borrow::Cow;

use driver::{Driver, expect_legal};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use restante_lmtp::{
    Action, BareLineEnds, Body, Channel, Limits, Mail, Recipient, Ret, Session, Settings, Step,
};
use restante_pop3::{LineEnds, Stuffing};
use smtp_proto::Request;

const CHANNEL: Channel = Channel {
    tls: false,
    starttls: false,
    tls_required: false,
    xclient: true,
    xforward: true,
};

fn settings(bare_line_ends: BareLineEnds) -> Settings {
    Settings {
        bare_line_ends,
        limits: Limits {
            bad_commands: 1000,
            ..Limits::default()
        },
        ..Settings::default()
    }
}

/// In chunks of these lengths, in a circle.
fn chunks<'a>(octets: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    let mut rest = octets;
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

/// A message that has what matters more often than chance would.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        4 => select(vec![&b"\r\n"[..], b".", b"\r", b"\n", b"..", b"\r\n.\r\n", b"\0", b"\xe4"]),
        3 => select(vec![&b"text"[..], b"From: a", b"QUIT", b" "]),
    ];
    vec(part, 0..30).prop_map(|parts| parts.concat())
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(1..9_usize, 1..5)
}

const ENVELOPE: &[u8] = b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n";

proptest! {
    /// What pop3 stuffs is undone here, whatever the message, wherever it is cut.
    #[test]
    fn a_message_by_data_comes_as_it_was(raw in message(), lengths in lengths()) {
        let (mut stuffing, mut line_ends) = (Stuffing::new(None), LineEnds::new());
        let mut wire = [ENVELOPE, b"DATA\r\n"].concat();
        stuffing.feed(&raw, &mut wire);
        stuffing.finish(&mut wire);
        wire.extend_from_slice(b"QUIT\r\n");
        let mut expected = Vec::new();
        line_ends.feed(&raw, &mut expected);
        line_ends.finish(&mut expected);

        let mut driver = Driver::new(&settings(BareLineEnds::Keep), CHANNEL, || 0);
        for chunk in chunks(&wire, &lengths) {
            driver.receive(chunk);
        }
        prop_assert_eq!(&driver.transcript.messages, &[expected]);
        prop_assert!(driver.transcript.wire.ends_with(b"250 2.1.5 kept\r\n221 2.0.0 Goodbye\r\n"));
    }

    /// The same in chunks of BDAT, which are cut again on their way.
    #[test]
    fn a_message_by_bdat_comes_as_it_was(
        raw in message(),
        sizes in lengths(),
        lengths in lengths(),
        binary in any::<bool>(),
    ) {
        let body = if binary { " BODY=BINARYMIME" } else { "" };
        let mut wire = format!("LHLO c\r\nMAIL FROM:<>{body}\r\nRCPT TO:<a@b>\r\n").into_bytes();
        for chunk in chunks(&raw, &sizes) {
            wire.extend(format!("BDAT {}\r\n", chunk.len()).bytes());
            wire.extend_from_slice(chunk);
        }
        wire.extend_from_slice(b"BDAT 0 LAST\r\nQUIT\r\n");
        let keep = if binary { BareLineEnds::Refuse } else { BareLineEnds::Keep };
        let mut driver = Driver::new(&settings(keep), CHANNEL, || 0);
        for chunk in chunks(&wire, &lengths) {
            driver.receive(chunk);
        }
        prop_assert_eq!(&driver.transcript.messages, &[raw]);
        prop_assert!(driver.transcript.wire.ends_with(b"221 2.0.0 Goodbye\r\n"));
    }

    /// With bare line ends refused, a message is taken exactly if it has none.
    #[test]
    fn a_message_is_refused_exactly_for_bare_line_ends(raw in message(), lengths in lengths()) {
        let mut wire = [ENVELOPE, format!("BDAT {} LAST\r\n", raw.len()).as_bytes(), &raw].concat();
        wire.extend_from_slice(b"QUIT\r\n");
        let text: String = raw.iter().map(|octet| char::from(*octet)).collect();
        let is_bare = text.replace("\r\n", "").contains(['\r', '\n']);
        let mut driver = Driver::new(&settings(BareLineEnds::Refuse), CHANNEL, || 0);
        for chunk in chunks(&wire, &lengths) {
            driver.receive(chunk);
        }
        prop_assert_eq!(driver.transcript.messages.len(), usize::from(!is_bare));
        let said = String::from_utf8_lossy(&driver.transcript.wire).into_owned();
        prop_assert_eq!(said.contains("\r\n550 5.6.0 "), is_bare, "{}", said);
        prop_assert!(said.ends_with("221 2.0.0 Goodbye\r\n"));
    }

    #[test]
    fn any_octets_lead_to_the_same_however_they_are_cut(
        parts in vec(part(), 0..40),
        choices in vec(any::<u8>(), 1..8),
        lengths in lengths(),
        message_octets in select(vec![0_u64, 5, 20, 1 << 20]),
        bad_commands in select(vec![0_u32, 3, 1000]),
        keep in any::<bool>(),
    ) {
        let octets = parts.concat();
        let bare = if keep { BareLineEnds::Keep } else { BareLineEnds::Refuse };
        let mut settings = settings(bare);
        settings.limits.message_octets = message_octets;
        settings.limits.bad_commands = bad_commands;
        let play = |settings: &Settings, chunks: &[&[u8]]| {
            let mut choices = choices.iter().copied().cycle();
            let mut driver = Driver::new(settings, CHANNEL, || choices.next().unwrap_or_default());
            for chunk in chunks {
                driver.receive(chunk);
            }
            driver.transcript
        };
        let whole = play(&settings, &[&octets]);
        expect_legal(&whole.wire);
        settings.limits.output_bytes = 0;
        prop_assert_eq!(&play(&settings, &chunks(&octets, &lengths)), &whole);
    }

    /// What is taken for MAIL or RCPT is what smtp-proto takes it for. That takes more:
    /// spaces where none may be, parameters twice, extensions that are not offered.
    #[test]
    fn what_is_taken_reads_as_another_parser_reads_it(line in command(), spoilt in spoilt()) {
        agrees(&line)?;
        if let Some((at, octet)) = spoilt {
            let mut line = line.into_bytes();
            line.insert(at % (line.len() + 1), octet);
            if let Ok(line) = String::from_utf8(line) {
                agrees(&line)?;
            }
        }
    }
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => Just(ENVELOPE.to_vec()),
        8 => select(vec![
            "LHLO c\r\n", "MAIL FROM:<a@b>\r\n", "MAIL FROM:<> BODY=BINARYMIME\r\n", "RCPT TO:<a@b>\r\n",
            "RCPT TO:<b@b>\r\n", "DATA\r\n", ".\r\n", "..\r\n", "\r\n", "BDAT 5\r\n", "BDAT 3 LAST\r\n",
            "BDAT 0 LAST\r\n", "BDAT 30\r\n", "BDAT x\r\n", "RSET\r\n", "NOOP\r\n", "QUIT\r\n", "XYZZY\r\n",
            "VRFY a\r\n", "HELP\r\n", "XFORWARD NAME=a\r\n", "XCLIENT NAME=a\r\n", "text\r\n", "\n", "\r", ".",
        ]).prop_map(|it| it.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ]
}

fn address() -> impl Strategy<Value = String> {
    let local = "[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,8}(\\.[a-z0-9]{1,4}){0,2}|\"[a-z @.<>,:\\[]{1,8}\"";
    let domain = "[a-z0-9]{1,5}(-[a-z0-9]{1,3})?(\\.[a-z]{2,4}){0,2}";
    let route = "(@[a-z]{1,3},){0,1}@[a-z]{1,3}:";
    (proptest::option::weighted(0.2, route), local, domain)
        .prop_map(|(route, local, domain)| format!("{}{local}@{domain}", route.unwrap_or_default()))
}

fn command() -> impl Strategy<Value = String> {
    let mail = select(vec![
        "SIZE=0",
        "SIZE=1000",
        "BODY=7BIT",
        "BODY=8BITMIME",
        "BODY=BINARYMIME",
        "SMTPUTF8",
        "RET=FULL",
        "ret=hdrs",
        "ENVID=QQ314159",
        "ENVID=a+2Bb+3D",
        "AUTH=<>",
        "SIZE=x",
    ]);
    let rcpt = select(vec![
        "NOTIFY=NEVER",
        "notify=success",
        "NOTIFY=SUCCESS,FAILURE,DELAY",
        "NOTIFY=NEVER,DELAY",
        "ORCPT=rfc822;a@b",
        "ORCPT=rfc822;a+2Bb@c",
        "ORCPT=x",
        "RRVS=x",
    ]);
    let join = |words: Vec<&str>| {
        words
            .iter()
            .map(|word| format!(" {word}"))
            .collect::<String>()
    };
    prop_oneof![
        (proptest::option::weighted(0.9, address()), vec(mail, 0..4)).prop_map(
            move |(path, words)| format!("MAIL FROM:<{}>{}", path.unwrap_or_default(), join(words))
        ),
        (address(), vec(rcpt, 0..3))
            .prop_map(move |(path, words)| format!("RCPT TO:<{path}>{}", join(words))),
    ]
}

fn spoilt() -> impl Strategy<Value = Option<(usize, u8)>> {
    let octet = select(b" <>@\"\\=:;,.+-x\r\n\0".to_vec());
    proptest::option::of((any::<usize>(), octet))
}

/// What a session makes of a line, if it takes it at all.
fn taken(line: &str) -> Option<Action> {
    let mut session = Session::new(settings(BareLineEnds::Refuse).into(), Channel::default());
    let mut out = Vec::new();
    let mail = if line.starts_with("RCPT") {
        "MAIL FROM:<>\r\n"
    } else {
        ""
    };
    let wire = format!("LHLO c\r\n{mail}{line}\r\n");
    let mut input = wire.as_bytes();
    loop {
        match session.step(&mut input, &mut out) {
            Step::Act(Action::Mail(_)) if !mail.is_empty() && input.len() == line.len() + 2 => {
                session.mail(Ok(()), &mut out);
            }
            Step::Act(action) => return Some(action),
            Step::Read => return None,
            step => panic!("{step:?}"),
        }
    }
}

fn agrees(line: &str) -> Result<(), TestCaseError> {
    let wire = format!("{line}\r\n");
    let theirs = Request::parse(&mut wire.as_bytes().iter());
    match taken(line) {
        Some(Action::Mail(mail)) => match theirs {
            Ok(Request::Mail { from }) => agrees_on_mail(&mail, &from),
            theirs => prop_assert!(is_more_liberal(line), "{line}: {theirs:?}"),
        },
        Some(Action::Recipient(recipient)) => match theirs {
            Ok(Request::Rcpt { to }) => agrees_on_recipient(&recipient, &to),
            theirs => {
                // Other types of addresses are taken here.
                let original = recipient.original.as_ref();
                let is_other =
                    original.is_some_and(|it| !it.address_type.eq_ignore_ascii_case("rfc822"));
                prop_assert!(is_other || is_more_liberal(line), "{line}: {theirs:?}");
            }
        },
        Some(action) => prop_assert!(false, "{line}: {action:?}"),
        None => {}
    }
    Ok(())
}

/// Dots where RFC 5321 has none are taken here.
fn is_more_liberal(line: &str) -> bool {
    ["<.", "..", ".@", ":."]
        .iter()
        .any(|dots| line.contains(dots))
}

fn agrees_on_mail(ours: &Mail, theirs: &smtp_proto::MailFrom<Cow<'_, str>>) {
    let sender = ours.reverse_path.as_ref();
    let sender =
        sender.map(|it| format!("{}@{}", it.local_part(), it.domain().unwrap_or_default()));
    assert_eq!(sender.unwrap_or_default(), theirs.address);
    assert_eq!(ours.size.unwrap_or_default(), theirs.size as u64);
    let body = match ours.body {
        Body::SevenBit => 0,
        Body::EightBitMime => smtp_proto::MAIL_BODY_8BITMIME,
        Body::BinaryMime => smtp_proto::MAIL_BODY_BINARYMIME,
    };
    let ret = match ours.ret {
        None => 0,
        Some(Ret::Full) => smtp_proto::MAIL_RET_FULL,
        Some(Ret::Headers) => smtp_proto::MAIL_RET_HDRS,
    };
    let utf8 = if ours.smtputf8 {
        smtp_proto::MAIL_SMTPUTF8
    } else {
        0
    };
    assert_eq!(
        body | ret | utf8,
        theirs.flags & !smtp_proto::MAIL_BODY_7BIT
    );
    assert_eq!(ours.envelope_id.as_deref(), theirs.env_id.as_deref());
}

fn agrees_on_recipient(ours: &Recipient, theirs: &smtp_proto::RcptTo<Cow<'_, str>>) {
    let domain = ours.address.domain().unwrap_or_default();
    assert_eq!(
        format!("{}@{domain}", ours.address.local_part()),
        theirs.address
    );
    let flags = ours.notify.map_or(0, |notify| {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        match flag(notify.success, smtp_proto::RCPT_NOTIFY_SUCCESS)
            | flag(notify.failure, smtp_proto::RCPT_NOTIFY_FAILURE)
            | flag(notify.delay, smtp_proto::RCPT_NOTIFY_DELAY)
        {
            0 => smtp_proto::RCPT_NOTIFY_NEVER,
            flags => flags,
        }
    });
    assert_eq!(flags, theirs.flags);
    let original = ours
        .original
        .as_ref()
        .map(|original| original.address.as_str());
    assert_eq!(original, theirs.orcpt.as_deref());
}
