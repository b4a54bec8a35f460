//! A message comes: by DATA up to its final dot, or in chunks by BDAT, with commands
//! between them. Its octets go to the driver as they lie.

use std::mem;

use super::answering::Answering;
use super::commands::{Answers, Arrival, Stage as Next, Transaction, taken};
use super::context::{self, Context};
use crate::action::{Close, Dropped, Receive, State, Summary};
use crate::command::{Chunk, Command, NoCommand};
use crate::envelope::Body;
use crate::fault::Fault;
use crate::measure::Measure;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::settings::BareLineEnds;
use crate::unstuffing::{Piece, Unstuffing};

const GO_AHEAD: Reply = Reply::go_ahead("Send the message, end it with <CRLF>.<CRLF>");
const BARE_LINE_END: Reply = Reply::new(
    550,
    "5.6.0",
    "Bare CR or LF in the message: RFC 5321 section 2.3.8 allows CRLF only",
);
const CHUNKS_HAVE_BEGUN: Fault = Fault::order("BDAT has begun: go on with BDAT, or say RSET");

/// A message comes.
pub struct Receiving {
    transaction: Transaction,
    measure: Measure,
    stage: Stage,
}

enum Stage {
    Data(Unstuffing),
    /// What is still to come of a chunk.
    Chunk(Chunk),
    /// Between two chunks.
    Between,
    Whole,
    Dropped(Dropped, Next),
}

impl Receiving {
    pub(super) fn begin(
        transaction: Transaction,
        arrival: Arrival,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) -> Self {
        let mut receiving = Receiving {
            transaction,
            measure: Measure::new(),
            stage: Stage::Between,
        };
        match arrival {
            Arrival::Data => {
                GO_AHEAD.write(out);
                receiving.stage = Stage::Data(Unstuffing::new());
            }
            Arrival::Chunk(chunk) => receiving.begin_chunk(chunk, context),
        }
        receiving
    }

