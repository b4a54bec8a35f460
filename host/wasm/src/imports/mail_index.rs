//! `restante:plugin/mail-index`: the session's maildrop where an engine keeps it.

use std::sync::Arc;

use restante_engine::{Difference, Entries, Folder, MailIndex, Problem, REMOVAL_DEADLINE, Summary};
use restante_roles::metrics::EngineCall;

use crate::bindings::restante::plugin::mail_index as wit;
use crate::instance::maildrop::EngineMaildrop;
use crate::instance::state::State;
use crate::record::index::{self, Question, Told};
use crate::record::tape::Exchange;

impl wit::Host for State {
    async fn state(
        &mut self,
        folder: String,
    ) -> wasmtime::Result<Result<wit::Summary, wit::Problem>> {
        let question = Question::new(EngineCall::State, folder);
        let is_live = self.player().is_none();
        let of = question.folder.clone();
        let answer = self.index(question, |index, folder, _| async move {
            index.state(&folder).await.map(summary)
        });
        let answer = answer.await;
        if is_live && let Ok(told) = &answer {
            let told = Summary {
                version: told.version,
                messages: told.messages,
                octets: told.octets,
            };
            self.witness.folder(&of, told);
        }
        Ok(answer)
    }

    async fn read(
        &mut self,
        folder: String,
    ) -> wasmtime::Result<Result<wit::Entries, wit::Problem>> {
        let question = Question::new(EngineCall::Read, folder);
        let answer = self.index(question, |index, folder, _| async move {
            index.read(&folder).await.map(entries)
        });
        Ok(answer.await)
    }

    async fn changes(
        &mut self,
        folder: String,
        version: u64,
    ) -> wasmtime::Result<Result<Option<wit::Difference>, wit::Problem>> {
        let question = Question {
            version,
            ..Question::new(EngineCall::Changes, folder)
        };
        let answer = self.index(question, |index, folder, question| async move {
            let told = index.changes(&folder, question.version).await?;
            Ok(told.map(difference))
        });
        Ok(answer.await)
    }

    async fn remove(
        &mut self,
        folder: String,
        unique_ids: Vec<String>,
    ) -> wasmtime::Result<Result<(), wit::Problem>> {
        let question = Question {
            unique_ids,
            ..Question::new(EngineCall::Remove, folder)
        };
        let hold = self.mail.as_ref().and_then(EngineMaildrop::held);
        let answer = self.index(question, move |index, folder, question| async move {
            let hold = hold.ok_or(Problem::Lost)?;
            index.remove(&folder, &question.unique_ids, &hold).await
        });
        Ok(answer.await)
    }
}

impl State {
    async fn index<T, F>(
        &mut self,
        question: Question,
        ask: impl FnOnce(Arc<dyn MailIndex>, Folder, Question) -> F + Send + 'static,
    ) -> Result<T, wit::Problem>
    where
        T: Told + Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        if let Some(player) = self.player() {
            return player.index(&question);
        }
        let octets = question.octets();
        // What is too large is neither copied nor made into JSON.
        let tape = self.border.tape().filter(|tape| tape.has_room(octets));
        let asked = tape.map(|tape| (tape.clone(), question.clone()));
        let answer = self.answered_by_index(question, ask).await;
        let answer = self.told_by_engine(answer);
        if let Some((tape, question)) = asked {
            let octets = octets + answer.as_ref().map_or(0, Told::octets);
            tape.hear_sized(octets, || Exchange::Index {
                call: question.name(),
                asked: question.asked(),
                answered: index::answered(&answer),
            });
        }
        answer
    }

    async fn answered_by_index<T, F>(
        &mut self,
        question: Question,
        ask: impl FnOnce(Arc<dyn MailIndex>, Folder, Question) -> F + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Told + Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let maildrop = self.engine_maildrop()?;
        let (engine, call) = (maildrop.engine(), question.call);
        let folder = maildrop.folder(&question.folder)?;
        let meter = self.engine_place(engine, call).await?;
        let mut deadline = self.sockets.clock.deadline();
        // The client is told whether its messages are gone, however little time the plugin has.
        let removing =
            (call == EngineCall::Remove).then(|| self.limits.usage().removes(REMOVAL_DEADLINE));
        if let Some(removing) = &removing {
            deadline = deadline.max(removing.end());
        }
        let answer = engine.ask(call, meter, deadline, move |engine| {
            ask(engine.index, folder, question)
        });
        let answer = answer.await.map_err(|problem| engine.told(problem));
        if let Some(removing) = removing {
            self.postpone(removing.stood_still());
        }
        let answer = answer?;
        self.limits.carried(answer.octets());
        Ok(answer)
    }
}

fn summary(of: Summary) -> wit::Summary {
    wit::Summary {
        version: of.version,
        messages: of.messages,
        octets: of.octets,
    }
}

