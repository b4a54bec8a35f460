use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex as StdMutex;

use restante_pop3::Scales;
use tokio::sync::Mutex;

use super::message::StoredMessage;
use super::*;
use crate::tenant::Tenant;
use restante_roles::address::Client;
use restante_roles::backend::{Attributes, Authenticator, Message, Screener, Span, Store, Verdict};
use restante_roles::memory::{Mail, Memory};
use restante_roles::validate::{
    ANNOTATION_FIELD_OCTETS, ANNOTATION_FIELDS, HEADER_OCTETS, READ_OCTETS,
};
use restante_roles::work::WorkHold;

const MAILDROP: &str = "m";

/// Three messages: one with LF line ends, one with CRLF, one without a body.
fn memory() -> Arc<Memory> {
    let memory = Arc::new(Memory::new());
    for (unique_id, content) in [
        ("a", "Subject: one\n\nbody\n"),
        ("b", "Subject: two\r\n\r\nbody\r\n"),
        ("c", "Subject: three\n"),
    ] {
        let mail = Mail {
            unique_id: unique_id.into(),
            received: 7,
            content: content.as_bytes().into(),
        };
        memory.deliver(MAILDROP, mail);
    }
    memory
}

struct Spans(Vec<Span>);

#[async_trait]
impl Selector for Spans {
    fn name(&self) -> &str {
        "spans"
    }

    async fn select(
        &self,
        _connection: &Arc<Connection>,
        _account: &Account,
        _entries: &Arc<Entries>,
    ) -> Result<Vec<Span>, Failure> {
        Ok(self.0.clone())
    }
}

/// Says of each message what its unique-id stands beside, else "show".
#[derive(Default)]
struct Verdicter {
    identity: &'static str,
    verdicts: Vec<(&'static str, Result<Verdict, Failure>)>,
    asked: Arc<StdMutex<Vec<String>>>,
    screeners: AtomicUsize,
}

#[async_trait]
impl Filter for Verdicter {
    fn name(&self) -> &str {
        self.identity
    }

    fn identity(&self) -> &str {
        self.identity
    }

    async fn screener(
        &self,
        _connection: &Arc<Connection>,
        _account: &Account,
    ) -> Result<Box<dyn Screener>, Failure> {
        self.screeners.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(VerdicterAtWork {
            verdicts: self.verdicts.clone(),
            asked: Arc::clone(&self.asked),
        }))
    }
}

struct VerdicterAtWork {
    verdicts: Vec<(&'static str, Result<Verdict, Failure>)>,
    asked: Arc<StdMutex<Vec<String>>>,
}

#[async_trait]
impl Screener for VerdicterAtWork {
    async fn screen(&mut self, message: Arc<dyn Message>) -> Result<Verdict, Failure> {
        let unique_id = message.unique_id();
        self.asked.lock().push(unique_id.to_owned());
        let verdict = self.verdicts.iter().find(|(id, _)| *id == unique_id);
        verdict.map_or(Ok(Verdict::Show), |(_, verdict)| verdict.clone())
    }
}

impl Verdicter {
    fn new(identity: &'static str, verdicts: &[(&'static str, Result<Verdict, Failure>)]) -> Self {
        Verdicter {
            identity,
            verdicts: verdicts.to_vec(),
            ..Verdicter::default()
        }
    }

    /// The unique-ids that it was asked about since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock())
    }
}

fn annotate(fields: &[&str]) -> Result<Verdict, Failure> {
    Ok(Verdict::Annotate(
        fields.iter().map(|&field| field.to_owned()).collect(),
    ))
}

struct World {
    memory: Arc<Memory>,
    tenant: Tenant,
    verdicts: Arc<Verdicts>,
}

impl World {
    fn new(selectors: Vec<Arc<dyn Selector>>, filters: Vec<Arc<dyn Filter>>) -> Self {
        let memory = memory();
        let authenticators = vec![Arc::clone(&memory) as Arc<dyn Authenticator>];
        let tenant = Tenant {
            selectors,
            filters,
            ..Tenant::new("t", authenticators, Arc::clone(&memory) as Arc<dyn Store>)
        };
        World {
            memory,
            tenant,
            verdicts: Arc::new(Verdicts::default()),
        }
    }

    async fn view(&self) -> Result<View, Failure> {
        self.view_of(Octets::Stored).await
    }

