//! The TRANSACTION state: what is in the maildrop, and what shall go.

use super::phase::Retrieval;
use super::{Phase, Session, Transition};
use crate::action::{Action, State};
use crate::command::{Command, Number, Syntax};
use crate::maildrop::Maildrop;
use crate::reply::{Column, Lines, negative, positive, status};
use crate::wording::{Contents, Phrase};

impl Session {
    /// RFC 1939 sections 5 to 7, RFC 2449 section 5, RFC 6856 section 3.
    pub(super) fn transaction(
        &mut self,
        mut maildrop: Maildrop,
        command: Result<Command, Syntax>,
        out: &mut Vec<u8>,
    ) -> Transition {
        let command = match command {
            Ok(command) => command,
            Err(syntax) => {
                let phase = Phase::Transaction(maildrop);
                return (self.bad(phase, Phrase::Syntax(syntax), out), None);
            }
        };
        match command {
            Command::Stat => {
                let (messages, octets) = (maildrop.len(), maildrop.octets());
                status(out, "+OK", format_args!("{messages} {octets}"));
            }
            Command::List(number) => {
                return (self.list(Column::Octets, number, maildrop, out), None);
            }
            Command::Uidl(number) => {
                return (self.list(Column::UniqueIds, number, maildrop, out), None);
            }
            Command::Retr(number) => return self.retrieve(number, None, maildrop, out),
            Command::Top {
                message,
                body_lines,
            } => return self.retrieve(message, Some(body_lines), maildrop, out),
            Command::Dele(number) => match maildrop.message(number) {
                Ok(message) => {
                    maildrop.mark(message);
                    positive(out, self.voice, Phrase::MessageDeleted(message));
                }
                Err(no_message) => negative(out, self.voice, Phrase::NoMessage(no_message)),
            },
            Command::Noop => positive(out, self.voice, Phrase::NothingDone),
            Command::Rset => {
                maildrop.reset();
                let contents = Contents::of(&maildrop);
                positive(out, self.voice, Phrase::MaildropHas(contents));
            }
            Command::Capa => self
                .capabilities(State::Transaction)
                .render(self.voice, out),
            Command::Lang(range) => {
                let phase = Phase::Transaction(maildrop);
                return (self.lang(range, phase, out), None);
            }
            Command::Quit => {
                self.summary.del = maildrop.marked() as u64;
                let left = maildrop.len();
                let remove = maildrop.into_marked();
                return (Phase::Updating { left }, Some(Action::Update { remove }));
            }
            Command::User(_)
            | Command::Pass(_)
            | Command::Apop { .. }
            | Command::Auth(_)
            | Command::Utf8
            | Command::Stls => {
                let phase = Phase::Transaction(maildrop);
                return (self.bad(phase, Phrase::OnlyBeforeLogin, out), None);
            }
        }
        (Phase::Transaction(maildrop), None)
    }

    /// RFC 1939 section 5, LIST, and section 7, UIDL.
    fn list(
        &self,
        column: Column,
        number: Option<Number>,
        maildrop: Maildrop,
        out: &mut Vec<u8>,
    ) -> Phase {
        let Some(number) = number else {
            let lines = Lines::begin(column, &maildrop, self.voice, out);
            return Phase::Listing(maildrop, lines);
        };
        match maildrop.message(number) {
            Ok(message) => {
                out.extend_from_slice(b"+OK ");
                column.line(&maildrop, message.position(), out);
            }
            Err(no_message) => negative(out, self.voice, Phrase::NoMessage(no_message)),
        }
        Phase::Transaction(maildrop)
    }

    /// RFC 1939 section 5, RETR, and section 7, TOP.
    fn retrieve(
        &self,
        number: Number,
        body_lines: Option<u64>,
        maildrop: Maildrop,
        out: &mut Vec<u8>,
    ) -> Transition {
        let message = match maildrop.message(number) {
            Ok(message) => message,
            Err(no_message) => {
                negative(out, self.voice, Phrase::NoMessage(no_message));
                return (Phase::Transaction(maildrop), None);
            }
        };
        let octets = maildrop.listing().octets(message.position());
        let retrieval = Retrieval {
            octets,
            top: body_lines.is_some(),
        };
        let action = Action::Retrieve {
            message,
            octets,
            body_lines,
            utf8: self.voice.utf8,
        };
        (Phase::Retrieving(maildrop, retrieval), Some(action))
    }
}
