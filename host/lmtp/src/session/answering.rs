//! A message is whole: one answer for each recipient that was accepted (RFC 2033
//! section 4.2).

use super::commands::Commands;
use crate::action::Summary;
use crate::measure::Facts;
use crate::refusal::Refusal;
use crate::reply::Reply;

/// Each recipient is to be answered.
pub struct Answering {
    left: u32,
    facts: Facts,
}

impl Answering {
    pub(super) fn begin(recipients: u32, facts: Facts) -> Self {
        Answering {
            left: recipients,
            facts,
        }
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn left(&self) -> u32 {
        self.left
    }

    pub(super) fn answer(
        &mut self,
        answer: Result<&str, &Refusal>,
        summary: &mut Summary,
        out: &mut Vec<u8>,
    ) {
        assert!(self.left > 0, "answer() when all recipients have theirs");
        self.left -= 1;
        match answer {
            Ok(text) => {
                summary.delivered += 1;
                let text = match text.trim() {
                    "" => "Delivered",
                    text => text,
                };
                // RFC 3463 has X.1.5 for positive reports of delivery.
                Reply::told(250, "2.1.5", text).write(out);
            }
            Err(refusal) => {
                summary.refused += 1;
                refusal.reply().write(out);
            }
        }
    }

    pub(super) fn answered(self) -> Commands {
        let left = self.left;
        assert!(left == 0, "answered() while {left} recipients wait");
        Commands::ready()
    }
}