    async fn view_of(&self, octets: Octets) -> Result<View, Failure> {
        let connection = Arc::new(Connection {
            session: "s".into(),
            ledger: restante_roles::metrics::Ledger::new("t"),
            tenant: self.tenant.name.clone(),
            listener: "l".into(),
            client: Client::at(([127, 0, 0, 1], 1).into()),
            penalised: false,
            tls: None,
            recording: None,
            hold: WorkHold::default(),
        });
        let account = Account {
            user: "u".into(),
            maildrop: MAILDROP.into(),
            attributes: Attributes::default(),
        };
        let maildrop = self
            .memory
            .find(&connection, &account)
            .await?
            .open()
            .await?;
        let maildrop = Arc::new(Mutex::new(maildrop));
        View::new(
            &self.tenant.view_policy(),
            &connection,
            &account,
            &maildrop,
            &self.verdicts,
            octets,
        )
        .await
    }
}

fn shown(view: &View) -> Vec<(usize, String, u64)> {
    let listing = view.listing();
    (0..listing.len())
        .map(|visible| {
            let unique_id = listing.unique_id(visible).to_owned();
            (
                view.store_position(visible),
                unique_id,
                listing.octets(visible),
            )
        })
        .collect()
}

fn filters(verdicters: &[&Arc<Verdicter>]) -> Vec<Arc<dyn Filter>> {
    verdicters
        .iter()
        .map(|&verdicter| Arc::clone(verdicter) as Arc<dyn Filter>)
        .collect()
}

#[tokio::test]
async fn without_policy_the_stores_listing_is_shared() {
    let view = World::new(Vec::new(), Vec::new()).view().await.unwrap();
    assert_eq!(
        shown(&view),
        [
            (0, "a".into(), 22),
            (1, "b".into(), 22),
            (2, "c".into(), 16)
        ]
    );
    assert!(view.positions.is_none());
    let nothing = Arc::new(Verdicter::new("f", &[]));
    let view = World::new(Vec::new(), filters(&[&nothing])).view().await;
    assert!(view.unwrap().positions.is_none());
}

#[tokio::test]
async fn selectors_hide_together() {
    let span = |start, length| Span { start, length };
    let selectors: Vec<Arc<dyn Selector>> = vec![
        Arc::new(Spans(vec![span(0, 1), span(1, 0)])),
        Arc::new(Spans(vec![span(2, 1)])),
    ];
    let asked = Arc::new(Verdicter::new("f", &[]));
    let world = World::new(selectors, filters(&[&asked]));
    let view = world.view().await.unwrap();
    assert_eq!(shown(&view), [(1, "b".into(), 22)]);
    assert_eq!(asked.asked(), ["b"], "what is hidden is not screened");
}

#[tokio::test]
async fn a_selector_that_lies_refuses_the_login() {
    let span = |start, length| Span { start, length };
    for spans in [
        vec![span(2, 2)],
        vec![span(3, 1)],
        vec![span(u32::MAX, u32::MAX)],
        vec![span(1, 1), span(0, 1)],
        vec![span(0, 2), span(1, 1)],
    ] {
        let selectors: Vec<Arc<dyn Selector>> = vec![Arc::new(Spans(spans))];
        let view = World::new(selectors, Vec::new()).view().await;
        assert_eq!(view.unwrap_err(), Failure::internal());
    }
}

#[tokio::test]
async fn filters_in_their_order() {
    let first = Arc::new(Verdicter::new(
        "first",
        &[
            ("a", Ok(Verdict::Hide)),
            ("b", annotate(&["X-First: 1", "X-More: 2"])),
        ],
    ));
    let second = Arc::new(Verdicter::new(
        "second",
        &[("b", annotate(&["X-Second: 3"])), ("c", annotate(&[]))],
    ));
    let world = World::new(Vec::new(), filters(&[&first, &second]));
    let view = world.view().await.unwrap();
    let fields = b"X-First: 1\r\nX-More: 2\r\nX-Second: 3\r\n";
    let octets = 22 + fields.len() as u64;
    assert_eq!(shown(&view), [(1, "b".into(), octets), (2, "c".into(), 16)]);
    assert_eq!(view.annotation(0), fields);
    assert_eq!(view.annotation(1), b"");
    assert_eq!(first.asked(), ["a", "b", "c"]);
    assert_eq!(second.asked(), ["b", "c"]);
}

#[tokio::test]
async fn what_is_annotated_and_then_hidden_leaves_nothing() {
    let first = Arc::new(Verdicter::new("first", &[("a", annotate(&["X: 1"]))]));
    let second = Arc::new(Verdicter::new("second", &[("a", Ok(Verdict::Hide))]));
    let world = World::new(Vec::new(), filters(&[&first, &second]));
    let view = world.view().await.unwrap();
    assert_eq!(shown(&view), [(1, "b".into(), 22), (2, "c".into(), 16)]);
    assert_eq!(view.annotation(0), b"");
}

