//! Blobs as objects of a store, which may not do what it says.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use restante_engine::s3::{S3, S3Credentials, S3Settings};
use restante_engine::{BlobPath, Blobs, Problem, Removal};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::suite::BlobStore;
use restante_tests::{CREDENTIALS, Fault, Store, serve_objects};

fn settings(endpoint: &str) -> S3Settings {
    S3Settings {
        endpoint: endpoint.to_owned(),
        bucket: "bucket".to_owned(),
        region: "garage".to_owned(),
        credentials: S3Credentials::parse(CREDENTIALS).unwrap(),
        prefix: "mail/".to_owned(),
        authorities_file: None,
        reads_back: false,
    }
}

/// A store, and the client of it.
async fn serve(reads_back: bool) -> (S3, Arc<Store>) {
    let (address, store) = serve_objects(None).await;
    let settings = S3Settings {
        reads_back,
        ..settings(&format!("http://{address}"))
    };
    (S3::new(&settings).unwrap(), store)
}

pub(crate) async fn blobs() -> BlobStore {
    let (s3, store) = serve(true).await;
    BlobStore {
        blobs: Arc::new(s3),
        keep: Box::new(store),
    }
}

object_store_suite!(crate::s3::blobs);

fn path(path: &str) -> BlobPath {
    BlobPath::new(path).unwrap()
}

async fn write(s3: &S3, at: &str, octets: &'static [u8]) -> Result<(), Problem> {
    let mut writer = s3.create(&path(at), octets.len() as u64).await?;
    writer.write(Bytes::from_static(octets)).await?;
    writer.finish().await
}

fn unavailable<T>(told: Result<T, Problem>) -> String {
    match told {
        Err(Problem::Unavailable(text)) => {
            assert!(
                !text.contains("X-Amz") && !text.contains("hidden"),
                "{text}"
            );
            text
        }
        Err(problem) => panic!("{problem:?}"),
        Ok(_) => panic!("it was done"),
    }
}

