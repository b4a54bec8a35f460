//! Between messages: who sends what to whom. And what is left of messages that were
//! refused before they were whole.

use std::mem;

use super::context::{self, Context};
use crate::action::{Action, Close, State, Step, TurnAway};
use crate::client::{Attributes, Verb};
use crate::command::{Chunk, Command, NoCommand};
use crate::envelope::{Body, Mail, Recipient};
use crate::fault::Fault;
use crate::refusal::Refusal;
use crate::reply::{self, Reply};
use crate::settings::Channel;
use crate::unstuffing::Unstuffing;

const SENDER_OK: Reply = Reply::new(250, "2.1.0", "Sender OK");
const RECIPIENT_OK: Reply = Reply::new(250, "2.1.5", "Recipient OK");
const READY_FOR_TLS: Reply = Reply::new(220, "2.0.0", "Ready to start TLS");

const HELLO_FIRST: Fault = Fault::order("Say LHLO first");
const MAIL_FIRST: Fault = Fault::order("Say MAIL first");
const RESET_FIRST: Fault = Fault::order("A message is under way: say RSET first");
const CHUNK_FAILED: Fault = Fault::order("A BDAT before has failed: say RSET first");
const TLS_IS_UP: Fault = Fault::order("TLS is up already");
const BINARY_BY_DATA: Fault = Fault::order("BODY=BINARYMIME comes by BDAT, not by DATA");

/// Between messages.
pub struct Commands {
    stage: Stage,
}

/// Where a session stands between messages. Stages that wait for the driver's answer
/// are named after what it is asked.
pub(super) enum Stage {
    /// LHLO is to come.
    Greeted,
    /// Between transactions. What the client sent behind a MAIL that was refused, before
    /// it could know, is no misuse.
    Ready {
        mail_was_refused: bool,
    },
    /// MAIL was accepted.
    Transaction(Transaction),
    /// A chunk was refused, and the message with it (RFC 3030 section 2). With an answer
    /// that the client has not had yet, and for how many recipients.
    Failed(Option<(Reply, u32)>),
    AskedMail(Transaction),
    AskedRecipient(Transaction),
    AskedMessage(Transaction, Arrival),
    AskedClient {
        was_greeted: bool,
    },
    AskedTls,
    /// What comes of a message that was refused is thrown away, and then answered.
    Skipping(Skip, Answers),
    Answering(Answers),
    Over(Close),
}

/// A message's envelope, as far as the session has to know it.
pub(super) struct Transaction {
    /// How many were accepted.
    pub(super) recipients: u32,
    pub(super) body: Body,
    smtputf8: bool,
}

/// How a message begins to come.
pub(super) enum Arrival {
    Data,
    Chunk(Chunk),
}

/// What is thrown away.
pub(super) enum Skip {
    /// All up to the final dot.
    Data(Unstuffing),
    /// This many octets.
    Chunk(u64),
}

/// The same reply several times.
pub(super) struct Answers {
    left: u32,
    reply: Reply,
    then: Box<Stage>,
}

/// Where a line leads, and what the driver is asked on the way.
type Transition = (Stage, Option<Action>);

impl Stage {
    /// Between transactions, with nothing to forgive.
    pub(super) const READY: Stage = Stage::Ready {
        mail_was_refused: false,
    };

    /// A message was refused before it was whole: all of its recipients are answered
    /// with this once its end has come.
    pub(super) fn refused_data(unstuffing: Unstuffing, recipients: u32, reply: Reply) -> Stage {
        Stage::Skipping(Skip::Data(unstuffing), Answers::each(recipients, reply))
    }

    /// The same in a chunk, of which so many octets are still to come. Only the last one
    /// is answered for each recipient.
    pub(super) fn refused_chunk(left: Chunk, recipients: u32, reply: Reply) -> Stage {
        let answers = match left.is_last {
            true => Answers::each(recipients, reply),
            false => Answers::once(reply, Stage::Failed(None)),
        };
        Stage::Skipping(Skip::Chunk(left.octets), answers)
    }