#[tokio::test]
async fn verdicts_are_remembered_across_logins() {
    let filter = Arc::new(Verdicter::new("f", &[("b", Ok(Verdict::Hide))]));
    let world = World::new(Vec::new(), filters(&[&filter]));
    let first = shown(&world.view().await.unwrap());
    assert_eq!(filter.asked().len(), 3);
    assert_eq!(shown(&world.view().await.unwrap()), first);
    assert!(filter.asked().is_empty());
    assert_eq!(filter.screeners.load(Ordering::Relaxed), 1);
    let mail = Mail {
        unique_id: "d".into(),
        received: 0,
        content: b"".as_slice().into(),
    };
    world.memory.deliver(MAILDROP, mail);
    world.view().await.unwrap();
    assert_eq!(filter.asked(), ["d"]);
}

#[tokio::test]
async fn a_filter_that_fails_refuses_the_login_and_what_it_said_before_is_kept() {
    let filter = Arc::new(Verdicter::new("f", &[("c", Err(Failure::LoginDelay(9)))]));
    let world = World::new(Vec::new(), filters(&[&filter]));
    assert_eq!(world.view().await.unwrap_err(), Failure::LoginDelay(9));
    assert_eq!(filter.asked(), ["a", "b", "c"]);
    assert_eq!(world.view().await.unwrap_err(), Failure::LoginDelay(9));
    assert_eq!(filter.asked(), ["c"]);
}

#[tokio::test]
async fn annotations_are_header_fields_or_lies() {
    let long = format!("X: {}", "y".repeat(ANNOTATION_FIELD_OCTETS - 3));
    let too_long = format!("{long}y");
    let many = vec!["X: y"; ANNOTATION_FIELDS];
    let too_many = vec!["X: y"; ANNOTATION_FIELDS + 1];
    let good: [&[&str]; 5] = [
        &["X:"],
        &["X-Spam.Score: 5\t(high)"],
        &["!~: y"],
        &[&long],
        &many,
    ];
    for fields in good {
        let filter = Arc::new(Verdicter::new("f", &[("a", annotate(fields))]));
        let world = World::new(Vec::new(), filters(&[&filter]));
        assert!(world.view().await.is_ok(), "{fields:?}");
    }
    let bad: [&[&str]; 12] = [
        &[""],
        &["X"],
        &[": y"],
        &["X : y"],
        &["X y: z"],
        &["X\u{e4}: y"],
        &["X: \u{e4}"],
        &["X: y\r\nBcc: z"],
        &["X: y\n"],
        &["X: \0"],
        &[&too_long],
        &too_many,
    ];
    for fields in bad {
        let filter = Arc::new(Verdicter::new("f", &[("a", annotate(fields))]));
        let world = World::new(Vec::new(), filters(&[&filter]));
        assert_eq!(
            world.view().await.unwrap_err(),
            Failure::internal(),
            "{fields:?}"
        );
    }
}

/// Answers what it reads of every message.
#[derive(Default)]
struct Reads {
    headers: Arc<StdMutex<Vec<Vec<u8>>>>,
    parts: Arc<StdMutex<Vec<Vec<u8>>>>,
}

#[async_trait]
impl Filter for Reads {
    fn name(&self) -> &str {
        "reads"
    }

    fn identity(&self) -> &str {
        "reads"
    }

    async fn screener(
        &self,
        _connection: &Arc<Connection>,
        _account: &Account,
    ) -> Result<Box<dyn Screener>, Failure> {
        Ok(Box::new(Reads {
            headers: Arc::clone(&self.headers),
            parts: Arc::clone(&self.parts),
        }))
    }
}

#[async_trait]
impl Screener for Reads {
    async fn screen(&mut self, message: Arc<dyn Message>) -> Result<Verdict, Failure> {
        assert_eq!(message.received(), 7);
        let header = message.header().await?;
        self.headers.lock().push(header);
        let middle = message.read(5, 10).await?;
        let start = message.read(0, 3).await?;
        let end = message.read(message.octets() - 3, 100).await?;
        let behind = message.read(message.octets(), 100).await?;
        let far = message.read(u64::MAX, u32::MAX).await?;
        assert!(behind.is_empty() && far.is_empty());
        let parts = [start, middle, end].join(&b'|');
        self.parts.lock().push(parts);
        Ok(Verdict::Show)
    }
}

