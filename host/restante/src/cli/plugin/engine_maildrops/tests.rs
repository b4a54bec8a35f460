//! The conformance kit over an engine in memory, with stores that need no sandbox: one that is
//! right, and some that are wrong.

use std::sync::OnceLock;

use restante_conformance as kit;
use restante_conformance::{CheckResult, Maildrops, Outcome};
use restante_engine::{Entries as Rows, Folder, Hold, Problem, Token, blob_of_maildrop};
use restante_pop3::Listing;
use restante_roles::backend::{
    Account, Attributes, Connection, Content, Entries, Failure, FoundMaildrop, Maildrop, Store,
};
use restante_roles::metrics::Ledger;
use restante_roles::shared_holds::{NotHeld, SharedHold, SharedHolds};
use restante_roles::work::WorkHold;
use restante_wasm::{EngineAccess, MailEngine};

use super::*;

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It removes the message after the first that was named too.
    RemovesOneMore,
    /// Its sessions do not hold their maildrops.
    HoldsNothing,
    /// It shows all accounts of a tenant the maildrop that the first of them has.
    ShowsAnothers,
}

struct Fake {
    engine: Arc<MemoryEngine>,
    fault: Fault,
    /// By tenant, the maildrop that was asked for first.
    first: Mutex<HashMap<String, Folder>>,
}

impl Fake {
    fn new(engine: &Arc<MemoryEngine>, fault: Fault) -> Arc<Fake> {
        Arc::new(Fake {
            engine: engine.clone(),
            fault,
            first: Mutex::default(),
        })
    }
}

fn failed(problem: Problem) -> Failure {
    Failure::Temporary(problem.to_string())
}

#[async_trait]
impl Store for Fake {
    async fn find(
        &self,
        connection: &Arc<Connection>,
        account: &Account,
    ) -> Result<Box<dyn FoundMaildrop>, Failure> {
        let own = Folder::new(&connection.tenant, &account.maildrop, "").map_err(failed)?;
        let folder = match self.fault {
            Fault::ShowsAnothers => {
                let mut first = self.first.lock();
                let tenant = connection.tenant.clone();
                first.entry(tenant).or_insert(own).clone()
            }
            _ => own,
        };
        Ok(Box::new(Session {
            engine: self.engine.clone(),
            fault: self.fault,
            folder,
            holding: Arc::new(Holding {
                engine: self.engine.clone(),
                hold: OnceLock::new(),
            }),
            rows: Rows::default(),
        }))
    }
}

#[derive(Debug)]
struct Holding {
    engine: Arc<MemoryEngine>,
    hold: OnceLock<Hold>,
}

#[async_trait]
impl SharedHolds for Holding {
    async fn acquire(&self, key: &str) -> Result<Box<dyn SharedHold>, NotHeld> {
        let taken = self.engine.hold(key, &[], None).await?;
        let _ = self.hold.set(taken.hold);
        Ok(taken.held)
    }
}

struct Session {
    engine: Arc<MemoryEngine>,
    fault: Fault,
    folder: Folder,
    holding: Arc<Holding>,
    rows: Rows,
}

impl Session {
    async fn mail(&self) -> Result<MailEngine, Failure> {
        self.engine.open().await.map_err(failed)
    }
}

#[async_trait]
impl FoundMaildrop for Session {
    fn lock_key(&self) -> &str {
        self.folder.maildrop()
    }

    fn shared_key(&self) -> Result<String, Failure> {
        Ok(self.folder.maildrop().to_owned())
    }

    fn holds(&self) -> Option<Arc<dyn SharedHolds>> {
        match self.fault {
            Fault::HoldsNothing => None,
            _ => Some(self.holding.clone()),
        }
    }

    async fn open(self: Box<Self>) -> Result<Box<dyn Maildrop>, Failure> {
        let open: Box<dyn Maildrop> = self;
        Ok(open)
    }
}

/// Texts with a NUL after each.
fn unpacked(packed: &str) -> Vec<String> {
    packed.split_terminator('\0').map(str::to_owned).collect()
}

#[async_trait]
impl Maildrop for Session {
    async fn listing(&mut self) -> Result<Arc<Entries>, Failure> {
        let mail = self.mail().await?;
        self.rows = mail.index.read(&self.folder).await.map_err(failed)?;
        let ids = unpacked(&self.rows.unique_ids);
        let mut surrogates = self.rows.octets.clone();
        for (position, octets) in &self.rows.surrogates {
            surrogates[*position as usize] = *octets;
        }
        let listing = |octets: &[u64]| {
            let ids = ids.iter().map(String::as_str);
            Arc::new(Listing::new(ids.zip(octets.iter().copied())).unwrap())
        };
        Ok(Arc::new(Entries {
            listing: listing(&self.rows.octets),
            surrogates: listing(&surrogates),
            received: self.rows.received.clone(),
        }))
    }

