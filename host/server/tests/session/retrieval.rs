//! Contents that fail, lie or break off: what cannot be had is refused, what is
//! cut never looks whole.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use restante_roles::backend::{Content, ContentReader, Failure, FileRange};
use restante_roles::content::ContentError;
use restante_roles::metrics::Ledger;
use restante_roles::work::WorkRoom;
use restante_server::connection::{BrokenOff, End};
use tokio::sync::Notify;

use crate::world::{Plan, World};

/// Octets that need more than one chunk.
const LARGE: usize = 300_000;

fn large() -> String {
    "0123456789abcde\n".repeat(LARGE / 16)
}

fn on_the_wire(content: &str) -> Vec<u8> {
    content.replace('\n', "\r\n").into_bytes()
}

fn file(octets: &[u8], length: usize) -> Content {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(octets).unwrap();
    Content::File(FileRange {
        file,
        path: PathBuf::from("/test/file"),
        offset: 0,
        length: length as u64,
        work: WorkRoom::new(Ledger::new("t")),
    })
}

/// Gives these, then fails or ends.
struct Pulls {
    octets: Vec<u8>,
    pull: usize,
    failure: Option<Failure>,
    /// Takes no notice of what it is asked for.
    greedy: bool,
}

#[async_trait]
impl ContentReader for Pulls {
    async fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
        // Not at once, as a guest that has to wait for something.
        tokio::task::yield_now().await;
        if self.octets.is_empty()
            && let Some(failure) = self.failure.take()
        {
            return Err(failure);
        }
        let limit = if self.greedy {
            usize::MAX
        } else {
            limit as usize
        };
        let length = self.octets.len().min(self.pull).min(limit);
        Ok(self.octets.drain(..length).collect())
    }
}

fn pulls(octets: &[u8], pull: usize) -> Pulls {
    Pulls {
        octets: octets.to_vec(),
        pull,
        failure: None,
        greedy: false,
    }
}

fn reader(pulls: Pulls) -> Content {
    Content::Reader(Box::new(pulls))
}

/// A maildrop with a message of this content, and one behind it that is as it
/// should be.
fn world(content: &str) -> World {
    Plan::new()
        .mail(&[("m", content), ("other", "fine\n")])
        .begin()
}

#[tokio::test]
async fn every_kind_of_content_arrives_whole() {
    for content in [String::new(), "x".into(), "a\n\n.\nb".into(), large()] {
        let octets = content.clone().into_bytes();
        let kinds: [Box<dyn Fn() -> Content + Send + Sync>; 5] = [
            Box::new({
                let octets = octets.clone();
                move || Content::Inline(octets.clone())
            }),
            Box::new({
                let octets = octets.clone();
                move || file(&octets, octets.len())
            }),
            Box::new({
                let octets = octets.clone();
                move || reader(pulls(&octets, 999))
            }),
            Box::new({
                let octets = octets.clone();
                move || reader(pulls(&octets, usize::MAX))
            }),
            Box::new(move || reader(pulls(&octets, 65_536))),
        ];
        let mut expected = on_the_wire(&content);
        if !expected.is_empty() && !expected.ends_with(b"\r\n") {
            expected.extend_from_slice(b"\r\n");
        }
        for kind in kinds {
            let world = world(&content);
            world.doctored.replace(0, move || Ok(kind()));
            let (mut client, _session) = world.logged_in().await;
            let status = client.ok("RETR 1").await;
            assert_eq!(status, format!("+OK {} octets", expected.len()));
            assert!(client.body().await == expected);
            client.ok("TOP 1 1000000").await;
            assert!(client.body().await == expected);
            client.ok("NOOP").await;
        }
    }
}

#[tokio::test]
async fn what_fails_before_ok_is_refused_and_nothing_more() {
    let good = large();
    let world = world(&good);
    let (mut client, _session) = world.logged_in().await;
    client.ok("DELE 2").await;
    client.ok("RSET").await;
    let refused = |content: Box<dyn Fn() -> Result<Content, Failure> + Send + Sync>| {
        world.doctored.replace(0, content);
    };

    refused(Box::new(|| Err(Failure::Permanent("gone for good".into()))));
    client.err("RETR 1", "[SYS/PERM] gone for good").await;
    client.err("TOP 1 0", "[SYS/PERM] gone for good").await;
    refused(Box::new(|| Ok(file(b"", LARGE))));
    client.err("RETR 1", "[SYS/TEMP]").await;
    client.err("TOP 1 0", "[SYS/TEMP]").await;
    // A small one, counted before anything is promised.
    refused(Box::new(|| Ok(file(b"x", 1))));
    client.err("RETR 1", "[SYS/TEMP]").await;
    refused(Box::new(|| Ok(Content::Inline(b"x".to_vec()))));
    client.err("RETR 1", "[SYS/TEMP]").await;
    refused(Box::new(|| Ok(reader(pulls(b"x", 1)))));
    client.err("RETR 1", "[SYS/TEMP]").await;
    // Large ones, of a length that cannot come to what is listed.
    let long = vec![b'x'; LARGE + LARGE / 16 + 1];
    refused(Box::new(move || Ok(file(&long, long.len()))));
    client.err("RETR 1", "[SYS/TEMP]").await;
    let short = vec![b'x'; LARGE / 2];
    refused(Box::new(move || Ok(Content::Inline(short.clone()))));
    client.err("RETR 1", "[SYS/TEMP]").await;
    // A reader that fails, or gives too much, at its first pull.
    refused(Box::new(|| {
        Ok(reader(Pulls {
            failure: Some(Failure::Temporary("later".into())),
            ..pulls(b"", 1)
        }))
    }));
    client.err("RETR 1", "[SYS/TEMP] later").await;
    refused(Box::new(|| {
        Ok(reader(Pulls {
            greedy: true,
            ..pulls(&[b'x'; 70_000], usize::MAX)
        }))
    }));
    client.err("RETR 1", "[SYS/TEMP]").await;

    assert_eq!(client.lines("RETR 2").await, "fine\r\n");
    client.ok("QUIT").await;
    assert_eq!(world.left(), ["m", "other"]);
}