#[tokio::test]
async fn a_filter_reads_what_the_client_would() {
    let filter = Arc::new(Reads::default());
    let world = World::new(Vec::new(), vec![Arc::clone(&filter) as Arc<dyn Filter>]);
    world.view().await.unwrap();
    let headers = filter.headers.lock().clone();
    let expected: [&[u8]; 3] = [
        b"Subject: one\r\n",
        b"Subject: two\r\n",
        b"Subject: three\r\n",
    ];
    assert_eq!(headers, expected);
    let parts = filter.parts.lock().clone();
    let expected: [&[u8]; 3] = [
        b"Sub|ct: one\r\n\r|y\r\n",
        b"Sub|ct: two\r\n\r|y\r\n",
        b"Sub|ct: three\r|e\r\n",
    ];
    assert_eq!(parts, expected);
}

#[tokio::test]
async fn a_client_without_utf8_is_shown_the_octets_of_surrogates() {
    let filters = || {
        let fields = annotate(&["X-Seen: yes"]);
        let verdicter = Verdicter::new("1", &[("a", Ok(Verdict::Hide)), ("u", fields)]);
        vec![Arc::new(verdicter) as Arc<dyn Filter>]
    };
    let content = "Subject: Gr\u{fc}\u{df}e\n\nbody\n".as_bytes();
    let weight = Scales::weigh(content);
    assert_ne!(weight.octets, weight.surrogate);
    for (filters, added, at) in [(Vec::new(), 0, 3), (filters(), "X-Seen: yes\r\n".len(), 2)] {
        let world = World::new(Vec::new(), filters);
        let mail = Mail {
            unique_id: "u".into(),
            received: 7,
            content: content.into(),
        };
        world.memory.deliver(MAILDROP, mail);
        let stored = world.view_of(Octets::Stored).await.unwrap();
        let surrogates = world.view_of(Octets::Surrogates).await.unwrap();
        assert_eq!(stored.listing().octets(at), weight.octets + added as u64);
        assert_eq!(
            surrogates.listing().octets(at),
            weight.surrogate + added as u64
        );
        for view in [&stored, &surrogates] {
            assert_eq!(view.stored_octets(at), weight.octets);
            assert_eq!(view.listing().octets(0), stored.listing().octets(0));
        }
        let growth = weight.surrogate - weight.octets;
        assert_eq!(
            surrogates.listing().total_octets(),
            stored.listing().total_octets() + growth
        );
    }
}

#[tokio::test]
async fn a_large_message_is_read_in_windows() {
    let world = World::new(Vec::new(), Vec::new());
    let mut content = b"A: ".to_vec();
    content.resize(2 * HEADER_OCTETS, b'x');
    content.extend_from_slice(b"\n\nbody\n");
    let mut expected = content.clone();
    expected.truncate(2 * HEADER_OCTETS);
    expected.extend_from_slice(b"\r\n\r\nbody\r\n");
    let mail = Mail {
        unique_id: "large".into(),
        received: 7,
        content: content.into(),
    };
    world.memory.deliver("large", mail);
    let connection = Arc::new(Connection {
        session: "s".into(),
        ledger: restante_roles::metrics::Ledger::new("t"),
        tenant: "t".into(),
        listener: "l".into(),
        client: Client::at(([127, 0, 0, 1], 1).into()),
        penalised: false,
        tls: None,
        recording: None,
        hold: WorkHold::default(),
    });
    let account = Account {
        user: "u".into(),
        maildrop: "large".into(),
        attributes: Attributes::default(),
    };
    let found = world.memory.find(&connection, &account).await.unwrap();
    let mut maildrop = found.open().await.unwrap();
    let entries = maildrop.listing().await.unwrap();
    let maildrop: OpenMaildrop = Arc::new(Mutex::new(maildrop));
    let message = StoredMessage::new(&maildrop, &entries, 0);
    assert_eq!(message.octets(), expected.len() as u64);
    assert!(message.header().await.unwrap() == expected[..HEADER_OCTETS]);
    let mut all = Vec::new();
    loop {
        let part = message.read(all.len() as u64, 1 << 20).await.unwrap();
        assert!(part.len() <= READ_OCTETS as usize);
        if part.is_empty() {
            break;
        }
        all.extend_from_slice(&part);
    }
    assert!(all == expected);
    assert!(message.read(1, 2).await.unwrap() == expected[1..3]);
    let late = StoredMessage::new(&maildrop, &entries, 0);
    drop(maildrop);
    assert!(late.read(0, 1).await.is_err(), "the session is over");
}
