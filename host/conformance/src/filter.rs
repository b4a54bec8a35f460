//! What a filter owes.

use std::sync::Arc;

use async_trait::async_trait;
use restante_pop3::LineEnds;

use crate::candidate::Candidate;
use crate::exam::{Checked, Exam, Printable, broken, expect, served};
use crate::messages;
use restante_roles::backend::{Account, Failure, Filter, Message, Verdict};
use restante_roles::validate::{HEADER_OCTETS, READ_OCTETS, invalid_annotation};

pub(super) async fn examine(exam: &mut Exam<'_>, filter: &dyn Filter) {
    let bench = Bench {
        filter,
        candidate: exam.candidate,
        account: exam.candidate.account("kit"),
    };
    exam.check(
        "a verdict on any message",
        "filter: a message that is broken or strange gets a verdict too, or its owner cannot log in",
        bench.any_message(),
    )
    .await;
    exam.check(
        "the same verdict each time",
        "filter: a verdict follows from message, account and settings alone; the host remembers it",
        bench.same_verdicts(),
    )
    .await;
    exam.check(
        "header fields that are some",
        "filter: \"Name: value\" in printable US-ASCII, at most 32 of at most 998 octets, no line end (RFC 5322 section 2.2)",
        bench.annotations(),
    )
    .await;
    exam.check(
        "a message that cannot be read",
        "filter: where reading fails, it fails or decides without; it does not trap",
        bench.unreadable(),
    )
    .await;
}

struct Bench<'a> {
    filter: &'a dyn Filter,
    candidate: &'a Candidate,
    account: Account,
}

impl Bench<'_> {
    async fn ask(&self, message: &Arc<Sample>) -> Result<Verdict, Failure> {
        let connection = self.candidate.usual_connection();
        let mut screener = self.filter.screener(&connection, &self.account).await?;
        screener.screen(message.clone()).await
    }

    async fn any_message(&self) -> Checked {
        for message in Sample::all() {
            served(self.ask(&message).await, message.sent())?;
        }
        Ok(())
    }

    async fn same_verdicts(&self) -> Checked {
        let samples = Sample::all();
        let connection = self.candidate.usual_connection();
        let screener = self.filter.screener(&connection, &self.account).await;
        let mut screener = served(screener, "a screener")?;
        let mut first = Vec::new();
        for message in &samples {
            let verdict = screener.screen(message.clone()).await;
            first.push(served(verdict, message.sent())?);
        }
        // In another order, so that what it remembers of one shows at another.
        for (message, before) in samples.iter().zip(&first).rev() {
            let again = served(screener.screen(message.clone()).await, message.sent())?;
            let anew = served(self.ask(message).await, message.sent())?;
            for (verdict, when) in [(again, "later in the login"), (anew, "in another login")] {
                expect(
                    verdict == *before,
                    format_args!("{}, {when}", message.sent()),
                    format_args!("{verdict:?} instead of {before:?}"),
                )?;
            }
        }
        Ok(())
    }

    async fn annotations(&self) -> Checked {
        for message in Sample::all() {
            let verdict = served(self.ask(&message).await, message.sent())?;
            if let Verdict::Annotate(fields) = verdict
                && let Some(lie) = invalid_annotation(&fields)
            {
                let fields = fields.join("\n");
                return broken(
                    message.sent(),
                    format_args!("{lie}: {}", Printable(fields.as_bytes())),
                );
            }
        }
        Ok(())
    }

    async fn unreadable(&self) -> Checked {
        let sample = Arc::new(Sample {
            name: "a message whose file is gone",
            wire: Vec::new(),
            fails: true,
        });
        match self.ask(&sample).await {
            // What a trap becomes, and nothing else.
            Err(failure) if failure == Failure::internal() => {
                broken(sample.sent(), "a trap, or an answer that is none")
            }
            _ => Ok(()),
        }
    }
}

/// A message that is there whole.
struct Sample {
    name: &'static str,
    wire: Vec<u8>,
    fails: bool,
}

/// A message that is there whole, as it is stored.
pub fn message(stored: &[u8]) -> Arc<dyn Message> {
    Sample::new("what is in a file", stored)
}

impl Sample {
    fn new(name: &'static str, stored: &[u8]) -> Arc<Sample> {
        let (mut line_ends, mut wire) = (LineEnds::new(), Vec::new());
        line_ends.feed(stored, &mut wire);
        line_ends.finish(&mut wire);
        Arc::new(Sample {
            name,
            wire,
            fails: false,
        })
    }

    fn all() -> Vec<Arc<Sample>> {
        let samples = messages::all().into_iter();
        samples
            .map(|(name, stored)| Sample::new(name, &stored))
            .collect()
    }

    fn sent(&self) -> String {
        format!("screen() of a message with {}", self.name)
    }

    fn unless_it_fails<T>(&self, answer: T) -> Result<T, Failure> {
        match self.fails {
            true => Err(Failure::Temporary("the message cannot be read now".into())),
            false => Ok(answer),
        }
    }
}

#[async_trait]
impl Message for Sample {
    fn unique_id(&self) -> &str {
        "kit"
    }

    fn octets(&self) -> u64 {
        self.wire.len() as u64
    }

    fn received(&self) -> u64 {
        1_700_000_000
    }

    async fn header(&self) -> Result<Vec<u8>, Failure> {
        let blank = self.wire.windows(4).position(|end| end == b"\r\n\r\n");
        let end = blank.map_or(self.wire.len(), |blank| blank + 2);
        self.unless_it_fails(self.wire[..end.min(HEADER_OCTETS)].to_vec())
    }

    async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let start = start.min(self.wire.len());
        let length = length.min(READ_OCTETS) as usize;
        let end = self.wire.len().min(start + length);
        self.unless_it_fails(self.wire[start..end].to_vec())
    }
}