/// Marks the other message, retrieves the first one and hears it break off.
async fn breaks_off(content: impl Fn() -> Content + Send + Sync + 'static) -> (Vec<u8>, BrokenOff) {
    let world = world(&large());
    world.doctored.replace(0, move || Ok(content()));
    let (mut client, session) = world.logged_in().await;
    client.ok("DELE 2").await;
    client.send("RETR 1\r\nQUIT\r\n").await;
    assert!(client.line().await.starts_with("+OK "));
    let received = client.rest().await;
    assert!(!received.ends_with(b"\r\n.\r\n"));
    assert!(!received.windows(5).any(|five| five == b"\r\n.\r\n"));
    assert_eq!(world.left(), ["m", "other"], "nothing is removed");
    assert_eq!(world.locks.held(), 0);
    match session.await.unwrap() {
        End::BrokenOff(why) => (received, why),
        end => panic!("{end}"),
    }
}

#[tokio::test]
async fn a_reader_that_fails_in_the_middle() {
    let half = large()[..LARGE / 2].to_owned();
    let expected = on_the_wire(&half);
    let (received, why) = breaks_off(move || {
        reader(Pulls {
            failure: Some(Failure::internal()),
            ..pulls(half.as_bytes(), 10_000)
        })
    })
    .await;
    assert!(matches!(why, BrokenOff::Content(ContentError::Reader(_))));
    assert!(received == expected, "what was there went out");
}

#[tokio::test]
async fn a_reader_that_gives_more_than_asked_for_in_the_middle() {
    struct Turning(usize);
    #[async_trait]
    impl ContentReader for Turning {
        async fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
            self.0 += 1;
            Ok(vec![b'x'; limit as usize + usize::from(self.0 > 2)])
        }
    }
    let (_, why) = breaks_off(|| Content::Reader(Box::new(Turning(0)))).await;
    let too_much = matches!(why, BrokenOff::Content(ContentError::TooMuch { .. }));
    assert!(too_much, "{why}");
}

#[tokio::test]
async fn a_reader_that_ends_early() {
    let half = large()[..LARGE / 2].to_owned();
    let (_, why) = breaks_off(move || reader(pulls(half.as_bytes(), 10_000))).await;
    assert!(matches!(why, BrokenOff::Octets { listed, actual } if actual < listed));
}

#[tokio::test]
async fn a_reader_that_never_ends() {
    struct Endless;
    #[async_trait]
    impl ContentReader for Endless {
        async fn read(&mut self, limit: u32) -> Result<Vec<u8>, Failure> {
            Ok(vec![b'x'; limit as usize])
        }
    }
    let (received, why) = breaks_off(|| Content::Reader(Box::new(Endless))).await;
    assert!(matches!(why, BrokenOff::Octets { listed, actual } if actual > listed));
    assert!(received.len() < LARGE + 4 * 65_536);
}

#[tokio::test]
async fn a_file_that_shrank() {
    let half = large()[..LARGE / 2].to_owned();
    let expected = on_the_wire(&half);
    let (received, why) = breaks_off(move || file(half.as_bytes(), LARGE)).await;
    assert!(matches!(
        why,
        BrokenOff::Content(ContentError::Shrank { .. })
    ));
    assert!(received == expected);
}

#[tokio::test]
async fn a_file_with_other_line_ends_than_listed() {
    // As long as before, but a line end less: one octet less on the wire.
    let mut other = large().into_bytes();
    let last_line_end = other.len() - 17;
    assert_eq!(other[last_line_end], b'\n');
    other[last_line_end] = b'x';
    let (_, why) = breaks_off(move || file(&other, LARGE)).await;
    assert!(matches!(why, BrokenOff::Octets { listed, actual } if actual + 1 == listed));
}

#[tokio::test]
async fn top_reads_no_further_than_it_has_to() {
    let content = large();
    let world = world(&content);
    // Fails at the second pull; the header is in the first.
    let start = content[..20_000].to_owned();
    world.doctored.replace(0, move || {
        Ok(reader(Pulls {
            failure: Some(Failure::internal()),
            ..pulls(start.replacen('\n', "\n\n", 1).as_bytes(), 20_001)
        }))
    });
    let (mut client, _session) = world.logged_in().await;
    assert_eq!(
        client.lines("TOP 1 1").await,
        "0123456789abcde\r\n\r\n0123456789abcde\r\n"
    );
    client.ok("NOOP").await;
}

#[tokio::test]
async fn answers_do_not_wait_for_a_slow_store() {
    struct Slow(Arc<Notify>);
    #[async_trait]
    impl ContentReader for Slow {
        async fn read(&mut self, _limit: u32) -> Result<Vec<u8>, Failure> {
            self.0.notified().await;
            Ok(Vec::new())
        }
    }
    let world = world("");
    let go_on = Arc::new(Notify::new());
    let waits_for = Arc::clone(&go_on);
    world.doctored.replace(0, move || {
        Ok(Content::Reader(Box::new(Slow(Arc::clone(&waits_for)))))
    });
    let (mut client, _session) = world.logged_in().await;
    client.send("STAT\r\nRETR 1\r\nNOOP\r\n").await;
    assert_eq!(client.line().await, "+OK 2 6");
    go_on.notify_one();
    assert_eq!(client.line().await, "+OK 0 octets");
    assert_eq!(client.body().await, b"");
    assert!(client.line().await.starts_with("+OK"));
}
