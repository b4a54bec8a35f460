//! `restante:plugin/database`: databases of the operator's, as far as they were granted.

use std::sync::Arc;

use restante_engine::{Answer, Refusal, Statement, Value, Values};

use crate::bindings::restante::plugin::database as wit;
use crate::instance::calls::charging;
use crate::instance::databases::{Question, SharedDatabase};
use crate::instance::state::State;
use crate::record::query;
use crate::record::tape::Exchange;

/// The SQLSTATE of what nobody may do.
const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// The SQLSTATE of a transaction that may succeed if it is made once more.
const SERIALIZATION_FAILURE: &str = "40001";

impl wit::Host for State {
    async fn query(
        &mut self,
        database: String,
        statement: wit::Statement,
    ) -> wasmtime::Result<Result<wit::Answer, wit::Problem>> {
        let answers = self.asked_of(database, vec![statement], false).await;
        Ok(answers.and_then(|mut answers| {
            let none = || wit::Problem::Unavailable("there is no answer".to_owned());
            answers.pop().ok_or_else(none)
        }))
    }

    async fn change(
        &mut self,
        database: String,
        statements: Vec<wit::Statement>,
    ) -> wasmtime::Result<Result<Vec<wit::Answer>, wit::Problem>> {
        Ok(self.asked_of(database, statements, true).await)
    }
}

impl State {
    async fn asked_of(
        &mut self,
        database: String,
        statements: Vec<wit::Statement>,
        is_change: bool,
    ) -> Result<Vec<wit::Answer>, wit::Problem> {
        if let Some(player) = self.player() {
            return player.database(&database, &statements, is_change);
        }
        let asked = self.copied(&(database.clone(), statements.clone()));
        let answer = self.answered_by(&database, statements, is_change).await;
        if answer.as_ref().is_err_and(may_pass) {
            self.witness.failed();
        }
        let answer = answer.map_err(told);
        self.hear(asked, |(database, statements)| Exchange::Database {
            database,
            statements,
            is_change,
            answer: answer.clone(),
        });
        answer
    }

    async fn answered_by(
        &mut self,
        name: &str,
        statements: Vec<wit::Statement>,
        is_change: bool,
    ) -> Result<Vec<wit::Answer>, Refusal> {
        let found = self.databases.iter().find(|one| one.name() == name);
        let Some(database) = found.map(Arc::clone) else {
            return Err(Refusal::Refused {
                state: INSUFFICIENT_PRIVILEGE.to_owned(),
                text: format!("no database {name:?} is granted to this plugin"),
            });
        };
        let mut statements: Vec<Statement> = statements.into_iter().map(statement).collect();
        let question = match (is_change, statements.pop()) {
            (false, Some(statement)) => Question::Query(statement),
            (_, last) => {
                statements.extend(last);
                Question::Change(statements)
            }
        };
        let remembered = match &question {
            Question::Query(statement) => {
                (self.recall).answer(self.owner.tenant(), &database, statement)
            }
            // A call that has changed something is not made once more: before that, what it
            // was told has to hold.
            Question::Change(_) => {
                self.check_recalled().await;
                if self.recall.is_outdated() {
                    return Err(Refusal::Refused {
                        state: SERIALIZATION_FAILURE.to_owned(),
                        text: "what the plugin was told from memory has changed: the login is decided anew".to_owned(),
                    });
                }
                self.recall.forbid();
                None
            }
        };
        let answers = match remembered {
            Some(answer) => vec![answer],
            None => self.answered_now(&database, question).await?,
        };
        let answers: Vec<_> = answers.into_iter().map(answer).collect();
        self.limits.carried(answers.iter().map(query::bytes).sum());
        Ok(answers)
    }

    /// What the database says.
    async fn answered_now(
        &mut self,
        database: &SharedDatabase,
        question: Question,
    ) -> Result<Vec<Answer>, Refusal> {
        let turn = self.turn(database.turns(&question)).await.map_err(|_| {
            database.set_away(true);
            let text = "no free place in time: other calls of this database take too long";
            Refusal::Unavailable(text.to_owned())
        })?;
        let meter = charging(self.limits.meter().work(), turn);
        let meter = meter.map_err(|_| Refusal::Unavailable("the session is over".to_owned()))?;
        let deadline = self.sockets.clock.deadline();
        let tenant = self.recall.is_allowed().then(|| self.owner.tenant());
        database.ask(question, meter, deadline, tenant).await
    }

    /// Whether a database says something else by now than what this instance was told from
    /// memory, or does not say it any more.
    pub(crate) async fn was_told_old_answers(&mut self) -> bool {
        self.check_recalled().await;
        self.recall.is_outdated()
    }

    async fn check_recalled(&mut self) {
        for recalled in self.recall.take() {
            let question = Question::Query(recalled.statement);
            match self.answered_now(&recalled.database, question).await {
                Ok(answers) if answers == [recalled.answer] => {}
                Ok(_) | Err(_) => return self.recall.set_outdated(),
            }
        }
    }
}

/// Whether the same may be answered later: what a guest makes of a refusal like that is no
/// word on the database.
fn may_pass(refusal: &Refusal) -> bool {
    const CLASSES: [&str; 8] = ["28", "3D", "40", "53", "55", "57", "58", "XX"];
    match refusal {
        Refusal::Unavailable(_) | Refusal::Unknown(_) => true,
        Refusal::Refused { state, .. } => CLASSES.iter().any(|class| state.starts_with(class)),
        Refusal::TooLarge => false,
    }
}

fn told(refusal: Refusal) -> wit::Problem {
    match refusal {
        Refusal::Unavailable(text) => wit::Problem::Unavailable(text),
        unknown @ Refusal::Unknown(_) => wit::Problem::Unavailable(unknown.to_string()),
        Refusal::Refused { state, text } => wit::Problem::Refused(wit::Refusal {
            sqlstate: state,
            text,
        }),
        Refusal::TooLarge => wit::Problem::TooLarge,
    }
}

fn statement(of: wit::Statement) -> Statement {
    let parameters = of.parameters.into_iter().map(|value| match value {
        wit::Value::Null => Value::Null,
        wit::Value::Integer(integer) => Value::Integer(integer),
        wit::Value::Text(text) => Value::Text(text),
        wit::Value::Octets(octets) => Value::Octets(octets),
    });
    Statement {
        parameters: parameters.collect(),
        text: of.text,
    }
}

fn answer(of: Answer) -> wit::Answer {
    let columns = of.columns.into_iter().map(|column| wit::Column {
        name: column.name,
        values: match column.values {
            Values::Integers(integers) => wit::Values::Integers(integers),
            Values::Texts(texts) => wit::Values::Texts(texts),
            Values::Octets(octets, ends) => wit::Values::Octets((octets, ends)),
        },
        nulls: column.nulls,
    });
    wit::Answer {
        rows: of.rows,
        columns: columns.collect(),
    }
}
