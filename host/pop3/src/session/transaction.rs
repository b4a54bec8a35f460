//! The TRANSACTION state: what is in the maildrop, and what shall go. And UPDATE
//! at its end, which takes no command.

use std::mem;

use super::context::Context;
use super::phase::Phase;
use crate::action::{Close, Retrieval, State, Step, TransactionAction};
use crate::command::Command;
use crate::maildrop::{Maildrop, Number};
use crate::refusal::Refusal;
use crate::reply::{Column, Lines, negative, positive, refused, status};
use crate::syntax::Syntax;
use crate::wording::{Contents, Phrase};

/// A maildrop is open.
pub struct Transaction {
    stage: Stage,
}

/// Where a session stands after login. Stages that wait for the driver's answer are
/// named after what it is doing.
enum Stage {
    Command(Maildrop),
    /// In the middle of a multi-line LIST or UIDL.
    Listing(Maildrop, Lines),
    /// Asked for a message, nothing promised to the client yet.
    Retrieving(Maildrop, Wanted),
    /// "+OK" is out: either the whole message follows, or the connection ends.
    Sending(Maildrop, Wanted),
    /// UPDATE.
    Updating {
        left: usize,
    },
    Over(State, Close),
}

/// By which command a message is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Retr,
    Top,
}

/// Where a line leads, and what the driver is asked on the way.
type Transition = (Stage, Option<TransactionAction>);

impl Phase for Transaction {
    type Action = TransactionAction;

    fn advance(
        &mut self,
        context: &mut Context,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Step<TransactionAction>> {
        let high_water = context.settings.limits.effective_output_bytes();
        let (stage, step) = match self.take_stage() {
            Stage::Over(state, close) => (Stage::Over(state, close), Some(Step::Close(close))),
            Stage::Retrieving(..) | Stage::Sending(..) | Stage::Updating { .. } => {
                panic!("step() while an action waits for its answer")
            }
            stage if out.len() >= high_water => (stage, Some(Step::Flush)),
            Stage::Listing(maildrop, mut lines) => {
                if lines.go_on(&maildrop, out, high_water) {
                    (Stage::Command(maildrop), None)
                } else {
                    (Stage::Listing(maildrop, lines), None)
                }
            }
            Stage::Command(maildrop) => match context.next_command(input) {
                Some(command) => {
                    let (stage, action) = command_of(maildrop, command, context, out);
                    (stage, action.map(Step::Act))
                }
                None => (Stage::Command(maildrop), Some(Step::Read)),
            },
        };
        self.stage = stage;
        step
    }

    fn turn_away(&mut self) {
        match self.take_stage() {
            Stage::Command(_) => {
                self.stage = Stage::Over(State::Transaction, Close::TurnedAway);
            }
            stage => stage.unasked("turn_away()"),
        }
    }

    fn state(&self) -> State {
        match &self.stage {
            Stage::Command(_) | Stage::Listing(..) | Stage::Retrieving(..) | Stage::Sending(..) => {
                State::Transaction
            }
            Stage::Updating { .. } => State::Update,
            Stage::Over(state, _) => *state,
        }
    }

    fn marked(&self) -> Option<usize> {
        match &self.stage {
            Stage::Command(maildrop)
            | Stage::Listing(maildrop, _)
            | Stage::Retrieving(maildrop, _)
            | Stage::Sending(maildrop, _) => Some(maildrop.marked()),
            Stage::Updating { .. } | Stage::Over(..) => None,
        }
    }
}

impl Transaction {
    /// Answers the login.
    pub(super) fn begin(maildrop: Maildrop, context: &mut Context, out: &mut Vec<u8>) -> Self {
        let contents = Contents::of(&maildrop);
        positive(out, context.voice, Phrase::Contents(contents));
        context.summary.messages = maildrop.listing().len() as u64;
        context.summary.octets = maildrop.listing().total_octets();
        Transaction {
            stage: Stage::Command(maildrop),
        }
    }

    pub(super) fn retrieving(&mut self, octets: u64, context: &mut Context, out: &mut Vec<u8>) {
        match self.take_stage() {
            Stage::Retrieving(maildrop, wanted) => {
                let phrase = match wanted {
                    Wanted::Retr => Phrase::Octets(octets),
                    Wanted::Top => Phrase::TopFollows,
                };
                positive(out, context.voice, phrase);
                self.stage = Stage::Sending(maildrop, wanted);
            }
            stage => stage.unasked("retrieving()"),
        }
    }

    pub(super) fn retrieved(&mut self, octets: u64, context: &mut Context) {
        match self.take_stage() {
            Stage::Sending(maildrop, wanted) => {
                let summary = &mut context.summary;
                let (served, sent) = match wanted {
                    Wanted::Retr => (&mut summary.retr, &mut summary.retr_octets),
                    Wanted::Top => (&mut summary.top, &mut summary.top_octets),
                };
                *served += 1;
                *sent = sent.saturating_add(octets);
                self.stage = Stage::Command(maildrop);
            }
            stage => stage.unasked("retrieved()"),
        }
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal, context: &mut Context, out: &mut Vec<u8>) {
        match self.take_stage() {
            Stage::Retrieving(maildrop, _) => {
                refused(out, context.voice, refusal);
                self.stage = Stage::Command(maildrop);
            }
            stage => stage.unasked("refuse()"),
        }
    }

    pub(super) fn updated(
        &mut self,
        expired: usize,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) -> Close {
        match self.take_stage() {
            Stage::Updating { left } => {
                let left = left.saturating_sub(expired);
                positive(out, context.voice, Phrase::SignedOff(left));
                self.close(Close::Quit)
            }
            stage => stage.unasked("updated()"),
        }
    }