#[tokio::test]
async fn a_failure_of_a_read_gets_one_try_more() {
    let (s3, store) = serve(false).await;
    write(&s3, "a", b"mail").await.unwrap();
    for fault in [
        Fault::Answer(500, "InternalError"),
        Fault::Answer(503, "SlowDown"),
        Fault::Close,
        Fault::Cut,
        Fault::Hang,
    ] {
        store.fail(fault, 1);
        let read = s3.read(&path("a"), 0, 10).await;
        assert_eq!(read, Ok(Some(Bytes::from_static(b"mail"))), "{fault:?}");
        store.fail(fault, 2);
        let text = unavailable(s3.read(&path("a"), 0, 10).await);
        assert!(text.contains("/bucket/: blob \"a\": "), "{text}");
        if let Fault::Answer(status, code) = fault {
            assert!(
                text.contains(&format!("it answers {status} {code}")),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn octets_of_another_range_or_number_are_never_told() {
    let (s3, store) = serve(false).await;
    write(&s3, "a", b"0123456789").await.unwrap();
    for (fault, offset, length) in [
        (Fault::Cut, 0, 10),
        (Fault::Cut, 4, 4),
        (Fault::IgnoreRange, 4, 4),
        (Fault::IgnoreRange, 0, 4),
        (Fault::WrongRange, 0, 4),
        (Fault::WrongRange, 9, 4),
    ] {
        store.fail(fault, 2);
        let read = s3.read(&path("a"), offset, length).await;
        match (&read, fault) {
            // The range behind the end has nothing, and says of how much.
            (Ok(Some(bytes)), Fault::WrongRange) if offset == 9 => assert!(bytes.is_empty()),
            _ => drop(unavailable(read)),
        }
        store.fail(fault, 0);
        assert!(s3.read(&path("a"), 0, 0).await.is_ok());
    }
    // All of it is what was asked for.
    store.fail(Fault::IgnoreRange, 1);
    let read = s3.read(&path("a"), 0, 10).await;
    assert_eq!(read, Ok(Some(Bytes::from_static(b"0123456789"))));
}

#[tokio::test]
async fn a_store_that_does_not_say_how_large_a_blob_is_is_asked() {
    let (s3, store) = serve(false).await;
    write(&s3, "a", b"mail").await.unwrap();
    let empty = s3.create(&path("empty"), 0).await.unwrap();
    empty.finish().await.unwrap();
    for fault in [Fault::NoTotal, Fault::OddRange] {
        for (at, offset) in [("a", 4), ("a", 5), ("empty", 0), ("empty", 1)] {
            store.fail(fault, 1);
            let read = s3.read(&path(at), offset, 9).await;
            assert_eq!(read, Ok(Some(Bytes::new())), "{fault:?} {at} {offset}");
        }
        store.fail(fault, 1);
        let opened = s3.open(&path("a"), 4, None).await;
        assert_eq!(opened.unwrap().unwrap().octets(), 0);
        store.fail(fault, 1);
        let beyond = s3.open(&path("a"), 5, None).await;
        assert!(matches!(beyond, Err(Problem::Invalid(_))));
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_blob_that_is_not_there() {
    let (s3, store) = serve(false).await;
    for _ in 0..2 {
        store.fail(Fault::Answer(404, "NoSuchBucket"), 2);
        let text = unavailable(s3.read(&path("a"), 0, 1).await);
        assert!(text.contains("there is no such bucket"), "{text}");
    }
    store.fail(Fault::Answer(404, "NoSuchBucket"), 1);
    assert_eq!(kept(&s3.remove(&[path("a")]).await.unwrap()), ["a"]);
    store.fail(Fault::Answer(404, "NoSuchKey"), 1);
    assert_eq!(s3.remove(&[path("a")]).await, Ok(Removal::default()));
    assert_eq!(s3.read(&path("a"), 0, 1).await, Ok(None));
}

/// A proxy in front of a store, or another program: it knows nothing of objects.
#[tokio::test]
async fn a_404_without_the_code_is_no_blob_that_is_not_there() {
    let (s3, store) = serve(false).await;
    write(&s3, "a", b"mail").await.unwrap();
    store.fail(Fault::Answer(404, ""), u32::MAX);
    for text in [
        unavailable(s3.read(&path("a"), 0, 1).await),
        unavailable(s3.probe().await),
    ] {
        assert!(text.contains("it answers 404"), "{text}");
        assert!(text.contains("at this endpoint"), "{text}");
    }
    assert_eq!(kept(&s3.remove(&[path("a")]).await.unwrap()), ["a"]);
    store.recover();
    assert!(s3.read(&path("a"), 0, 1).await.unwrap().is_some());
}

/// Whoever waits has one of the places that small messages need, too.
#[tokio::test]
async fn while_a_store_is_silent_one_request_at_a_time_waits_for_it() {
    const READS: usize = 10;
    let (s3, store) = serve(false).await;
    write(&s3, "a", b"mail").await.unwrap();
    store.fail(Fault::Hang, u32::MAX);
    let reads = async || {
        let mut reads = tokio::task::JoinSet::new();
        for _ in 0..READS {
            let s3 = s3.clone();
            reads.spawn(async move {
                let started = Instant::now();
                unavailable(s3.read(&path("a"), 0, 4).await);
                started.elapsed()
            });
        }
        let mut took = reads.join_all().await;
        took.sort();
        took
    };
    // Nothing was known of it yet: each waits for one attempt, and one of them for another.
    let took = reads().await;
    assert!(took[0] >= Duration::from_secs(2), "{took:?}");
    assert!(took[READS - 2] < Duration::from_secs(4), "{took:?}");
    let took = reads().await;
    assert!(took[READS - 2] < Duration::from_secs(1), "{took:?}");
    let asking = took[READS - 1];
    assert!(asking >= Duration::from_secs(2), "{took:?}");
    assert!(asking < Duration::from_secs(4), "{took:?}");
    // Neither is waited for by who writes or removes.
    let asking = tokio::spawn({
        let s3 = s3.clone();
        async move { s3.read(&path("a"), 0, 4).await }
    });
    while store.requests.lock().unwrap().len() < 1 + READS + 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let started = Instant::now();
    let text = unavailable(write(&s3, "b", b"mail").await);
    assert!(text.contains("a moment ago"), "{text}");
    assert_eq!(kept(&s3.remove(&[path("a")]).await.unwrap()), ["a"]);
    assert!(started.elapsed() < Duration::from_secs(1));
    unavailable(asking.await.unwrap());
    store.recover();
    let read = s3.read(&path("a"), 0, 4).await;
    assert_eq!(read, Ok(Some(Bytes::from_static(b"mail"))));
    write(&s3, "b", b"mail").await.unwrap();
}

#[tokio::test]
async fn a_write_that_is_refused_says_why_and_one_that_hangs_ends() {
    let (s3, store) = serve(false).await;
    for (status, code, remedy) in [
        (403, "SignatureDoesNotMatch", "see the credentials file"),
        (
            403,
            "RequestTimeTooSkewed",
            "the clocks of the store and of this machine differ",
        ),
        (503, "SlowDown", "it has too much to do"),
        (301, "PermanentRedirect", "another endpoint"),
        (507, "", "it answers 507"),
    ] {
        store.fail(Fault::Answer(status, code), 1);
        let text = unavailable(write(&s3, "a", b"mail").await);
        assert!(text.contains(remedy), "{text}");
    }
    store.fail(Fault::Close, 1);
    unavailable(write(&s3, "a", b"mail").await);
    assert_eq!(s3.read(&path("a"), 0, 1).await, Ok(None));
    // Not the store's answer is waited for, but room for more octets.
    store.fail(Fault::Hang, 1);
    let large: Bytes = vec![0; 1 << 20].into();
    let mut writer = s3.create(&path("large"), 64 << 20).await.unwrap();
    let started = Instant::now();
    let mut told = Ok(());
    for _ in 0..64 {
        told = writer.write(large.clone()).await;
        if told.is_err() {
            break;
        }
    }
    let text = unavailable(told);
    assert!(text.contains("it takes no octets in time"), "{text}");
    assert!(started.elapsed() >= Duration::from_secs(5));
    for _ in 0..2 {
        let again = writer.write(large.clone()).await;
        assert!(matches!(again, Err(Problem::Invalid(_))), "{again:?}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_and_is_not_there_is_found_out_if_it_is_read_back() {
    for fault in [Fault::Lose, Fault::Corrupt] {
        let (s3, store) = serve(false).await;
        store.fail(fault, 1);
        assert_eq!(write(&s3, "a", b"mail").await, Ok(()), "{fault:?}");
        let (s3, store) = serve(true).await;
        store.fail(fault, 1);
        let text = unavailable(write(&s3, "a", b"mail").await);
        assert!(text.contains("acknowledged what is not there"), "{text}");
        assert_eq!(write(&s3, "b", b"mail").await, Ok(()));
    }
}

#[tokio::test]
async fn keys_have_the_prefix_and_a_hash_first_and_no_blob_changes_another() {
    let (s3, store) = serve(false).await;
    for at in ["a", "b/c d", "b/%2F"] {
        write(&s3, at, b"mail").await.unwrap();
    }
    let mut keys: Vec<String> = store.objects.lock().unwrap().keys().cloned().collect();
    keys.sort();
    // SHA-256 by sha256sum.
    assert_eq!(keys, KEYS);
    s3.remove(&[path("a")]).await.unwrap();
    assert_eq!(store.objects.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn many_writers_that_wait_leave_places_for_readers_in_time() {
    let (s3, _store) = serve(false).await;
    write(&s3, "a", b"mail").await.unwrap();
    let mut writers = Vec::new();
    for number in 0..restante_engine::MAX_CONNECTIONS {
        writers.push(s3.create(&path(&format!("w{number}")), 4).await.unwrap());
    }
    let text = unavailable(s3.read(&path("a"), 0, 4).await);
    assert!(text.contains("it does not answer in time"), "{text}");
    drop(writers.pop());
    assert_eq!(
        s3.read(&path("a"), 0, 4).await,
        Ok(Some(Bytes::from_static(b"mail")))
    );
}

#[tokio::test]
async fn only_the_named_authorities_are_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let tls = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.unwrap().with_no_client_auth();
    let tls = tls
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (address, _store) = serve_objects(Some(TlsAcceptor::from(Arc::new(tls)))).await;
    let pem = directory.path().join("authorities.pem");
    std::fs::write(&pem, made.cert.pem()).unwrap();
    let other = directory.path().join("other.pem");
    let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();
    let with = |authorities: &Path| S3Settings {
        authorities_file: Some(authorities.to_owned()),
        ..settings(&format!("https://{address}"))
    };
    let s3 = S3::new(&with(&pem)).unwrap();
    write(&s3, "a", b"mail").await.unwrap();
    assert_eq!(
        s3.read(&path("a"), 0, 9).await,
        Ok(Some(Bytes::from_static(b"mail")))
    );
    let s3 = S3::new(&with(&other)).unwrap();
    unavailable(write(&s3, "b", b"mail").await);
    unavailable(s3.read(&path("a"), 0, 9).await);
    std::fs::write(&other, "no certificate").unwrap();
    for wrong in [&other, &directory.path().join("missing")] {
        let made = S3::new(&with(wrong));
        assert!(matches!(made, Err(Problem::Invalid(_))), "{made:?}");
    }
}

#[test]
fn settings_that_would_show_mail_or_lead_elsewhere_are_refused() {
    let good = settings("http://127.0.0.1:9000");
    S3::new(&good).unwrap();
    for endpoint in [
        "http://localhost:9",
        "http://[::1]:9",
        "https://example.com",
    ] {
        S3::new(&S3Settings {
            endpoint: endpoint.into(),
            ..good.clone()
        })
        .unwrap();
    }
    let endpoints = [
        "http://example.com",
        "http://127.0.0.1.example.com",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "example.com",
        "",
        "http://a:b@127.0.0.1",
        "http://[::ffff:127.0.0.1]:1/",
    ];
    let mut wrong: Vec<S3Settings> = Vec::new();
    wrong.extend(endpoints.map(|endpoint| S3Settings {
        endpoint: endpoint.into(),
        ..good.clone()
    }));
    for bucket in ["", "..", "a/b", "a?b", "ä"] {
        wrong.push(S3Settings {
            bucket: bucket.into(),
            ..good.clone()
        });
    }
    for prefix in ["/", "/a", "a//", "../", "a/../"] {
        wrong.push(S3Settings {
            prefix: prefix.into(),
            ..good.clone()
        });
    }
    for settings in wrong {
        let made = S3::new(&settings);
        assert!(
            matches!(made, Err(Problem::Invalid(_))),
            "{settings:?}: {made:?}"
        );
    }
}

const KEYS: [&str; 3] = [
    "/bucket/mail/14/b/%252F",
    "/bucket/mail/25/b/c%20d",
    "/bucket/mail/ca/a",
];

fn kept(removal: &Removal) -> Vec<&str> {
    removal.kept.iter().map(|(path, _)| path.as_str()).collect()
}

#[tokio::test]
async fn an_object_that_cannot_be_removed_keeps_no_other_from_being_removed() {
    let (s3, store) = serve(false).await;
    let names = ["a", "b/c d", "b/%2F"];
    for at in names {
        write(&s3, at, b"mail").await.unwrap();
    }
    store.locked.lock().unwrap().insert(KEYS[1].to_owned());
    let removal = s3.remove(&names.map(path)).await.unwrap();
    assert_eq!(kept(&removal), ["b/c d"]);
    assert_eq!(removal.gave_up_after, None);
    let (_, problem) = &removal.kept[0];
    assert!(problem.to_string().contains("403"), "{problem}");
    let keys: Vec<String> = store.objects.lock().unwrap().keys().cloned().collect();
    assert_eq!(keys, [KEYS[1]]);
}

/// Each attempt may take seconds.
#[tokio::test]
async fn a_store_that_removes_nothing_is_given_up_and_all_is_kept() {
    let (s3, store) = serve(false).await;
    let paths: Vec<BlobPath> = (0..100).map(|number| path(&number.to_string())).collect();
    store.fail(Fault::Answer(500, "InternalError"), u32::MAX);
    let removal = s3.remove(&paths).await.unwrap();
    let mut kept: Vec<BlobPath> = removal.kept.into_iter().map(|(path, _)| path).collect();
    kept.sort();
    let mut all = paths.clone();
    all.sort();
    assert_eq!(kept, all);
    let asked = store.requests.lock().unwrap().len();
    assert!((8..16).contains(&asked), "{asked}");
    assert_eq!(removal.gave_up_after, Some(paths[asked - 1].clone()));
    store.recover();
    assert_eq!(s3.remove(&paths).await, Ok(Removal::default()));
}

#[tokio::test]
async fn a_probe_writes_nothing_and_says_what_to_do() {
    let (s3, store) = serve(false).await;
    assert_eq!(s3.probe().await, Ok(()));
    for (fault, remedy) in [
        (Fault::Answer(403, "AccessDenied"), "the credentials file"),
        (
            Fault::Answer(404, "NoSuchBucket"),
            "make it, or name another",
        ),
        (Fault::Close, "/bucket/"),
    ] {
        store.fail(fault, 2);
        let text = unavailable(s3.probe().await);
        assert!(text.contains(remedy), "{text}");
    }
    let requests = store.requests.lock().unwrap();
    assert!(requests.iter().all(|line| line.starts_with("GET ")));
}
