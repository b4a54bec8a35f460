//! What a driver relies on beside the replies: what is taken of its input, how much
//! is put into its output, which state it is told, and that wrong answers are found.

use std::sync::Arc;

use restante_lmtp::{
    Action, Channel, Close, Commands, Dropped, Limits, Reason, Receive, Refusal, Session, Settings,
    State, Step, Summary, TurnAway,
};

/// The largest reply: the one to LHLO with the longest name.
const ONE_REPLY_OCTETS: usize = 1024;

fn session(limits: Limits, channel: Channel) -> Session {
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    Session::new(Arc::new(settings), channel)
}

/// A session whose transaction has so many recipients.
fn transaction(limits: Limits, recipients: usize) -> Session {
    let mut session = session(limits, Channel::default());
    let mut out = Vec::new();
    let wire = "LHLO c\r\nMAIL FROM:<a@b>\r\n".to_owned() + &"RCPT TO:<a@b>\r\n".repeat(recipients);
    let mut input = wire.as_bytes();
    loop {
        match session.step(&mut input, &mut out) {
            Step::Act(Action::Mail(_)) => session.mail(Ok(()), &mut out),
            Step::Act(Action::Recipient(_)) => session.recipient(Ok(()), &mut out),
            Step::Flush => out.clear(),
            Step::Read => return session,
            step => panic!("{step:?}"),
        }
    }
}

/// Hands in DATA or BDAT and takes the message.
fn receiving(
    mut session: Session<Commands>,
    input: &mut &[u8],
) -> Session<restante_lmtp::Receiving> {
    let mut out = Vec::new();
    let step = session.step(input, &mut out);
    assert!(matches!(step, Step::Act(Action::Message)), "{step:?}");
    session.receive(&mut out)
}

#[test]
fn octets_behind_what_leads_to_an_action_stay_in_the_input() {
    let channel = Channel {
        starttls: true,
        ..Channel::default()
    };
    let mut session = session(Limits::default(), channel);
    let mut out = Vec::new();
    let mut input: &[u8] = b"STARTTLS\r\nLHLO mallory\r\n";
    let step = session.step(&mut input, &mut out);
    assert!(matches!(step, Step::Act(Action::StartTls)), "{step:?}");
    assert_eq!(input, b"LHLO mallory\r\n");
    assert_eq!(out, b"220 2.0.0 Ready to start TLS\r\n");
    session.tls_started(Channel {
        tls: true,
        ..channel
    });
    assert!(session.channel().tls);
    assert_eq!(
        (session.state(), session.client_name()),
        (State::Greeted, None)
    );
}

/// Back-pressure: what a driver has no room for is still its own.
#[test]
fn a_message_comes_in_pieces_of_the_input_itself() {
    let mut input: &[u8] = b"DATA\r\none\r\n..two\r\n.\r\nQUIT\r\n";
    let mut session = receiving(transaction(Limits::default(), 1), &mut input);
    let mut out = Vec::new();
    let before = input.as_ptr();
    match session.step(&mut input, &mut out) {
        Receive::Octets(octets) => {
            assert_eq!(octets, b"one\r\n");
            assert_eq!(octets.as_ptr(), before, "a copy");
        }
        step => panic!("{step:?}"),
    }
    assert_eq!((session.octets(), session.state()), (5, State::Message));
    assert_eq!(
        session.step(&mut input, &mut out),
        Receive::Octets(b".two\r\n")
    );
    assert_eq!(session.step(&mut input, &mut out), Receive::Whole);
    assert_eq!((input, out.len()), (&b"QUIT\r\n"[..], 0));
    let session = session.whole();
    assert_eq!(session.summary().message_octets, 11);
}

#[test]
fn a_driver_is_told_where_a_session_stands() {
    let mut begun = session(Limits::default(), Channel::default());
    let mut out = Vec::new();
    assert_eq!(begun.state(), State::Greeted);
    begun.step(&mut &b"LHLO c\r\nNOOP\r\nhalf a li"[..], &mut out);
    assert_eq!((begun.state(), begun.commands()), (State::Ready, 2));
    assert_eq!(begun.client_name(), Some("c"));
    begun.turn_away(TurnAway::Timeout, &mut out);
    assert!(out.ends_with(b"421 4.4.2 Nothing came for too long, closing connection\r\n"));
    assert_eq!(
        (begun.state(), begun.closed()),
        (State::Closed, Some(Close::TurnedAway))
    );

    let mut input: &[u8] = b"BDAT 3\r\nabcBDAT 2 LAST\r\n\r\n";
    let begun = transaction(Limits::default(), 2);
    assert_eq!(begun.state(), State::Transaction);
    let mut begun = receiving(begun, &mut input);
    assert_eq!(begun.step(&mut input, &mut out), Receive::Octets(b"abc"));
    assert_eq!(begun.step(&mut &b""[..], &mut out), Receive::Read);
    assert_eq!((begun.state(), begun.octets()), (State::Transaction, 3));
    assert_eq!(begun.step(&mut input, &mut out), Receive::Octets(b"\r\n"));
    assert_eq!(begun.step(&mut input, &mut out), Receive::Whole);
    let mut begun = begun.whole();
    begun.answer(Ok(""), &mut out);
    begun.answer(Err(&Refusal::from(Reason::Busy)), &mut out);
    assert!(out.ends_with(b"250 2.1.5 Delivered\r\n451 4.3.2 Too busy, try again later\r\n"));
    let begun = begun.answered();
    assert_eq!(begun.state(), State::Ready);
    let summary = Summary {
        messages: 1,
        message_octets: 5,
        delivered: 1,
        refused: 1,
    };
    assert_eq!(begun.summary(), summary);
}