fn entries(of: Entries) -> wit::Entries {
    wit::Entries {
        unique_ids: of.unique_ids,
        octets: of.octets,
        received: of.received,
        names: of.names,
        surrogates: of.surrogates,
        version: of.version,
    }
}

fn difference(of: Difference) -> wit::Difference {
    wit::Difference {
        gone: of.gone,
        came: entries(of.came),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use restante_engine::{Appended, Entry, Holds as _, Limits, MailIndex as _};
    use restante_roles::metrics::Ledger;
    use tokio::time::Instant;

    use super::wit::Host;
    use super::*;
    use crate::instance::calls::SEE_LOG;
    use crate::instance::facts::{FolderState, Grounds, Standing};
    use crate::instance::testing::{TestEngine, state};

    /// A state with the maildrop "m" of tenant "t", in which there is one message.
    async fn with_maildrop() -> (Arc<TestEngine>, State, EngineMaildrop, String) {
        let (engine, shared) = TestEngine::empty();
        let maildrop = EngineMaildrop::new(&shared, "t", "m").unwrap();
        let mut state = state(&Ledger::new("t"));
        state.mail = Some(maildrop.clone());
        let id = kept(&engine, "t", "m", "").await;
        (engine, state, maildrop, id)
    }

    async fn kept(engine: &TestEngine, tenant: &str, maildrop: &str, folder: &str) -> String {
        let entry = Entry {
            unique_id: None,
            octets: 9,
            surrogate: Some(11),
            received: 7,
            name: format!("{maildrop}/{folder} x"),
            digest: None,
            weight: 1,
        };
        let folder = Folder::new(tenant, maildrop, folder).unwrap();
        let free = Limits::default();
        match engine.memory.append(&folder, &entry, &free, None).await {
            Ok(Appended::Kept(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    async fn messages(state: &mut State, folder: &str) -> u64 {
        Host::state(state, folder.into())
            .await
            .unwrap()
            .unwrap()
            .messages
    }

    #[tokio::test]
    async fn a_guest_reads_the_maildrop_of_its_session_and_no_other() {
        let (engine, mut state, _, id) = with_maildrop().await;
        for (tenant, maildrop, folder) in [("t", "n", ""), ("u", "m", ""), ("t", "m", "lists")] {
            kept(&engine, tenant, maildrop, folder).await;
            kept(&engine, tenant, maildrop, folder).await;
        }
        assert_eq!(messages(&mut state, "").await, 1);
        assert_eq!(messages(&mut state, "lists").await, 2);
        for folder in ["n", "../n", "../../u/m", "/"] {
            assert_eq!(messages(&mut state, folder).await, 0, "{folder}");
        }
        let odd = Host::state(&mut state, "a\nb".into()).await.unwrap();
        assert!(
            matches!(&odd, Err(wit::Problem::Invalid(why)) if why.contains("folder")),
            "{odd:?}"
        );
        let read = Host::read(&mut state, String::new())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(read.unique_ids, format!("{id}\0"));
        assert_eq!(
            (read.names.as_str(), read.surrogates),
            ("m/ x\0", vec![(0, 11)])
        );
        assert_eq!(
            (read.octets, read.received, read.version),
            (vec![9], vec![7], 1)
        );
        let none = Host::changes(&mut state, String::new(), 1)
            .await
            .unwrap()
            .unwrap();
        assert!(none.is_some_and(|told| told.gone.is_empty() && told.came.octets.is_empty()));
        let unknown = Host::changes(&mut state, String::new(), 9)
            .await
            .unwrap()
            .unwrap();
        assert!(unknown.is_none());
        assert!(!state.witness.has_failed());
    }

    #[tokio::test]
    async fn nothing_is_removed_by_a_session_without_a_hold() {
        let (engine, mut state, maildrop, id) = with_maildrop().await;
        let remove = async |state: &mut State| {
            let ids = vec![id.clone()];
            Host::remove(state, String::new(), ids).await.unwrap()
        };
        let lost = remove(&mut state).await;
        assert!(matches!(lost, Err(wit::Problem::Lost)), "{lost:?}");
        maildrop.acquire("k", &[], None).await.ok().unwrap();
        // Another session has it by now.
        let node = engine.memory.join("n", "a test").await.unwrap();
        engine.memory.acquire("k", &node).await.unwrap();
        let lost = remove(&mut state).await;
        assert!(matches!(lost, Err(wit::Problem::Lost)), "{lost:?}");
        assert_eq!(messages(&mut state, "").await, 1);

        let (_engine, mut state, maildrop, id) = with_maildrop().await;
        maildrop.acquire("k", &[], None).await.ok().unwrap();
        let unknown = vec![id.clone(), "x".to_owned()];
        let invalid = Host::remove(&mut state, String::new(), unknown)
            .await
            .unwrap();
        assert!(
            matches!(invalid, Err(wit::Problem::Invalid(_))),
            "{invalid:?}"
        );
        assert_eq!(messages(&mut state, "").await, 1);
        let removed = Host::remove(&mut state, String::new(), vec![id]).await;
        assert!(removed.unwrap().is_ok());
        assert_eq!(messages(&mut state, "").await, 0);
    }

    /// What a folder holds in short stands for the answers that rest on it, what is in it does
    /// not.
    #[tokio::test]
    async fn a_state_is_a_fact_and_entries_are_none() {
        let (_engine, mut state, _, _) = with_maildrop().await;
        let asked = async |state: &mut State, folder: &str| {
            state.witness.asked();
            Host::state(state, folder.into()).await.unwrap().is_ok()
        };
        state.witness.called();
        assert!(asked(&mut state, "").await && asked(&mut state, "lists").await);
        let Grounds::Facts(facts) = state.witness.grounds(1, 0) else {
            panic!("no facts");
        };
        let folders: Vec<&str> = facts.folders().collect();
        assert_eq!(folders, ["", "lists"]);
        let told = |folder: &str, number| FolderState {
            folder: folder.into(),
            summary: Summary {
                version: number,
                messages: number,
                octets: 9 * number,
            },
        };
        let now = [told("", 1), told("lists", 0)];
        assert_eq!(facts.standing(&now), Standing::Same);

        // A refusal is no fact either.
        let (_engine, mut state, _, _) = with_maildrop().await;
        state.witness.called();
        assert!(!asked(&mut state, "a\nb").await);
        assert!(matches!(state.witness.grounds(1, 0), Grounds::Unknown));
        let (_engine, mut state, _, _) = with_maildrop().await;
        state.witness.called();
        assert!(asked(&mut state, "").await);
        state.witness.asked();
        let read = Host::read(&mut state, String::new()).await.unwrap();
        assert!(read.is_ok());
        assert!(matches!(state.witness.grounds(1, 0), Grounds::Unknown));
    }

    /// The engine may need long to find out what became of it, and the client waits for that.
    #[tokio::test(start_paused = true)]
    async fn a_removal_is_waited_for_longer_than_the_plugin_may_take() {
        let (engine, mut state, maildrop, id) = with_maildrop().await;
        maildrop.acquire("k", &[], None).await.ok().unwrap();
        let second = Duration::from_secs(1);
        let begun = Instant::now();
        let is_about = |at: Instant, seconds: u32| {
            let passed = at.saturating_duration_since(begun);
            assert!(passed.abs_diff(second * seconds) < second / 2, "{passed:?}");
        };
        state.sockets.clock.set(begun + second);
        *engine.delay.lock() = second * 35;
        let removed = Host::remove(&mut state, String::new(), vec![id]).await;
        assert!(removed.unwrap().is_ok());
        // What the plugin had left it has left.
        is_about(Instant::now(), 35);
        is_about(state.sockets.clock.deadline(), 36);
        let late = Host::state(&mut state, String::new()).await.unwrap();
        assert!(
            matches!(late, Err(wit::Problem::Unavailable(_))),
            "{late:?}"
        );
        is_about(Instant::now(), 36);
        // All removals of a call have 40 seconds.
        let unknown = Host::remove(&mut state, String::new(), Vec::new()).await;
        let unknown = unknown.unwrap();
        assert!(
            matches!(unknown, Err(wit::Problem::Unknown(_))),
            "{unknown:?}"
        );
        is_about(Instant::now(), 41);
    }

    /// Where the engine is, and what is wrong with it, is the operator's matter.
    #[tokio::test]
    async fn an_engine_that_is_away_is_a_failure_of_the_host() {
        let (engine, mut state, _, _) = with_maildrop().await;
        *engine.is_away.lock() = true;
        let away = Host::read(&mut state, String::new()).await.unwrap();
        let Err(wit::Problem::Unavailable(why)) = away else {
            panic!("{away:?}");
        };
        assert_eq!(why, SEE_LOG);
        assert!(state.witness.has_failed());
        *engine.is_away.lock() = false;
        assert_eq!(messages(&mut state, "").await, 1);
    }

    #[tokio::test]
    async fn without_a_maildrop_in_an_engine_every_call_is_refused() {
        let mut state = state(&Ledger::new("t"));
        let refused = [
            Host::state(&mut state, String::new()).await.unwrap().err(),
            Host::read(&mut state, String::new()).await.unwrap().err(),
            Host::changes(&mut state, String::new(), 0)
                .await
                .unwrap()
                .err(),
            Host::remove(&mut state, String::new(), Vec::new())
                .await
                .unwrap()
                .err(),
        ];
        for problem in refused {
            let Some(wit::Problem::Invalid(why)) = problem else {
                panic!("{problem:?}");
            };
            assert!(why.contains("no maildrop in an engine"), "{why}");
        }
    }
}
