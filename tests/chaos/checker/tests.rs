//! Each kind of violation in a history written by hand, beside what is none.

use super::*;

/// A history, each event a second after the one before.
#[derive(Default)]
struct Written(Vec<At>);

impl Written {
    fn note(&mut self, event: Event) -> &mut Self {
        let at = Duration::from_secs(self.0.len() as u64);
        self.0.push(At { at, event });
        self
    }

    /// Message number n has n octets.
    fn begin(&mut self, delivery: u64) -> &mut Self {
        self.note(Event::Delivering {
            delivery,
            digest: digest(delivery),
            octets: delivery,
        })
    }

    fn came(&mut self, delivery: u64, came: Delivered) -> &mut Self {
        self.note(Event::Delivered { delivery, came })
    }

    /// A delivery that is acknowledged under this unique-id.
    fn kept(&mut self, delivery: u64, unique_id: &str) -> &mut Self {
        let came = Delivered::Kept(unique_id.to_owned());
        self.begin(delivery).came(delivery, came)
    }

    fn login(&mut self, session: u64, listing: &[(&str, u64)]) -> &mut Self {
        let listing = listing
            .iter()
            .map(|(id, octets)| ((*id).to_owned(), *octets));
        let listing = listing.collect();
        self.note(Event::LoginSent { session, server: 0 })
            .note(Event::LoggedIn { session })
            .note(Event::Listed { session, listing })
    }

    fn fetch(&mut self, session: u64, unique_id: &str, delivery: u64) -> &mut Self {
        self.note(Event::Fetched {
            session,
            unique_id: unique_id.to_owned(),
            digest: digest(delivery),
        })
    }

    fn mark(&mut self, session: u64, unique_id: &str) -> &mut Self {
        let unique_id = unique_id.to_owned();
        self.note(Event::Marked { session, unique_id })
    }

    fn quit(&mut self, session: u64) -> &mut Self {
        self.note(Event::QuitSent { session })
    }

    fn answer(&mut self, session: u64, answer: Quit) -> &mut Self {
        self.note(Event::QuitAnswered { session, answer })
    }

    fn check(&self, left: &[(&str, u64)]) -> Vec<Violation> {
        let left = left.iter().map(|(id, octets)| Left {
            unique_id: (*id).to_owned(),
            octets: *octets,
        });
        check(&self.0, &left.collect::<Vec<_>>())
    }
}

fn digest(delivery: u64) -> Digest {
    Digest::of(&delivery.to_be_bytes())
}

fn written() -> Written {
    Written::default()
}

/// What every history begins with: two messages.
fn with_mail() -> Written {
    let mut written = written();
    written.kept(1, "a").kept(2, "b");
    written
}

const BOTH: [(&str, u64); 2] = [("a", 1), ("b", 2)];

#[test]
fn a_history_as_it_should_be_has_no_violation() {
    let mut all = with_mail();
    all.login(10, &BOTH).fetch(10, "a", 1).mark(10, "a");
    all.kept(3, "c");
    all.quit(10).answer(10, Quit::Done);
    all.login(11, &[("b", 2), ("c", 3)]).fetch(11, "b", 2);
    all.quit(11).answer(11, Quit::Done);
    // Marked, and no QUIT.
    all.login(12, &[("b", 2), ("c", 3)]).mark(12, "b");
    all.login(13, &[("b", 2), ("c", 3)]).mark(13, "b").quit(13);
    all.answer(13, Quit::Refused);
    all.login(14, &[("b", 2), ("c", 3)]);
    assert_eq!(all.check(&[("b", 2), ("c", 3)]), []);
    assert_eq!(written().check(&[]), []);
}

#[test]
fn a_removal_without_an_answer_was_made_or_was_not() {
    for answer in [None, Some(Quit::Unknown)] {
        let mut all = with_mail();
        all.login(10, &BOTH).mark(10, "a").quit(10);
        if let Some(answer) = answer {
            all.answer(10, answer);
        }
        assert_eq!(all.check(&BOTH), []);
        assert_eq!(all.check(&[("b", 2)]), []);
        all.login(11, &BOTH).login(12, &[("b", 2)]);
        assert_eq!(all.check(&[("b", 2)]), []);
        // It is no excuse for another message.
        let lost = all.check(&[]);
        assert_eq!(lost, [lost_one(2, "b")]);
    }
}