    /// None: there may be more to do at once.
    pub(super) fn advance<'a>(
        &mut self,
        context: &mut Context,
        input: &mut &'a [u8],
        out: &mut Vec<u8>,
    ) -> Option<Receive<'a>> {
        match &mut self.stage {
            Stage::Whole => Some(Receive::Whole),
            Stage::Dropped(why, _) => Some(Receive::Dropped(*why)),
            Stage::Data(unstuffing) => match unstuffing.next(input) {
                Piece::Read => Some(Receive::Read),
                Piece::Octets(octets) => self.take(octets, context),
                Piece::End => {
                    self.stage = Stage::Whole;
                    None
                }
            },
            Stage::Chunk(Chunk { octets: 0, is_last }) => {
                match *is_last {
                    true => self.end_last_chunk(context),
                    false => {
                        let text = format!("{} octets so far", self.measure.octets());
                        Reply::told(250, "2.0.0", &text).write(out);
                        self.stage = Stage::Between;
                    }
                }
                None
            }
            Stage::Chunk(_) if input.is_empty() => Some(Receive::Read),
            Stage::Chunk(chunk) => {
                let octets = taken(chunk.octets, input);
                chunk.octets -= octets.len() as u64;
                self.take(octets, context)
            }
            Stage::Between if out.len() >= context.settings.limits.effective_output_bytes() => {
                Some(Receive::Flush)
            }
            Stage::Between => {
                let Some(line) = context.next_line(input) else {
                    return Some(Receive::Read);
                };
                self.between(context::command(&line), context, out);
                None
            }
        }
    }

    /// Hands octets on, unless the message is too bad by now. Which of two faults it is
    /// refused for must not depend on how it was cut: it is the one that comes first.
    fn take<'a>(&mut self, octets: &'a [u8], context: &mut Context) -> Option<Receive<'a>> {
        let limit = context.settings.limits.message_octets;
        let mut within = octets;
        within = taken(limit.saturating_sub(self.measure.octets()), &mut within);
        self.measure.feed(within);
        let is_bare = self.measure.has_bare_line_end();
        if is_bare && self.refuses_bare_line_ends(context) {
            self.reject(Dropped::BareLineEnd, BARE_LINE_END, context);
            return None;
        }
        if within.len() < octets.len() {
            self.reject(Dropped::TooLarge, Fault::MESSAGE_TOO_LARGE.reply, context);
            return None;
        }
        Some(Receive::Octets(octets))
    }

    /// In BODY=BINARYMIME any octets may stand.
    fn refuses_bare_line_ends(&self, context: &Context) -> bool {
        self.transaction.body != Body::BinaryMime
            && context.settings.bare_line_ends == BareLineEnds::Refuse
    }

    fn reject(&mut self, why: Dropped, reply: Reply, context: &mut Context) {
        let next = self.refused(reply, context);
        self.stage = Stage::Dropped(why, next);
    }

    /// Where the session goes on when nothing becomes of the message.
    fn refused(&mut self, reply: Reply, context: &mut Context) -> Next {
        let recipients = self.transaction.recipients;
        let (next, is_final) = match mem::replace(&mut self.stage, Stage::Between) {
            Stage::Data(unstuffing) => (Next::refused_data(unstuffing, recipients, reply), true),
            Stage::Chunk(left) => (Next::refused_chunk(left, recipients, reply), left.is_last),
            Stage::Between => (Next::Failed(Some((reply, recipients))), false),
            Stage::Whole => (Next::Answering(Answers::each(recipients, reply)), true),
            Stage::Dropped(_, next) => (next, false),
        };
        if is_final {
            context.summary.refused += u64::from(recipients);
        }
        next
    }

    fn begin_chunk(&mut self, chunk: Chunk, context: &mut Context) {
        self.stage = Stage::Chunk(chunk);
        let octets = self.measure.octets().saturating_add(chunk.octets);
        if octets > context.settings.limits.message_octets {
            self.reject(Dropped::TooLarge, Fault::MESSAGE_TOO_LARGE.reply, context);
        }
    }

    fn end_last_chunk(&mut self, context: &mut Context) {
        // A CR at the very end is bare, which nobody could know before.
        let facts = self.measure.clone().finish();
        self.stage = Stage::Whole;
        if facts.bare_line_end && self.refuses_bare_line_ends(context) {
            self.reject(Dropped::BareLineEnd, BARE_LINE_END, context);
        }
    }

    /// RFC 3030 section 2: only BDAT and RSET go on from here; what changes nothing is
    /// answered.
    fn between(
        &mut self,
        command: Result<Command<'_>, NoCommand>,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) {
        let next = match command {
            Ok(Command::Bdat(chunk)) => return self.begin_chunk(chunk, context),
            Ok(Command::Noop) => return context::ok(out),
            Ok(Command::Vrfy) => return context::cannot_verify(out),
            Ok(Command::Help) => return context::help(out),
            Ok(Command::Rset) => {
                context::ok(out);
                Next::READY
            }
            Ok(Command::Lhlo(name)) => {
                context.hello(name, out);
                Next::READY
            }
            Ok(Command::Quit) => {
                context::goodbye(out);
                Next::Over(Close::Quit)
            }
            Ok(
                Command::Mail(_)
                | Command::Rcpt(_)
                | Command::Data
                | Command::StartTls
                | Command::Xclient(_)
                | Command::Xforward(_),
            ) => match context.fault(&CHUNKS_HAVE_BEGUN, out) {
                true => return,
                false => Next::Over(Close::BadCommands),
            },
            Err(NoCommand::Fault(fault)) => match context.fault(&fault, out) {
                true => return,
                false => Next::Over(Close::BadCommands),
            },
            Err(NoCommand::BadChunk) => {
                context::bad_chunk(out);
                Next::Over(Close::BadChunk)
            }
        };
        self.stage = Stage::Dropped(Dropped::Aborted, next);
    }

    pub(super) fn octets(&self) -> u64 {
        self.measure.octets()
    }

    pub(super) fn state(&self) -> State {
        match &self.stage {
            Stage::Between => State::Transaction,
            _ => State::Message,
        }
    }

    pub(super) fn whole(self, summary: &mut Summary) -> Answering {
        let Stage::Whole = self.stage else {
            panic!("whole() before Receive::Whole")
        };
        let facts = self.measure.finish();
        summary.messages += 1;
        summary.message_octets = summary.message_octets.saturating_add(facts.octets);
        Answering::begin(self.transaction.recipients, facts)
    }

    pub(super) fn dropped(self) -> Next {
        match self.stage {
            Stage::Dropped(_, next) => next,
            _ => panic!("dropped() before Receive::Dropped"),
        }
    }

    pub(super) fn refuse(mut self, refusal: &Refusal, context: &mut Context) -> Next {
        self.refused(refusal.reply().clone(), context)
    }
}