    async fn content(&mut self, position: usize) -> Result<Content, Failure> {
        let (tenant, maildrop) = (self.folder.tenant(), self.folder.maildrop());
        let names = unpacked(&self.rows.names);
        let path = blob_of_maildrop(tenant, maildrop, &names[position]).map_err(failed)?;
        let mail = self.mail().await?;
        let opened = mail.blobs.open(&path, 0, None).await.map_err(failed)?;
        let mut blob = opened.unwrap();
        let mut octets = Vec::new();
        while (octets.len() as u64) < blob.octets() {
            octets.extend_from_slice(&blob.read(65_536).await.map_err(failed)?);
        }
        Ok(Content::Inline(octets))
    }

    async fn remove(&mut self, positions: &[usize]) -> Result<(), Failure> {
        let ids = unpacked(&self.rows.unique_ids);
        let mut positions = positions.to_vec();
        if let (Fault::RemovesOneMore, Some(first)) = (self.fault, positions.first().copied())
            && first + 1 < ids.len()
        {
            positions.push(first + 1);
        }
        positions.sort_unstable();
        positions.dedup();
        let named: Vec<String> = positions.iter().map(|at| ids[*at].clone()).collect();
        // What is made up is in force nowhere.
        let hold = self.holding.hold.get().cloned().unwrap_or(Hold {
            key: String::new(),
            token: Token([0; 16]),
            fence: 0,
        });
        let mail = self.mail().await?;
        let removed = mail.index.remove(&self.folder, &named, &hold).await;
        removed.map_err(failed)
    }
}

/// An engine, copies in it of the kit's own messages, and the folder of their files.
fn bench() -> (tempfile::TempDir, Arc<MemoryEngine>, EngineMaildrops) {
    let folder = tempfile::tempdir().unwrap();
    let sample = Maildrops::sample(folder.path(), folder.path().join("none")).unwrap();
    let engine = MemoryEngine::new();
    let maildrops = EngineMaildrops::new(engine.clone(), sample.source().to_owned());
    (folder, engine, maildrops)
}

/// What the kit says of a store with this fault.
async fn examined(fault: Fault) -> Vec<Outcome> {
    let (_folder, engine, maildrops) = bench();
    let candidate = kit::Candidate {
        authenticator: None,
        store: Some(Fake::new(&engine, fault)),
        filter: None,
        selector: None,
        admission: None,
        user: None,
        maildrops: Arc::new(maildrops),
    };
    let take_log = || Vec::<String>::new();
    kit::examine(&candidate, &take_log, &mut |_: &Outcome| {}).await
}

fn of<'a>(outcomes: &'a [Outcome], check: &str) -> &'a CheckResult {
    let outcome = outcomes.iter().find(|outcome| outcome.check == check);
    &outcome.unwrap_or_else(|| panic!("no check {check}")).result
}

/// What came of a check that failed.
fn got<'a>(outcomes: &'a [Outcome], check: &str) -> &'a str {
    match of(outcomes, check) {
        CheckResult::Failed { got, .. } => got,
        other => panic!("{check}: {other:?}"),
    }
}

#[tokio::test]
async fn a_store_over_an_engine_keeps_every_rule() {
    let outcomes = examined(Fault::None).await;
    for outcome in &outcomes {
        let expected = match outcome.check {
            "readers, piece by piece" => CheckResult::Skipped {
                why: "its messages come from files or whole, not from readers".to_owned(),
            },
            _ => CheckResult::Passed,
        };
        assert_eq!(outcome.result, expected, "{}", outcome.check);
    }
    assert!(outcomes.len() > 10, "{outcomes:?}");
}

#[tokio::test]
async fn a_store_that_removes_too_much_from_an_engine_is_found() {
    let outcomes = examined(Fault::RemovesOneMore).await;
    let words = got(&outcomes, "what is named is removed");
    assert!(words.contains("messages afterwards instead of"), "{words}");
    let words = got(&outcomes, "broken off in the middle");
    assert!(words.contains("is gone, which was not named"), "{words}");
    assert_eq!(of(&outcomes, "the listing"), &CheckResult::Passed);
}

#[tokio::test]
async fn a_store_whose_sessions_hold_nothing_removes_nothing() {
    let outcomes = examined(Fault::HoldsNothing).await;
    for check in ["what is named is removed", "all are removed"] {
        let words = got(&outcomes, check);
        assert!(words.contains("is not held any more"), "{check}: {words}");
    }
}

