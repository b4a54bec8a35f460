//! Blobs in servers of others that speak S3's API: one that checks signatures, and one with ways of
//! its own, in the clear and under TLS.

use std::sync::Arc;

use bytes::Bytes;
use restante_engine::s3::{S3, S3Credentials, S3Settings};
use restante_engine::{BlobPath, Blobs, Problem};
use restante_tests::{Bucket, Certificate, S3Kind, S3Server};

use crate::suite::BlobStore;

fn settings(bucket: &Bucket) -> S3Settings {
    S3Settings {
        endpoint: bucket.endpoint.clone(),
        bucket: Bucket::NAME.to_owned(),
        region: Bucket::REGION.to_owned(),
        credentials: S3Credentials::parse(bucket.credentials).unwrap(),
        prefix: bucket.prefix.clone(),
        authorities_file: bucket.authority.clone(),
        reads_back: true,
    }
}

/// A part of the server's bucket that nobody else has.
fn part_of(kind: S3Kind) -> BlobStore {
    let server = S3Server::shared(kind, "an S3 server").unwrap();
    let s3 = S3::new(&settings(&server.bucket()));
    BlobStore {
        blobs: Arc::new(s3.unwrap()),
        keep: Box::new(()),
    }
}

mod s3s_fs {
    use restante_tests::{S3Kind, S3Server};

    use crate::suite::BlobStore;

    fn is_there(test: &str) -> bool {
        S3Server::is_there(S3Kind::S3sFs, test)
    }

    async fn blobs() -> BlobStore {
        super::part_of(S3Kind::S3sFs)
    }

    object_store_suite!(@with_short_names crate::s3_servers::s3s_fs::blobs, crate::s3_servers::s3s_fs::is_there);
}

mod s3rver {
    use restante_tests::{S3Kind, S3Server};

    use crate::suite::BlobStore;

    fn is_there(test: &str) -> bool {
        S3Server::is_there(S3Kind::S3rver, test)
    }

    async fn blobs() -> BlobStore {
        super::part_of(S3Kind::S3rver)
    }

    object_store_suite!(crate::s3_servers::s3rver::blobs, if crate::s3_servers::s3rver::is_there);
}

mod s3rver_tls {
    use restante_tests::{S3Kind, S3Server};

    use crate::suite::BlobStore;

    fn is_there(test: &str) -> bool {
        S3Server::is_there(S3Kind::S3rverTls, test)
    }

    async fn blobs() -> BlobStore {
        super::part_of(S3Kind::S3rverTls)
    }

    object_store_suite!(crate::s3_servers::s3rver_tls::blobs, if crate::s3_servers::s3rver_tls::is_there);
}

async fn write(s3: &S3, at: &BlobPath, octets: &'static [u8]) -> Result<(), Problem> {
    let mut writer = s3.create(at, octets.len() as u64).await?;
    writer.write(Bytes::from_static(octets)).await?;
    writer.finish().await
}

/// What is told of everything that such a client asks for.
async fn refused(settings: &S3Settings) -> Vec<String> {
    let s3 = S3::new(settings).unwrap();
    let path = BlobPath::new("a").unwrap();
    let removed = s3.remove(std::slice::from_ref(&path)).await;
    let kept = removed.unwrap().kept.into_iter();
    let kept: Vec<Problem> = kept.map(|(_, problem)| problem).collect();
    let asked = [
        s3.probe().await,
        s3.read(&path, 0, 9).await.map(drop),
        s3.open(&path, 0, None).await.map(drop),
        write(&s3, &path, b"mail").await,
    ];
    let problems = asked.into_iter().map(Result::unwrap_err).chain(kept);
    let told: Vec<String> = problems
        .map(|problem| match problem {
            Problem::Unavailable(text) => text,
            problem => panic!("{problem:?}"),
        })
        .collect();
    assert_eq!(told.len(), 5, "{told:?}");
    told
}

#[tokio::test]
async fn a_key_that_the_server_does_not_know_opens_nothing_and_is_not_told() {
    let test = "a_key_that_the_server_does_not_know_opens_nothing_and_is_not_told";
    let Some(server) = S3Server::shared(S3Kind::S3sFs, test) else {
        return;
    };
    let right = settings(&server.bucket());
    let s3 = S3::new(&right).unwrap();
    let path = BlobPath::new("a").unwrap();
    write(&s3, &path, b"there").await.unwrap();
    s3.probe().await.unwrap();
    for key in [
        "aws_access_key_id = KEY\naws_secret_access_key = guessed",
        "aws_access_key_id = GUESSED\naws_secret_access_key = hidden",
    ] {
        let wrong = S3Settings {
            credentials: S3Credentials::parse(key).unwrap(),
            ..right.clone()
        };
        for text in refused(&wrong).await {
            assert!(text.contains("see the credentials file"), "{text}");
            for secret in ["X-Amz", "guessed", "hidden"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
    let read = s3.read(&path, 0, 9).await;
    assert_eq!(read, Ok(Some(Bytes::from_static(b"there"))));
}

#[tokio::test]
async fn a_bucket_that_a_server_does_not_have_is_told() {
    let test = "a_bucket_that_a_server_does_not_have_is_told";
    let Some(server) = S3Server::shared(S3Kind::S3rver, test) else {
        return;
    };
    let missing = S3Settings {
        bucket: "missing".to_owned(),
        ..settings(&server.bucket())
    };
    for text in refused(&missing).await {
        assert!(text.contains("there is no such bucket"), "{text}");
    }
}

#[tokio::test]
async fn a_server_whose_certificate_is_of_a_stranger_gets_nothing() {
    let test = "a_server_whose_certificate_is_of_a_stranger_gets_nothing";
    let Some(server) = S3Server::shared(S3Kind::S3rverTls, test) else {
        return;
    };
    let bucket = server.bucket();
    let directory = tempfile::tempdir().unwrap();
    let stranger = Certificate::create(directory.path());
    let distrustful = S3Settings {
        authorities_file: Some(stranger.authority),
        ..settings(&bucket)
    };
    refused(&distrustful).await;
    assert_eq!(server.objects(&bucket.prefix), 0);
}
