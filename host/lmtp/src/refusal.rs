//! Negative answers in the words of whoever gives them. Nothing here knows what
//! they are given to.

use std::fmt;

use crate::reply::Reply;

/// Why a driver refuses something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nobody has this address: 550 5.1.1.
    UnknownRecipient,
    /// The mailbox takes nothing for good: 550 5.2.1.
    Disabled,
    /// The maildrop is full, and may be emptied: 452 4.2.2.
    Full,
    /// The maildrop is full, and that is final: 552 5.2.2.
    FullForGood,
    /// Somebody's policy forbids it: 550 5.7.1.
    Policy,
    /// The same for now: 450 4.7.1.
    PolicyForNow,
    /// Something that delivery needs has failed: 451 4.3.0.
    Failure,
    /// Too much is under way at once: 451 4.3.2.
    Busy,
    /// There is no room where messages wait: 452 4.3.1.
    NoSpace,
    /// The message is too large: 552 5.3.4.
    TooLarge,
    /// The message has come by here too often: 554 5.4.6.
    Loop,
    /// What the message is made of cannot be taken: 554 5.6.0.
    Content,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 12] = [
        Reason::UnknownRecipient,
        Reason::Disabled,
        Reason::Full,
        Reason::FullForGood,
        Reason::Policy,
        Reason::PolicyForNow,
        Reason::Failure,
        Reason::Busy,
        Reason::NoSpace,
        Reason::TooLarge,
        Reason::Loop,
        Reason::Content,
    ];

    fn row(self) -> (u16, &'static str, &'static str) {
        match self {
            Reason::UnknownRecipient => (550, "5.1.1", "No such mailbox here"),
            Reason::Disabled => (550, "5.2.1", "This mailbox takes no mail"),
            Reason::Full => (452, "4.2.2", "Mailbox full, try again later"),
            Reason::FullForGood => (552, "5.2.2", "Mailbox full"),
            Reason::Policy => (550, "5.7.1", "Refused by policy"),
            Reason::PolicyForNow => (450, "4.7.1", "Refused by policy for now, try again later"),
            Reason::Failure => (451, "4.3.0", "Delivery failed for now, try again later"),
            Reason::Busy => (451, "4.3.2", "Too busy, try again later"),
            Reason::NoSpace => (452, "4.3.1", "No space for messages, try again later"),
            Reason::TooLarge => (552, "5.3.4", "Message too large"),
            Reason::Loop => (554, "5.4.6", "Mail loop: the message was here before"),
            Reason::Content => (554, "5.6.0", "The message's content cannot be taken"),
        }
    }
}

/// A negative answer: a reason, and a text for the human who reads of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(Reply);

impl Refusal {
    /// Cleans the text, wherever it came from: printable ASCII, anything else becomes
    /// `?`; cut so that the whole line keeps within 512 octets. For an empty one stand
    /// the reason's own words.
    pub fn new(reason: Reason, text: &str) -> Self {
        let (code, status, own_words) = reason.row();
        let told = Reply::told(code, status, text);
        if told.text().is_empty() {
            return Refusal(Reply::new(code, status, own_words));
        }
        Refusal(told)
    }

    /// The reply code.
    pub fn code(&self) -> u16 {
        self.0.code()
    }

    /// The enhanced status code, as it goes out.
    pub fn status(&self) -> &'static str {
        self.0.status()
    }

    /// The text as it goes out.
    pub fn text(&self) -> &str {
        self.0.text()
    }

    /// Whether the client may try again.
    pub fn is_temporary(&self) -> bool {
        self.code() < 500
    }

    pub(crate) fn reply(&self) -> &Reply {
        &self.0
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Refusal::new(reason, "")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_status_agree_on_whether_it_is_final() {
        for reason in Reason::ALL {
            let refusal = Refusal::from(reason);
            let class = refusal.status().as_bytes()[0];
            assert_eq!(u16::from(class - b'0'), refusal.code() / 100, "{refusal}");
            assert_eq!(refusal.is_temporary(), class == b'4');
            assert!(!refusal.text().is_empty());
            assert_eq!(Refusal::new(reason, " \r\n "), refusal);
        }
        let refusal = Refusal::new(Reason::Policy, "no\r\n250 2.0.0 yes \u{e4}");
        assert_eq!(refusal.to_string(), "550 5.7.1 no??250 2.0.0 yes ?");
    }
}