/// A thousand recipients of a message that is refused, and little room for replies.
#[test]
fn answers_never_fill_the_memory() {
    let limits = Limits {
        message_octets: 5,
        output_bytes: 0,
        ..Limits::default()
    };
    let mut input: &[u8] = b"DATA\r\nlong enough\r\n.\r\n";
    let mut session = receiving(transaction(limits, 1000), &mut input);
    let (mut out, mut wire, mut most) = (Vec::new(), Vec::new(), 0);
    let step = session.step(&mut input, &mut out);
    assert_eq!(step, Receive::Dropped(Dropped::TooLarge));
    let mut session = session.dropped();
    loop {
        let step = session.step(&mut input, &mut out);
        most = most.max(out.len());
        wire.append(&mut out);
        match step {
            Step::Flush => {}
            Step::Read => break,
            step => panic!("{step:?}"),
        }
    }
    assert!(most <= 512 + ONE_REPLY_OCTETS, "{most}");
    let said = String::from_utf8(wire).expect("ASCII");
    assert_eq!(said.matches("552 5.3.4 ").count(), 1000);
    assert_eq!(said.lines().count(), 1000);
    assert_eq!(session.summary().refused, 1000);
}

#[test]
fn a_full_output_is_not_touched() {
    let mut session = session(Limits::default(), Channel::default());
    let full = Limits::default().output_bytes;
    let mut out = vec![b'x'; full];
    let mut input: &[u8] = b"NOOP\r\n";
    assert!(matches!(session.step(&mut input, &mut out), Step::Flush));
    assert_eq!((input, out.len()), (&b"NOOP\r\n"[..], full));
}

/// The limit counts what SIZE counts, and is not one octet off.
#[test]
fn messages_of_exactly_the_limit_are_taken() {
    for (octets, is_taken) in [(5, true), (6, false)] {
        for by in ["DATA", "BDAT"] {
            let limits = Limits {
                message_octets: 5,
                ..Limits::default()
            };
            let text = &"abcdefgh"[..octets - 2];
            let wire = match by {
                "DATA" => format!("DATA\r\n{text}\r\n.\r\n"),
                _ => format!("BDAT {octets} LAST\r\n{text}\r\n"),
            };
            let mut input = wire.as_bytes();
            let mut session = receiving(transaction(limits, 1), &mut input);
            let end = loop {
                match session.step(&mut input, &mut Vec::new()) {
                    Receive::Octets(_) => {}
                    end => break end,
                }
            };
            let expected = match is_taken {
                true => Receive::Whole,
                false => Receive::Dropped(Dropped::TooLarge),
            };
            assert_eq!(end, expected, "{octets} octets by {by}");
        }
    }
}

#[test]
#[should_panic(expected = "while an action waits")]
fn a_question_has_to_be_answered() {
    let mut session = transaction(Limits::default(), 1);
    let mut input: &[u8] = b"DATA\r\n";
    session.step(&mut input, &mut Vec::new());
    session.step(&mut input, &mut Vec::new());
}

#[test]
#[should_panic(expected = "does not answer what was asked: nothing")]
fn an_answer_without_a_question() {
    transaction(Limits::default(), 1).recipient(Ok(()), &mut Vec::new());
}

#[test]
#[should_panic(expected = "whole() before")]
fn half_a_message_is_not_whole() {
    let mut input: &[u8] = b"DATA\r\nhalf";
    receiving(transaction(Limits::default(), 1), &mut input).whole();
}

#[test]
#[should_panic(expected = "1 recipients wait")]
fn no_recipient_goes_without_an_answer() {
    let mut input: &[u8] = b"DATA\r\n.\r\n";
    let mut session = receiving(transaction(Limits::default(), 2), &mut input);
    assert_eq!(session.step(&mut input, &mut Vec::new()), Receive::Whole);
    let mut session = session.whole();
    session.answer(Ok(""), &mut Vec::new());
    session.answered();
}

#[test]
#[should_panic(expected = "all recipients have theirs")]
fn no_recipient_gets_two_answers() {
    let mut input: &[u8] = b"DATA\r\n.\r\n";
    let mut session = receiving(transaction(Limits::default(), 1), &mut input);
    assert_eq!(session.step(&mut input, &mut Vec::new()), Receive::Whole);
    let mut session = session.whole();
    session.answer(Ok(""), &mut Vec::new());
    session.answer(Ok(""), &mut Vec::new());
}
