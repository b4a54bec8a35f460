//! What a message weighs, for clients that know UTF8 and for those that do not,
//! found in one pass.

use crate::stuffing::Measure;
use crate::surrogate::Surrogate;

/// Octets of a message as LIST says them (RFC 1939 section 11): every line end
/// is CRLF, byte-stuffing does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// As it is.
    pub octets: u64,
    /// Of its surrogate (RFC 6856 section 2.1). The same, if it needs none.
    pub surrogate: u64,
}

/// Weighs one message, whose chunks may be cut anywhere.
#[derive(Debug)]
pub struct Scales {
    measure: Measure,
    surrogate: Surrogate,
}

impl Scales {
    /// At the beginning of a message.
    pub fn new() -> Self {
        Scales {
            measure: Measure::new(),
            surrogate: Surrogate::new(),
        }
    }

    /// Weighs a message that is whole.
    pub fn weigh(message: &[u8]) -> Weight {
        let mut scales = Scales::new();
        if message.is_ascii() {
            scales.measure.feed(message);
        } else {
            scales.feed(&mut message.to_vec());
        }
        scales.finish()
    }

    /// Takes the next octets of the message. What the chunk holds afterwards
    /// means nothing.
    pub fn feed(&mut self, chunk: &mut Vec<u8>) {
        self.measure.feed(chunk);
        self.surrogate.feed(chunk);
    }

    /// The message is whole.
    pub fn finish(mut self) -> Weight {
        self.surrogate.finish(&mut Vec::new());
        let octets = self.measure.finish();
        Weight {
            octets,
            surrogate: octets.saturating_add_signed(self.surrogate.growth()),
        }
    }
}

impl Default for Scales {
    fn default() -> Self {
        Scales::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stuffing::Stuffing;

    /// What a client without UTF8 gets, less the byte-stuffing.
    fn sent(message: &[u8]) -> u64 {
        let (mut surrogate, mut chunk) = (Surrogate::new(), message.to_vec());
        surrogate.feed(&mut chunk);
        surrogate.finish(&mut chunk);
        let (mut stuffing, mut out) = (Stuffing::new(None), Vec::new());
        stuffing.feed(&chunk, &mut out);
        stuffing.finish(&mut out)
    }

    #[test]
    fn a_surrogate_weighs_what_is_sent_however_the_message_is_cut() {
        for message in [
            "",
            "\n",
            "Subject: plain\n\n.body\n",
            "Subject: plain\r\n\r\nB\u{f6}dy without an end",
            "Subject: Gr\u{fc}\u{df}e\n\nbody\n",
            "Subject: Gr\u{fc}\u{df}e",
            "From: \u{e9}l\u{e9}onore@caf\u{e9}.example\r\nSubject: a\r\n\r\nbody\r\n",
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\
             Content-Disposition: attachment; filename=\"\u{fc}.txt\"\n\n\u{fc}\n--b--\n",
        ] {
            let message = message.as_bytes();
            let whole = Scales::weigh(message);
            assert_eq!(whole.surrogate, sent(message), "{}", message.escape_ascii());
            if message.is_ascii() {
                assert_eq!(whole.octets, whole.surrogate);
            }
            for cut in 0..=message.len() {
                let mut scales = Scales::new();
                scales.feed(&mut message[..cut].to_vec());
                scales.feed(&mut message[cut..].to_vec());
                assert_eq!(
                    scales.finish(),
                    whole,
                    "{} at {cut}",
                    message.escape_ascii()
                );
            }
        }
    }
}
