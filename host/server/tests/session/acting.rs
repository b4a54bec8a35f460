//! Clients that show one user's password and ask for another user's mail, and
//! authenticators that take no notice of that.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use restante_pop3::{ScramHash, ScramKeys};
use restante_roles::acting;
use restante_roles::backend::{
    Accepts, Account, Attributes, Authenticator, Connection, Credentials, Denial,
};
use restante_roles::memory::Memory;

use crate::logs::Captured;
use crate::sasl::{ALL, Scram, connected};
use crate::world::{Plan, World};

/// What an authenticator makes of whom the client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// It lets anybody in as anybody, once a password is right.
    Trusting,
    /// It lets the password's owner in as himself, whomever he asks for.
    Forgetful,
}

struct Careless {
    manner: Manner,
    users: Arc<Memory>,
}

impl Careless {
    fn answer(&self, own: Account, asked: Option<&str>) -> Account {
        match (self.manner, asked) {
            (Manner::Trusting, Some(asked)) => Account {
                user: asked.to_owned(),
                maildrop: crate::world::MAILDROP.to_owned(),
                attributes: Attributes::default(),
            },
            _ => own,
        }
    }
}

#[async_trait]
impl Authenticator for Careless {
    fn accepts(&self) -> Accepts {
        ALL
    }

    async fn authenticate(
        &self,
        connection: &Arc<Connection>,
        credentials: &Credentials,
    ) -> Result<Account, Denial> {
        match credentials.without_acting_as() {
            Some((own, asked)) => {
                let own = self.users.authenticate(connection, &own).await?;
                Ok(self.answer(own, Some(asked)))
            }
            None => self.users.authenticate(connection, credentials).await,
        }
    }

    async fn scram_keys(
        &self,
        connection: &Arc<Connection>,
        user: &str,
        acting_as: Option<&str>,
        hash: ScramHash,
    ) -> Result<(ScramKeys, Option<Account>), Denial> {
        let keys = self.users.scram_keys(connection, user, None, hash);
        let (keys, own) = keys.await?;
        Ok((keys, own.map(|own| self.answer(own, acting_as))))
    }
}

/// The users are "u", whose maildrop has a message, and "v", who has none. A tenant
/// whose authenticator is let judge has `judges`.
fn world(manner: Manner, judges: bool) -> World {
    let mut plan = Plan::new().mail(&[("one", "Subject: one\n\nmail\n")]);
    plan.memory.accept(ALL);
    let users = Arc::clone(&plan.memory);
    let careless: Arc<dyn Authenticator> = Arc::new(Careless { manner, users });
    plan.authenticator = Some(match judges {
        true => acting::judge(careless),
        false => careless,
    });
    plan.begin()
}

/// "v" asks for this user, by PLAIN (RFC 4616) and by SCRAM (RFC 5802). What it hears,
/// and how many messages it finds.
async fn ask_for(world: &World, asked: &str) -> Vec<(String, Option<String>)> {
    let mut heard = Vec::new();
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let mut client = connected(world).await;
        let done = match mechanism {
            "PLAIN" => {
                let message = STANDARD.encode(format!("{asked}\0v\0other"));
                client.ask(&format!("AUTH PLAIN {message}")).await
            }
            _ => {
                let mut scram = Scram::new("SCRAM-SHA-256", "v", "other");
                scram.header = format!("n,a={asked},");
                scram.log_in(&mut client).await
            }
        };
        let mut found = None;
        if done.starts_with("+OK") {
            found = Some(client.ok("STAT").await);
        }
        heard.push((done, found));
    }
    heard
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_ignores_acting_as_lets_nobody_in_as_another() {
    for manner in [Manner::Trusting, Manner::Forgetful] {
        let world = world(manner, false);
        let (captured, _capturing) = Captured::begin();
        for (done, _) in ask_for(&world, "u").await {
            assert!(done.starts_with("-ERR [AUTH]"), "{manner:?} {done}");
        }
        let log = captured.text();
        let refused: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("login failed"))
            .collect();
        assert_eq!(refused.len(), 2, "{log}");
        for line in refused {
            assert!(line.contains("acting-as = true"), "{line}");
        }
        // Who asks for himself, however he writes it, is himself.
        for own in ["v", "V"] {
            for (done, found) in ask_for(&world, own).await {
                assert_eq!(found.as_deref(), Some("+OK 0 0"), "{manner:?} {done}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_is_let_judge_has_the_word() {
    for (done, found) in ask_for(&world(Manner::Trusting, true), "u").await {
        assert_eq!(found.as_deref(), Some("+OK 1 22"), "{done}");
    }
}

/// The words and the time are those of a wrong password.
#[tokio::test(start_paused = true)]
async fn a_refusal_to_act_as_another_says_nothing() {
    let world = world(Manner::Trusting, false);
    let mut answers = Vec::new();
    for message in [
        "u\0v\0other",
        "u\0v\0wrong",
        "u\0nobody\0other",
        "nobody\0v\0other",
    ] {
        let mut client = connected(&world).await;
        let message = STANDARD.encode(message);
        answers.push(client.ask(&format!("AUTH PLAIN {message}")).await);
    }
    assert!(answers.iter().all(|one| *one == answers[0]), "{answers:?}");
}
