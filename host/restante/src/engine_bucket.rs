//! Which bucket an engine's larger messages are in, noted in the engine itself. A server that has
//! another one configured, or none, would list messages that it cannot fetch, and forget garbage
//! that it has not removed: so it does not open the engine, and a server that has it open by then
//! removes no garbage.

use restante_config::{BucketPlace, Engine};
use restante_engine::{Agreements, Problem};

/// What it is noted under.
pub(crate) const NAME: &str = "bucket";

/// What does not change when a store is reached otherwise: an endpoint may get another name. No
/// bucket's name has a "/".
fn identity(place: &BucketPlace) -> String {
    format!("{}/{}", place.bucket, place.prefix)
}

fn configured(engine: &Engine) -> Option<String> {
    engine.s3.as_ref().map(identity)
}

/// What becomes of a bucket where the engine has none noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FirstBucket {
    /// It is noted: it is the engine's from now on.
    Noted,
    /// It is refused: whoever writes to it may not be the one who decides which it is, and until
    /// it is noted servers without it forget its garbage.
    Refused,
    /// It stays so, for who only looks.
    Passed,
}

/// Whether the bucket of the configuration is the engine's.
///
/// # Errors
/// It is another one, or not yet, or the engine does not answer.
pub(crate) async fn check(
    agreements: &dyn Agreements,
    engine: &Engine,
    first: FirstBucket,
) -> Result<(), Problem> {
    let own = configured(engine);
    let noted = match (&own, first) {
        (Some(own), FirstBucket::Noted) => Some(agreements.agree(NAME, own).await?),
        _ => agreements.agreed(NAME).await?,
    };
    if own.is_some() && noted.is_none() && first == FirstBucket::Refused {
        return Err(Problem::invalid(format!(
            "its bucket is not noted in the engine yet, so that servers without it would lose track of what is written there: stop all servers that use the engine, run `restante engine migrate --config FILE {} --yes`, and start them with this configuration",
            engine.name
        )));
    }
    match difference(engine, noted.as_deref()) {
        None => Ok(()),
        Some(difference) => Err(Problem::invalid(format!(
            "{difference}. Correct [engine.{0}.s3] and restart the server; if the bucket was changed on purpose, run `restante engine migrate --config FILE {0}`, which says what that means",
            engine.name
        ))),
    }
}

/// Makes the bucket of the configuration the engine's, or none.
///
/// # Errors
/// The engine does not answer.
pub(crate) async fn accept(agreements: &dyn Agreements, engine: &Engine) -> Result<(), Problem> {
    let own = configured(engine);
    agreements.agree_anew(NAME, own.as_deref()).await
}

/// In words, where another bucket is noted than the configuration has.
pub(crate) fn difference(engine: &Engine, noted: Option<&str>) -> Option<String> {
    let noted = noted?;
    let own = configured(engine);
    if own.as_deref() == Some(noted) {
        return None;
    }
    let own = match own {
        Some(own) => format!("has {own:?}"),
        None => "has no bucket for it".to_owned(),
    };
    Some(format!(
        "larger messages of this engine are in {noted:?} (bucket and prefix), and the configuration {own}"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use restante_config::Config;
    use restante_engine::Tables;

    use crate::engines::{self, Condition};

    use super::*;

    fn engine(directory: &Path, bucket: &str) -> Engine {
        let key = directory.join("key");
        fs::write(&key, "aws_access_key_id = k\naws_secret_access_key = s\n").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let bucket = match bucket {
            "" => String::new(),
            lines => format!("[engine.e.s3]\ncredentials-file = {key:?}\n{lines}\n"),
        };
        let text = format!(
            "[engine.e]\nkind = 'embedded'\ndirectory = {directory:?}\n{bucket}\
             [listener.l]\naddress = '127.0.0.1:0'\ntls = 'off'\n\
             [plugin.p]\ncomponent = 'builtin:spool'\ngrants.maildrop = 'engine:e/{{user}}'\n\
             [tenant.t]\nauthenticators = ['p']\nstore = 'p'\n"
        );
        let config = Config::parse(&text, "t".as_ref(), "/".as_ref());
        config.unwrap().engines.remove(0)
    }

    #[tokio::test]
    async fn a_server_without_the_engine_s_bucket_does_not_open_it() {
        const OWN: &str = "endpoint = 'http://127.0.0.1:9'\nbucket = 'b'\nprefix = 'mail/'";
        const MOVED: &str = "endpoint = 'http://127.0.0.1:8'\nbucket = 'b'\nprefix = 'mail/'";
        const OTHER: [&str; 3] = [
            "",
            "endpoint = 'http://127.0.0.1:9'\nbucket = 'c'\nprefix = 'mail/'",
            "endpoint = 'http://127.0.0.1:9'\nbucket = 'b'",
        ];
        let directory = tempfile::tempdir().unwrap();
        let with = |bucket| engine(directory.path(), bucket);
        // Before it has one; who looks notes none, and who writes waits for a note.
        let beside =
            async |engine: &Engine, first| engines::open_beside_the_server(engine, first).await;
        drop(engines::open(&with(""), Tables::Made).await.unwrap());
        drop(beside(&with(OWN), FirstBucket::Passed).await.unwrap());
        drop(engines::open(&with(""), Tables::Expected).await.unwrap());
        let refused = beside(&with(OWN), FirstBucket::Refused).await.unwrap_err();
        assert!(refused.to_string().contains("engine migrate"), "{refused}");
        engines::migrate(&with(OWN)).await.unwrap();
        drop(beside(&with(OWN), FirstBucket::Refused).await.unwrap());
        for bucket in [OWN, MOVED] {
            assert_eq!(engines::look(&with(bucket)).await, Ok(Condition::Ready));
            let opened = engines::open(&with(bucket), Tables::Expected).await;
            drop(opened.unwrap());
        }
        for bucket in OTHER {
            let other = with(bucket);
            for opened in [
                engines::open(&other, Tables::Expected).await,
                beside(&other, FirstBucket::Passed).await,
                beside(&other, FirstBucket::Refused).await,
            ] {
                let refused = opened.unwrap_err();
                assert!(matches!(refused, Problem::Invalid(_)), "{refused}");
                assert!(refused.to_string().contains("\"b/mail/\""), "{refused}");
            }
            let looked = engines::look(&other).await.unwrap();
            assert!(matches!(looked, Condition::OtherBucket(_)), "{looked:?}");
        }
        for bucket in OTHER {
            let other = with(bucket);
            engines::accept_bucket(&other).await.unwrap();
            assert_eq!(engines::look(&other).await, Ok(Condition::Ready));
            drop(engines::open(&other, Tables::Expected).await.unwrap());
            let before = engines::look(&with(OWN)).await.unwrap();
            match bucket {
                // None is noted, and the next one may be the first.
                "" => assert_eq!(before, Condition::Ready),
                _ => assert!(matches!(before, Condition::OtherBucket(_)), "{before:?}"),
            }
        }
    }
}