    /// For the messages of panics: what the driver was asked and has not answered.
    fn question(&self) -> &'static str {
        match self {
            Stage::AskedMail(_) => "Action::Mail",
            Stage::AskedRecipient(_) => "Action::Recipient",
            Stage::AskedMessage(..) => "Action::Message",
            Stage::AskedClient { .. } => "Action::Client",
            Stage::AskedTls => "Action::StartTls",
            _ => "nothing",
        }
    }

    fn unasked(&self, answer: &str) -> ! {
        panic!(
            "{answer} does not answer what was asked: {}",
            self.question()
        )
    }
}

impl Answers {
    pub(super) fn each(recipients: u32, reply: Reply) -> Self {
        Answers {
            left: recipients,
            reply,
            then: Box::new(Stage::READY),
        }
    }

    fn once(reply: Reply, then: Stage) -> Self {
        Answers {
            left: 1,
            reply,
            then: Box::new(then),
        }
    }
}

impl Skip {
    /// True: all of it is gone.
    fn skip(&mut self, input: &mut &[u8]) -> bool {
        match self {
            Skip::Data(unstuffing) => unstuffing.skip(input),
            Skip::Chunk(left) => {
                *left -= taken(*left, input).len() as u64;
                *left == 0
            }
        }
    }
}

/// Takes up to so many octets off the front.
pub(super) fn taken<'a>(octets: u64, input: &mut &'a [u8]) -> &'a [u8] {
    let most = usize::try_from(octets).unwrap_or(usize::MAX);
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

impl Commands {
    pub(super) fn new() -> Self {
        Commands::at(Stage::Greeted)
    }

    pub(super) fn ready() -> Self {
        Commands::at(Stage::READY)
    }

    pub(super) fn at(stage: Stage) -> Self {
        Commands { stage }
    }

    /// Goes on by one command or one answer. None: there may be more to do at once.
    pub(super) fn advance(
        &mut self,
        context: &mut Context,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        let high_water = context.settings.limits.effective_output_bytes();
        let (stage, step) = match self.take_stage() {
            Stage::Over(close) => (Stage::Over(close), Some(Step::Close(close))),
            Stage::AskedMail(_)
            | Stage::AskedRecipient(_)
            | Stage::AskedMessage(..)
            | Stage::AskedClient { .. }
            | Stage::AskedTls => panic!("step() while an action waits for its answer"),
            stage if out.len() >= high_water => (stage, Some(Step::Flush)),
            Stage::Skipping(mut skip, answers) => match skip.skip(input) {
                true => (Stage::Answering(answers), None),
                false => (Stage::Skipping(skip, answers), Some(Step::Read)),
            },
            Stage::Answering(Answers { left: 0, then, .. }) => (*then, None),
            Stage::Answering(mut answers) => {
                answers.left -= 1;
                answers.reply.write(out);
                (Stage::Answering(answers), None)
            }
            stage => match context.next_line(input) {
                None => (stage, Some(Step::Read)),
                Some(line) => {
                    let (stage, action) = match context::command(&line) {
                        Ok(command) => obey(stage, command, context, out),
                        Err(NoCommand::Fault(fault)) => fault_at(stage, &fault, context, out),
                        Err(NoCommand::BadChunk) => {
                            context::bad_chunk(out);
                            (Stage::Over(Close::BadChunk), None)
                        }
                    };
                    (stage, action.map(Step::Act))
                }
            },
        };
        self.stage = stage;
        step
    }

    pub(super) fn mail(&mut self, answer: Result<(), &Refusal>, out: &mut Vec<u8>) {
        self.stage = match (self.take_stage(), answer) {
            (Stage::AskedMail(transaction), Ok(())) => {
                SENDER_OK.write(out);
                Stage::Transaction(transaction)
            }
            (Stage::AskedMail(_), Err(refusal)) => {
                refusal.reply().write(out);
                Stage::Ready {
                    mail_was_refused: true,
                }
            }
            (stage, _) => stage.unasked("mail()"),
        };
    }