/// The tenant of the copy is that of the session, so the host does not hide it.
#[tokio::test]
async fn a_store_that_shows_another_maildrop_of_an_engine_is_found() {
    let outcomes = examined(Fault::ShowsAnothers).await;
    let words = got(&outcomes, "paths, quotes, NUL, 8 bits in the account");
    assert!(words.contains("the mail of maildrop copy"), "{words}");
    assert_eq!(of(&outcomes, "the listing"), &CheckResult::Passed);
}

fn connection(copy: &MaildropCopy) -> Arc<Connection> {
    let tenant = copy.tenant.clone().unwrap();
    Arc::new(Connection {
        session: "test".into(),
        ledger: Ledger::new(&tenant),
        tenant,
        listener: "test".into(),
        client: restante_roles::address::Client::at(([192, 0, 2, 7], 54321).into()),
        penalised: false,
        tls: None,
        recording: None,
        hold: WorkHold::default(),
    })
}

fn account(copy: &MaildropCopy) -> Account {
    Account {
        user: "ada".into(),
        maildrop: copy.maildrop.clone(),
        attributes: Attributes::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_maildrop_of_an_engine_is_one_sessions_at_a_time() {
    let (_folder, engine, maildrops) = bench();
    let store = Fake::new(&engine, Fault::None);
    let copy = maildrops.fresh().await.unwrap();
    let account = account(&copy);
    let one = kit::open(&*store, &connection(&copy), &account).await;
    let one = one.ok().unwrap();
    let refused = kit::open(&*store, &connection(&copy), &account).await;
    match refused.err().unwrap() {
        Failure::InUse(text) => assert!(text.contains("kit"), "{text}"),
        other => panic!("{other}"),
    }
    drop(one);
    let next = kit::open(&*store, &connection(&copy), &account).await;
    assert!(next.is_ok());
}

#[tokio::test]
async fn copies_have_the_messages_oldest_first_and_take_no_room_when_they_are_discarded() {
    let folder = tempfile::tempdir().unwrap();
    let maildir = folder.path().join("mail");
    for (path, octets) in [
        ("new/1700000002.M1P1.a", &b"Subject: third\n\n"[..]),
        (
            "cur/1700000001.M2P1.a:2,S",
            b"Subject: Gr\xc3\xbc\xc3\x9fe\n\nsecond\n",
        ),
        ("cur/1699999999.M1P1.a:2,", b""),
        ("new/.hidden", b"no message"),
        ("tmp/1.M1P1.a", b"half a mess"),
    ] {
        let path = maildir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, octets).unwrap();
    }
    assert!(is_maildir(&maildir) && !is_maildir(folder.path()));
    let engine = MemoryEngine::new();
    let maildrops = EngineMaildrops::new(engine.clone(), maildir);
    let [one, other] = [maildrops.fresh().await, maildrops.fresh().await].map(Result::unwrap);
    let mail = engine.open().await.unwrap();
    let of = |copy: &MaildropCopy| {
        Folder::new(copy.tenant.as_ref().unwrap(), &copy.maildrop, "").unwrap()
    };
    for copy in [&one, &other] {
        let rows = mail.index.read(&of(copy)).await.unwrap();
        assert_eq!(rows.received, [1_699_999_999, 1_700_000_001, 1_700_000_002]);
        let weights = [
            &b""[..],
            b"Subject: Gr\xc3\xbc\xc3\x9fe\n\nsecond\n",
            b"Subject: third\n\n",
        ]
        .map(restante_pop3::Scales::weigh);
        assert_eq!(rows.octets, weights.map(|weight| weight.octets));
        assert_eq!(rows.surrogates, [(1, weights[1].surrogate)]);
    }
    let blob = |copy: &MaildropCopy| {
        let tenant = copy.tenant.as_ref().unwrap();
        blob_of_maildrop(tenant, &copy.maildrop, "messages/2").unwrap()
    };
    maildrops.discard(&one);
    let read = |copy: &MaildropCopy| {
        let (path, blobs) = (blob(copy), mail.blobs.clone());
        async move { blobs.read(&path, 0, 100).await.unwrap() }
    };
    assert_eq!(read(&one).await, None);
    assert_eq!(read(&other).await.unwrap(), "Subject: third\n\n");
    let left = mail.index.state(&of(&one)).await.unwrap();
    assert_eq!((left.version, left.messages), (0, 0));
    assert_eq!(mail.index.state(&of(&other)).await.unwrap().messages, 3);
}

#[test]
fn the_time_of_a_message_is_in_its_name_if_it_is_one() {
    for (name, time) in [
        ("1700000000.M1P1.host:2,S", Some(1_700_000_000)),
        ("0.x", Some(0)),
        ("18446744073709551615.x", None),
        ("message.eml", None),
        ("1700000000", None),
        (".1", None),
    ] {
        assert_eq!(named_time(name), time, "{name}");
    }
}