#[test]
fn a_delivery_without_an_answer_was_made_or_was_not() {
    let mut all = written();
    all.begin(1).came(1, Delivered::Unknown).begin(2);
    assert_eq!(all.check(&[]), []);
    assert_eq!(all.check(&[("a", 1)]), []);
    assert_eq!(all.check(&BOTH), []);
    let (messages, deliveries) = (3, 2);
    let too_many = Violation::TooMany {
        messages,
        deliveries,
    };
    assert_eq!(all.check(&[("a", 1), ("b", 2), ("c", 3)]), [too_many]);
}

fn lost_one(delivery: u64, unique_id: &str) -> Violation {
    Violation::Lost {
        delivery,
        unique_id: Some(unique_id.to_owned()),
    }
}

#[test]
fn what_was_acknowledged_and_is_gone_is_lost() {
    assert_eq!(with_mail().check(&[("b", 2)]), [lost_one(1, "a")]);
    // A session that was told that nothing was removed, one that marked something else, and
    // one that never said QUIT.
    let mut all = with_mail();
    all.login(10, &BOTH).mark(10, "a").quit(10);
    all.answer(10, Quit::Refused);
    all.login(11, &BOTH).mark(11, "b").quit(11);
    all.answer(11, Quit::Done);
    all.login(12, &[("a", 1)]).mark(12, "a");
    assert_eq!(all.check(&[]), [lost_one(1, "a")]);
    // Acknowledged by an attempt whose unique-id nobody was told.
    let mut all = written();
    all.begin(1).came(1, Delivered::Before);
    assert_eq!(all.check(&[("a", 1)]), []);
    let (delivery, unique_id) = (1, None);
    let lost = Violation::Lost {
        delivery,
        unique_id,
    };
    assert_eq!(all.check(&[]), [lost]);
    all.login(10, &[("a", 1)]).fetch(10, "a", 1);
    assert_eq!(all.check(&[]), [lost_one(1, "a")]);
}

#[test]
fn what_was_acknowledged_is_shown_until_somebody_may_have_removed_it() {
    let mut all = with_mail();
    all.login(10, &[("b", 2)]);
    let hidden = Violation::Hidden {
        session: 10,
        unique_id: "a".into(),
    };
    assert_eq!(all.check(&BOTH), std::slice::from_ref(&hidden));
    // A QUIT that comes later is no reason.
    all.login(11, &BOTH).mark(11, "a").quit(11);
    assert_eq!(all.check(&[("b", 2)]), [hidden]);
    // Acknowledged after it had begun to log in.
    let mut all = written();
    all.begin(1).login(10, &[]);
    all.came(1, Delivered::Kept("a".into()));
    assert_eq!(all.check(&[("a", 1)]), []);
}

#[test]
fn octets_are_those_that_were_delivered() {
    let mut all = with_mail();
    all.login(10, &BOTH).fetch(10, "a", 7);
    let other = Violation::NotDelivered {
        session: 10,
        unique_id: "a".into(),
    };
    assert_eq!(all.check(&BOTH), [other]);
    let wrong = |session| Violation::WrongOctets {
        session,
        unique_id: "a".into(),
        listed: 5,
        delivered: 1,
    };
    let mut all = with_mail();
    all.login(10, &[("a", 5), ("b", 2)]);
    assert_eq!(all.check(&BOTH), [wrong(Some(10))]);
    assert_eq!(with_mail().check(&[("a", 5), ("b", 2)]), [wrong(None)]);
}