    pub(super) fn recipient(&mut self, answer: Result<(), &Refusal>, out: &mut Vec<u8>) {
        match self.take_stage() {
            Stage::AskedRecipient(mut transaction) => {
                match answer {
                    Ok(()) => {
                        transaction.recipients += 1;
                        RECIPIENT_OK.write(out);
                    }
                    Err(refusal) => refusal.reply().write(out),
                }
                self.stage = Stage::Transaction(transaction);
            }
            stage => stage.unasked("recipient()"),
        }
    }

    pub(super) fn client(
        &mut self,
        answer: Result<(), &Refusal>,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) {
        self.stage = match (self.take_stage(), answer) {
            (Stage::AskedClient { .. }, Ok(())) => {
                context.begin_again();
                reply::greeting(out, &context.settings);
                Stage::Greeted
            }
            (Stage::AskedClient { was_greeted }, Err(refusal)) => {
                refusal.reply().write(out);
                match was_greeted {
                    true => Stage::READY,
                    false => Stage::Greeted,
                }
            }
            (stage, _) => stage.unasked("client()"),
        };
    }

    pub(super) fn tls_started(&mut self, channel: Channel, context: &mut Context) {
        match self.take_stage() {
            Stage::AskedTls => {
                context.change_channel(channel);
                self.stage = Stage::Greeted;
            }
            stage => stage.unasked("tls_started()"),
        }
    }

    pub(super) fn receive(self) -> (Transaction, Arrival) {
        match self.stage {
            Stage::AskedMessage(transaction, arrival) => (transaction, arrival),
            stage => stage.unasked("receive()"),
        }
    }

    pub(super) fn refuse_message(
        &mut self,
        refusal: &Refusal,
        context: &mut Context,
        out: &mut Vec<u8>,
    ) {
        let reply = refusal.reply();
        self.stage = match self.take_stage() {
            Stage::AskedMessage(_, Arrival::Data) => {
                reply.write(out);
                Stage::READY
            }
            Stage::AskedMessage(Transaction { recipients, .. }, Arrival::Chunk(chunk)) => {
                if chunk.is_last {
                    context.summary.refused += u64::from(recipients);
                }
                Stage::refused_chunk(chunk, recipients, reply.clone())
            }
            stage => stage.unasked("refuse_message()"),
        };
    }

    pub(super) fn turn_away(&mut self, why: TurnAway, out: &mut Vec<u8>) {
        match self.take_stage() {
            Stage::Greeted | Stage::Ready { .. } | Stage::Transaction(_) | Stage::Failed(_) => {
                let (status, text) = match why {
                    TurnAway::GoingDown => ("4.3.2", "Going down, try again later"),
                    TurnAway::TooManyConnections => {
                        ("4.7.0", "Too many connections, try again later")
                    }
                    TurnAway::Timeout => ("4.4.2", "Nothing came for too long, closing connection"),
                };
                Reply::new(421, status, text).write(out);
                self.stage = Stage::Over(Close::TurnedAway);
            }
            Stage::Skipping(..) | Stage::Answering(_) | Stage::Over(_) => {
                panic!("turn_away() in the middle of an answer, or after the end")
            }
            stage => stage.unasked("turn_away()"),
        }
    }

    pub(super) fn state(&self) -> State {
        match &self.stage {
            Stage::Greeted => State::Greeted,
            Stage::AskedClient { was_greeted: false } | Stage::AskedTls => State::Greeted,
            Stage::Ready { .. } | Stage::AskedMail(_) | Stage::AskedClient { .. } => State::Ready,
            Stage::Transaction(_)
            | Stage::Failed(_)
            | Stage::AskedRecipient(_)
            | Stage::AskedMessage(..) => State::Transaction,
            Stage::Skipping(..) => State::Message,
            Stage::Answering(_) => State::Answering,
            Stage::Over(_) => State::Closed,
        }
    }

    pub(super) fn closed(&self) -> Option<Close> {
        match &self.stage {
            Stage::Over(close) => Some(*close),
            _ => None,
        }
    }

