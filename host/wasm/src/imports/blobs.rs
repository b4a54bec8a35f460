//! `restante:plugin/blobs`: what is in the messages of the session's maildrop, where an engine
//! keeps it. There is no way to remove one: its entry in the index does that, and nobody else
//! may, or another entry could lose its octets.

use restante_engine::Problem;
use restante_roles::metrics::EngineCall;

use crate::bindings::restante::plugin::blobs as wit;
use crate::instance::maildrop::BLOBS;
use crate::instance::state::State;
use crate::record::tape::Exchange;

/// Octets that one `read` hands over at most.
const READ: u32 = 1 << 20;

impl wit::Host for State {
    async fn read(
        &mut self,
        path: String,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, wit::Problem>> {
        if let Some(player) = self.player() {
            return Ok(player.blob(&path, offset, length));
        }
        // What is too large is not copied.
        let tape = self.border.tape();
        let tape = tape.filter(|tape| tape.has_room(path.len())).cloned();
        let answer = self.part_of_blob(&path, offset, length).await;
        let answer = self.told_by_engine(answer);
        if let Some(tape) = tape {
            let read = answer.as_ref().ok().and_then(Option::as_ref);
            let octets = path.len() + read.map_or(0, Vec::len);
            tape.hear_sized(octets, || Exchange::Blob {
                path,
                offset,
                length,
                answer: answer.clone(),
            });
        }
        Ok(answer)
    }
}

impl State {
    async fn part_of_blob(
        &mut self,
        path: &str,
        offset: u64,
        length: u32,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let maildrop = self.engine_maildrop()?;
        let below = path.strip_prefix(BLOBS).ok_or_else(|| {
            let shown: String = path.chars().take(100).collect();
            Problem::invalid(format!(
                "blob path {shown:?} does not begin with {BLOBS:?}: put that before the path of \
                 an entry"
            ))
        })?;
        let blob = maildrop.blob(below)?;
        let (engine, call) = (maildrop.engine(), EngineCall::ReadBlob);
        let meter = self.engine_place(engine, call).await?;
        let deadline = self.sockets.clock.deadline();
        let length = length.min(READ);
        let answer = engine.ask(call, meter, deadline, move |engine| async move {
            engine.blobs.read(&blob, offset, length).await
        });
        let answer = answer.await.map_err(|problem| engine.told(problem))?;
        let octets: Option<Vec<u8>> = answer.map(Vec::from);
        self.limits.carried(octets.as_ref().map_or(0, Vec::len));
        Ok(octets)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use restante_engine::memory::MemoryBlobs;
    use restante_engine::{BlobPath, Blobs as _, MAX_BLOB_CHUNK_BYTES};
    use restante_roles::metrics::Ledger;
    use restante_roles::work::WorkHold;
    use tokio::time::Instant;

    use super::wit::Host;
    use super::*;
    use crate::instance::calls::SEE_LOG;
    use crate::instance::engines::SharedEngine;
    use crate::instance::facts::Grounds;
    use crate::instance::maildrop::EngineMaildrop;
    use crate::instance::testing::{TestEngine, state, state_holding};

    struct Bench {
        engine: Arc<TestEngine>,
        shared: Arc<SharedEngine>,
        blobs: Arc<MemoryBlobs>,
        maildrop: EngineMaildrop,
        ledger: Arc<Ledger>,
    }

    impl Bench {
        /// With the maildrop "m" of tenant "t", in which these octets are under "2026/x".
        async fn with(octets: &[u8]) -> Bench {
            let blobs = Arc::new(MemoryBlobs::default());
            let (engine, shared) = TestEngine::with(blobs.clone());
            let maildrop = EngineMaildrop::new(&shared, "t", "m").unwrap();
            let bench = Bench {
                engine,
                shared,
                blobs,
                maildrop,
                ledger: Ledger::new("t"),
            };
            let path = bench.maildrop.blob("2026/x").unwrap();
            bench.write(&path, octets).await;
            bench
        }

        async fn write(&self, path: &BlobPath, octets: &[u8]) {
            let mut writer = self.blobs.create(path, octets.len() as u64).await.unwrap();
            for chunk in octets.chunks(MAX_BLOB_CHUNK_BYTES) {
                writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
            }
            writer.finish().await.unwrap();
        }

        /// Of a session with the maildrop.
        fn state(&self) -> State {
            let mut state = state(&self.ledger);
            state.mail = Some(self.maildrop.clone());
            state
        }
    }

    type Read = Result<Option<Vec<u8>>, wit::Problem>;

    async fn read(state: &mut State, path: &str, offset: u64, length: u32) -> Read {
        Host::read(state, path.into(), offset, length)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_guest_reads_the_messages_of_its_maildrop_part_by_part() {
        let octets: Vec<u8> = (0..2 * READ + 7).map(|at| (at % 251) as u8).collect();
        let bench = Bench::with(&octets).await;
        let mut state = bench.state();
        let before = bench.ledger.totals().host_call_octets;
        let mut part = async |offset: u64, length| {
            let read = read(&mut state, "/blobs/2026/x", offset, length).await;
            read.unwrap().unwrap()
        };
        assert!(part(0, 10).await == octets[..10]);
        assert!(part(300, 70_000).await == octets[300..70_300]);
        let first = part(0, u32::MAX).await;
        assert!(first == octets[..READ as usize], "{}", first.len());
        let all = octets.len() as u64;
        assert!(part(all - 3, 10).await == octets[octets.len() - 3..]);
        for (offset, length) in [(0, 0), (all, 10), (u64::MAX, u32::MAX)] {
            assert!(part(offset, length).await.is_empty(), "{offset} {length}");
        }
        let charged = bench.ledger.totals().host_call_octets - before;
        assert_eq!(charged, 10 + 70_000 + u64::from(READ) + 3);
        let none = read(&mut state, "/blobs/2026/y", 0, 10).await;
        assert!(matches!(none, Ok(None)), "{none:?}");
        assert!(!state.witness.has_failed());
    }

    #[tokio::test]
    async fn no_path_leads_to_the_messages_of_others() {
        let bench = Bench::with(b"mail").await;
        let mut state = bench.state();
        for (tenant, name) in [("t", "n"), ("u", "m")] {
            let other = EngineMaildrop::new(&bench.shared, tenant, name).unwrap();
            let secret = other.blob("secret").unwrap();
            bench.write(&secret, b"secret").await;
            let there = secret.as_str();
            for path in [
                "secret".to_owned(),
                there.to_owned(),
                format!("../../{there}"),
                format!("2026/../../../{there}"),
                format!("/{there}"),
            ] {
                let read = read(&mut state, &format!("/blobs/{path}"), 0, 10).await;
                assert!(
                    matches!(read, Ok(None) | Err(wit::Problem::Invalid(_))),
                    "{path}: {read:?}"
                );
            }
        }
        for path in ["", "/", "2026/x", "/blobs", "/blobs/", "/maildrop/2026/x"] {
            let read = read(&mut state, path, 0, 10).await;
            assert!(
                matches!(&read, Err(wit::Problem::Invalid(why)) if why.contains("blob path")),
                "{path}: {read:?}"
            );
        }
        let own = read(&mut state, "/blobs/2026/x", 0, 10).await;
        assert_eq!(own.unwrap().as_deref(), Some(&b"mail"[..]));
    }

    /// What is in a message stands for no answer.
    #[tokio::test]
    async fn a_part_of_a_message_is_no_fact() {
        let bench = Bench::with(b"mail").await;
        let mut state = bench.state();
        state.witness.called();
        state.witness.asked();
        assert!(read(&mut state, "/blobs/2026/x", 0, 10).await.is_ok());
        assert!(matches!(state.witness.grounds(1, 0), Grounds::Unknown));
    }

    #[tokio::test]
    async fn nothing_is_read_for_a_session_that_is_over() {
        let bench = Bench::with(b"mail").await;
        let (hold, held) = (WorkHold::default(), Arc::new(()));
        hold.hold(&held, None);
        let mut state = state_holding(&bench.ledger, hold);
        state.mail = Some(bench.maildrop.clone());
        assert!(read(&mut state, "/blobs/2026/x", 0, 10).await.is_ok());
        drop(held);
        let over = read(&mut state, "/blobs/2026/x", 0, 10).await;
        assert!(
            matches!(&over, Err(wit::Problem::Unavailable(why)) if why.contains("is over")),
            "{over:?}"
        );
    }

    /// The session's maildrop is not given to the next one while anything works for it.
    #[tokio::test(start_paused = true)]
    async fn a_read_that_nobody_waits_for_holds_its_maildrop_until_it_is_over() {
        let bench = Bench::with(b"mail").await;
        let (hold, held) = (WorkHold::default(), Arc::new(()));
        hold.hold(&held, None);
        let mut state = state_holding(&bench.ledger, hold);
        state.mail = Some(bench.maildrop.clone());
        let second = Duration::from_secs(1);
        *bench.engine.delay.lock() = second * 3;
        state.sockets.clock.set(Instant::now() + second);
        let begun = Instant::now();
        let late = read(&mut state, "/blobs/2026/x", 0, 10).await;
        assert!(
            matches!(late, Err(wit::Problem::Unavailable(_))),
            "{late:?}"
        );
        let passed = begun.elapsed();
        assert!(passed.abs_diff(second) < second / 2, "{passed:?}");
        let gone = Arc::downgrade(&held);
        drop(held);
        assert!(gone.upgrade().is_some(), "the engine still reads");
        tokio::time::sleep(second * 3).await;
        assert!(gone.upgrade().is_none());
    }

    #[tokio::test]
    async fn a_message_of_an_engine_that_is_away_is_unavailable() {
        let bench = Bench::with(b"mail").await;
        let mut state = bench.state();
        *bench.engine.is_away.lock() = true;
        let away = read(&mut state, "/blobs/2026/x", 0, 10).await;
        let Err(wit::Problem::Unavailable(why)) = away else {
            panic!("{away:?}");
        };
        assert_eq!(why, SEE_LOG);
        assert!(state.witness.has_failed());
        *bench.engine.is_away.lock() = false;
        assert!(read(&mut state, "/blobs/2026/x", 0, 10).await.is_ok());
    }

    #[tokio::test]
    async fn without_a_maildrop_in_an_engine_there_are_none() {
        let refused = read(&mut state(&Ledger::new("t")), "/blobs/2026/x", 0, 10).await;
        assert!(
            matches!(&refused, Err(wit::Problem::Invalid(why)) if why.contains("no maildrop in an engine")),
            "{refused:?}"
        );
    }
}