#[test]
fn a_unique_id_is_one_messages_and_a_message_has_one() {
    let mut all = with_mail();
    all.login(10, &BOTH).fetch(10, "a", 2);
    let two = Violation::TwoMessages {
        unique_id: "a".into(),
        deliveries: [1, 2],
    };
    assert_eq!(all.check(&BOTH), [two]);
    let mut all = with_mail();
    let listing = [("a", 1), ("b", 2), ("c", 2)];
    all.login(10, &listing).fetch(10, "c", 2);
    let two = Violation::TwoUniqueIds {
        delivery: 2,
        unique_ids: ["b".into(), "c".into()],
    };
    assert_eq!(all.check(&listing), [two]);
    // One that nobody fetched.
    let (messages, deliveries) = (1, 0);
    let too_many = Violation::TooMany {
        messages,
        deliveries,
    };
    assert_eq!(with_mail().check(&listing), [too_many]);
}

#[test]
fn what_was_refused_is_not_there() {
    let mut all = written();
    all.begin(1).came(1, Delivered::Refused);
    assert_eq!(all.check(&[]), []);
    all.login(10, &[("a", 1)]).fetch(10, "a", 1);
    let there = Violation::RefusedIsThere {
        delivery: 1,
        unique_id: "a".into(),
    };
    assert_eq!(all.check(&[("a", 1)]), [there]);
}

#[test]
fn what_is_removed_stays_so() {
    let mut all = with_mail();
    all.login(10, &BOTH).mark(10, "a").quit(10);
    // It began to log in before the answer came: it may have been earlier.
    all.login(11, &BOTH).answer(10, Quit::Done);
    assert_eq!(all.check(&[("b", 2)]), []);
    let back = |session| Violation::CameBack {
        unique_id: "a".into(),
        removed_by: 10,
        session,
    };
    assert_eq!(all.check(&BOTH), [back(None)]);
    all.login(12, &BOTH);
    assert_eq!(all.check(&[("b", 2)]), [back(Some(12))]);
}

#[test]
fn a_message_has_one_remover() {
    let mut all = with_mail();
    all.login(10, &BOTH).mark(10, "a").quit(10);
    all.answer(10, Quit::Done);
    all.login(11, &[("b", 2)]).mark(11, "a").quit(11);
    all.answer(11, Quit::Done);
    let twice = Violation::RemovedTwice {
        unique_id: "a".into(),
        sessions: [10, 11],
    };
    assert_eq!(all.check(&[("b", 2)]), [twice]);
}

#[test]
fn a_maildrop_has_one_session_that_removes() {
    let at_once = |first: Quit| {
        let mut all = with_mail();
        all.login(10, &[("a", 1), ("b", 2)]).mark(10, "a");
        all.login(11, &[("a", 1), ("b", 2)]).mark(11, "b");
        all.quit(10).answer(10, first);
        all.quit(11).answer(11, Quit::Done);
        all
    };
    let sessions = [10, 11];
    let (unique_id, removed_by, holder) = ("a".into(), 10, 11);
    let found = [
        Violation::TwoAtOnce { sessions },
        Violation::RemovedAfterTakeOver {
            unique_id,
            removed_by,
            holder,
        },
    ];
    assert_eq!(at_once(Quit::Done).check(&[]), found);
    // The one whose maildrop was taken over is told so.
    assert_eq!(at_once(Quit::Refused).check(&[("a", 1)]), []);
    // Either may have been the case.
    assert_eq!(at_once(Quit::Unknown).check(&[("a", 1)]), []);
}

#[test]
fn a_removal_is_over_before_another_session_is_shown_anything() {
    let held_up = |holder_marks: bool| {
        let mut all = with_mail();
        all.login(10, &BOTH).mark(10, "a").quit(10);
        all.login(11, &BOTH);
        if holder_marks {
            all.mark(11, "b");
        }
        all.answer(10, Quit::Done);
        all.quit(11).answer(11, Quit::Done);
        all
    };
    let found = Violation::RemovedAfterTakeOver {
        unique_id: "a".into(),
        removed_by: 10,
        holder: 11,
    };
    assert_eq!(held_up(true).check(&[]), [found]);
    // Its hold may have been lost with a primary that crashed: then it removes nothing.
    assert_eq!(held_up(false).check(&[("b", 2)]), []);
}