    /// Takes the stage out to be consumed. What stands in its place ends a session that
    /// lost its stage in a panic.
    fn take_stage(&mut self) -> Stage {
        mem::replace(&mut self.stage, Stage::Over(Close::TurnedAway))
    }
}

fn obey(
    stage: Stage,
    command: Command<'_>,
    context: &mut Context,
    out: &mut Vec<u8>,
) -> Transition {
    match command {
        Command::Lhlo(name) => {
            context.hello(name, out);
            return (Stage::READY, None);
        }
        Command::Mail(text) => return mail(stage, text, context, out),
        Command::Rcpt(text) => return recipient(stage, text, context, out),
        Command::Data => return data(stage, context, out),
        Command::Bdat(chunk) => return chunk_at(stage, chunk, context, out),
        Command::StartTls => return start_tls(stage, context, out),
        Command::Xclient(text) => return client(stage, text, context, out),
        Command::Xforward(text) => return forward(stage, text, context, out),
        Command::Rset => {
            context.forwarded = None;
            context::ok(out);
            let stage = match stage {
                Stage::Greeted => Stage::Greeted,
                _ => Stage::READY,
            };
            return (stage, None);
        }
        Command::Quit => {
            context::goodbye(out);
            return (Stage::Over(Close::Quit), None);
        }
        Command::Noop => context::ok(out),
        Command::Vrfy => context::cannot_verify(out),
        Command::Help => context::help(out),
    }
    (stage, None)
}

fn fault_at(stage: Stage, fault: &Fault, context: &mut Context, out: &mut Vec<u8>) -> Transition {
    match context.fault(fault, out) {
        true => (stage, None),
        false => (Stage::Over(Close::BadCommands), None),
    }
}

/// What a command lacks that belongs into a transaction.
fn out_of_order(stage: &Stage) -> Fault {
    let (fault, is_bad) = match stage {
        Stage::Greeted => (HELLO_FIRST, true),
        Stage::Failed(_) => (CHUNK_FAILED, false),
        Stage::Ready { mail_was_refused } => (MAIL_FIRST, !mail_was_refused),
        _ => (RESET_FIRST, true),
    };
    Fault { is_bad, ..fault }
}

/// RFC 5321 section 4.1.1.2.
fn mail(stage: Stage, text: &str, context: &mut Context, out: &mut Vec<u8>) -> Transition {
    let missing = match stage {
        Stage::Greeted => Some(HELLO_FIRST),
        Stage::Ready { .. } if context.channel.tls_required && !context.channel.tls => {
            Some(Fault::TLS_REQUIRED)
        }
        Stage::Ready { .. } => None,
        _ => Some(RESET_FIRST),
    };
    if let Some(fault) = missing {
        return fault_at(stage, &fault, context, out);
    }
    match Mail::parse(text, &context.terms()) {
        Ok(mut mail) => {
            mail.forwarded = context.forwarded.take();
            let transaction = Transaction {
                recipients: 0,
                body: mail.body,
                smtputf8: mail.smtputf8,
            };
            (Stage::AskedMail(transaction), Some(Action::Mail(mail)))
        }
        Err(fault) => {
            let stage = Stage::Ready {
                mail_was_refused: true,
            };
            fault_at(stage, &fault, context, out)
        }
    }
}

/// RFC 5321 section 4.1.1.3.
fn recipient(stage: Stage, text: &str, context: &mut Context, out: &mut Vec<u8>) -> Transition {
    let Stage::Transaction(transaction) = stage else {
        let fault = out_of_order(&stage);
        return fault_at(stage, &fault, context, out);
    };
    let most = context.settings.limits.effective_recipients();
    let recipient = Recipient::parse(text, transaction.smtputf8);
    let recipient = recipient.and_then(|recipient| match transaction.recipients < most {
        true => Ok(recipient),
        false => Err(Fault::TOO_MANY_RECIPIENTS),
    });
    match recipient {
        Ok(recipient) => (
            Stage::AskedRecipient(transaction),
            Some(Action::Recipient(recipient)),
        ),
        Err(fault) => fault_at(Stage::Transaction(transaction), &fault, context, out),
    }
}