    pub(super) fn refuse_update(
        &mut self,
        refusal: &Refusal,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) -> Close {
        match self.take_stage() {
            Stage::Updating { .. } => {
                refused(out, context.voice, refusal);
                self.close(Close::UpdateFailed)
            }
            stage => stage.unasked("refuse_update()"),
        }
    }

    /// UPDATE is over.
    fn close(&mut self, close: Close) -> Close {
        self.stage = Stage::Over(State::Update, close);
        close
    }

    /// Takes the stage out to be consumed. What stands in its place ends a session
    /// that lost its stage in a panic, and removes nothing.
    fn take_stage(&mut self) -> Stage {
        let gone = Stage::Over(self.state(), Close::UpdateFailed);
        mem::replace(&mut self.stage, gone)
    }
}

/// RFC 1939 sections 5 to 7, RFC 2449 section 5, RFC 6856 section 3.
fn command_of(
    mut maildrop: Maildrop,
    command: Result<Command, Syntax>,
    context: &mut Context,
    out: &mut Vec<u8>,
) -> Transition {
    let command = match command {
        Ok(command) => command,
        Err(syntax) => return (bad(maildrop, Phrase::Syntax(syntax), context, out), None),
    };
    match command {
        Command::Stat => {
            let (messages, octets) = (maildrop.len(), maildrop.octets());
            status(out, "+OK", format_args!("{messages} {octets}"));
        }
        Command::List(number) => {
            return (list(Column::Octets, number, maildrop, context, out), None);
        }
        Command::Uidl(number) => {
            return (
                list(Column::UniqueIds, number, maildrop, context, out),
                None,
            );
        }
        Command::Retr(number) => return retrieve(number, None, maildrop, context, out),
        Command::Top {
            message,
            body_lines,
        } => return retrieve(message, Some(body_lines), maildrop, context, out),
        Command::Dele(number) => match maildrop.message(number) {
            Ok(message) => {
                maildrop.mark(message);
                positive(out, context.voice, Phrase::MessageDeleted(message));
            }
            Err(no_message) => negative(out, context.voice, Phrase::NoMessage(no_message)),
        },
        Command::Noop => positive(out, context.voice, Phrase::NothingDone),
        Command::Rset => {
            maildrop.reset();
            let contents = Contents::of(&maildrop);
            positive(out, context.voice, Phrase::MaildropHas(contents));
        }
        Command::Capa => context
            .capabilities(State::Transaction)
            .render(context.voice, out),
        Command::Lang(range) => {
            if let Err(why) = context.lang(range, out) {
                return (bad(maildrop, why, context, out), None);
            }
        }
        Command::Quit => {
            context.summary.del = maildrop.marked() as u64;
            let left = maildrop.len();
            let remove = maildrop.into_marked();
            let action = TransactionAction::Update { remove };
            return (Stage::Updating { left }, Some(action));
        }
        Command::User(_)
        | Command::Pass(_)
        | Command::Apop { .. }
        | Command::Auth(_)
        | Command::Utf8
        | Command::Stls => {
            return (bad(maildrop, Phrase::OnlyBeforeLogin, context, out), None);
        }
    }
    (Stage::Command(maildrop), None)
}

/// RFC 1939 section 5, LIST, and section 7, UIDL.
fn list(
    column: Column,
    number: Option<Number>,
    maildrop: Maildrop,
    context: &Context,
    out: &mut Vec<u8>,
) -> Stage {
    let Some(number) = number else {
        let lines = Lines::begin(column, &maildrop, context.voice, out);
        return Stage::Listing(maildrop, lines);
    };
    match maildrop.message(number) {
        Ok(message) => {
            out.extend_from_slice(b"+OK ");
            column.line(&maildrop, message.position(), out);
        }
        Err(no_message) => negative(out, context.voice, Phrase::NoMessage(no_message)),
    }
    Stage::Command(maildrop)
}

/// RFC 1939 section 5, RETR, and section 7, TOP.
fn retrieve(
    number: Number,
    body_lines: Option<u64>,
    maildrop: Maildrop,
    context: &Context,
    out: &mut Vec<u8>,
) -> Transition {
    let message = match maildrop.message(number) {
        Ok(message) => message,
        Err(no_message) => {
            negative(out, context.voice, Phrase::NoMessage(no_message));
            return (Stage::Command(maildrop), None);
        }
    };
    let wanted = match body_lines {
        None => Wanted::Retr,
        Some(_) => Wanted::Top,
    };
    let action = TransactionAction::Retrieve(Retrieval {
        message,
        octets: maildrop.listing().octets(message.position()),
        body_lines,
        utf8: context.voice.utf8,
    });
    (Stage::Retrieving(maildrop, wanted), Some(action))
}

fn bad(maildrop: Maildrop, why: Phrase, context: &mut Context, out: &mut Vec<u8>) -> Stage {
    let limit = context.settings.limits.bad_commands_after_login;
    if context.bad_command(limit, why, out) {
        return Stage::Command(maildrop);
    }
    context.summary.del = maildrop.marked() as u64;
    Stage::Over(State::Transaction, Close::BadCommands)
}

impl Stage {
    /// For the messages of panics: what the driver was asked and has not answered.
    fn question(&self) -> &'static str {
        match self {
            Stage::Retrieving(..) => "TransactionAction::Retrieve",
            Stage::Sending(..) => "TransactionAction::Retrieve (retrieved() is due)",
            Stage::Updating { .. } => "TransactionAction::Update",
            Stage::Command(_) | Stage::Listing(..) | Stage::Over(..) => "nothing",
        }
    }

    fn unasked(self, answer: &str) -> ! {
        panic!(
            "{answer} does not answer what was asked: {}",
            self.question()
        )
    }
}