/// RFC 5321 section 4.1.1.4, RFC 2033 section 4.2, RFC 3030 section 3.
fn data(stage: Stage, context: &mut Context, out: &mut Vec<u8>) -> Transition {
    let Stage::Transaction(transaction) = stage else {
        let fault = out_of_order(&stage);
        return fault_at(stage, &fault, context, out);
    };
    let fault = match &transaction {
        Transaction {
            body: Body::BinaryMime,
            ..
        } => BINARY_BY_DATA,
        Transaction { recipients: 0, .. } => Fault::NO_RECIPIENTS,
        _ => {
            let stage = Stage::AskedMessage(transaction, Arrival::Data);
            return (stage, Some(Action::Message));
        }
    };
    fault_at(Stage::Transaction(transaction), &fault, context, out)
}

/// RFC 3030 section 2. The octets follow at once, whatever becomes of them: they are
/// never read as commands.
fn chunk_at(stage: Stage, chunk: Chunk, context: &mut Context, out: &mut Vec<u8>) -> Transition {
    let (fault, stage) = match stage {
        stage if !context.settings.chunking => (Fault::NOT_OFFERED, stage),
        Stage::Transaction(transaction) if transaction.recipients > 0 => {
            let stage = Stage::AskedMessage(transaction, Arrival::Chunk(chunk));
            return (stage, Some(Action::Message));
        }
        Stage::Transaction(transaction) => (Fault::NO_RECIPIENTS, Stage::Transaction(transaction)),
        Stage::Failed(Some((reply, recipients))) => {
            if chunk.is_last {
                context.summary.refused += u64::from(recipients);
            }
            return (Stage::refused_chunk(chunk, recipients, reply), None);
        }
        // The message is over, and was not taken.
        Stage::Failed(None) if chunk.is_last => (out_of_order(&stage), Stage::READY),
        stage => (out_of_order(&stage), stage),
    };
    if !context.forgives(&fault, out) {
        return (Stage::Over(Close::BadCommands), None);
    }
    let answers = Answers::once(fault.reply, stage);
    (Stage::Skipping(Skip::Chunk(chunk.octets), answers), None)
}

/// RFC 3207 section 4.
fn start_tls(stage: Stage, context: &mut Context, out: &mut Vec<u8>) -> Transition {
    let fault = match stage {
        _ if context.channel.tls => TLS_IS_UP,
        _ if !context.channel.starttls => Fault::NOT_OFFERED,
        Stage::Transaction(_) | Stage::Failed(_) => RESET_FIRST,
        _ => {
            READY_FOR_TLS.write(out);
            return (Stage::AskedTls, Some(Action::StartTls));
        }
    };
    fault_at(stage, &fault, context, out)
}

fn client(stage: Stage, text: &str, context: &mut Context, out: &mut Vec<u8>) -> Transition {
    let was_greeted = !matches!(stage, Stage::Greeted);
    let attributes = match stage {
        _ if !context.channel.xclient => Err(Fault::UNAUTHORIZED),
        Stage::Transaction(_) | Stage::Failed(_) => Err(RESET_FIRST),
        _ => Attributes::parse(text, Verb::Xclient),
    };
    match attributes {
        Ok(attributes) => {
            let stage = Stage::AskedClient { was_greeted };
            (stage, Some(Action::Client(attributes)))
        }
        Err(fault) => fault_at(stage, &fault, context, out),
    }
}

fn forward(stage: Stage, text: &str, context: &mut Context, out: &mut Vec<u8>) -> Transition {
    let attributes = match stage {
        _ if !context.channel.xforward => Err(Fault::UNAUTHORIZED),
        Stage::Transaction(_) | Stage::Failed(_) => Err(RESET_FIRST),
        _ => Attributes::parse(text, Verb::Xforward),
    };
    match attributes {
        Ok(attributes) => {
            let forwarded = context.forwarded.get_or_insert_default();
            forwarded.merge(attributes);
            context::ok(out);
            (stage, None)
        }
        Err(fault) => fault_at(stage, &fault, context, out),
    }
}
