//! The file with the key to a bucket.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rusty_s3::Credentials;
use zeroize::Zeroizing;

use crate::problem::Problem;

/// Bytes of a file of credentials.
const MAX_BYTES: u64 = 64 << 10;

/// Reads the key to a bucket; what is wrong with it is told without what is in it.
pub(super) fn read(path: &Path) -> Result<Credentials, Problem> {
    let shown = path.display();
    let cannot =
        |error: std::io::Error| Problem::invalid(format!("{shown}: cannot read it: {error}"));
    let file = File::open(path).map_err(cannot)?;
    let about = file.metadata().map_err(cannot)?;
    if about.mode() & 0o007 != 0 {
        tracing::warn!(file = %shown, "everybody may read or write this file with a secret: chmod o= it");
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    parse(&text).map_err(|wrong| Problem::invalid(format!("{shown}: {wrong}")))
}

fn parse(text: &str) -> Result<Credentials, String> {
    let (mut key, mut secret, mut token) = (None, None, None);
    let mut sections = 0;
    for (number, line) in text.lines().enumerate() {
        let (number, line) = (number + 1, line.trim());
        if line.is_empty() || line.starts_with('#') || line.starts_with(';') {
            continue;
        }
        if line.starts_with('[') && line.ends_with(']') {
            sections += 1;
            if sections > 1 {
                return Err(format!(
                    "line {number}: a second section; leave the one to be used"
                ));
            }
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or_default();
        let place = match name.trim() {
            "aws_access_key_id" => &mut key,
            "aws_secret_access_key" => &mut secret,
            "aws_session_token" => &mut token,
            _ => {
                return Err(format!(
                    "line {number}: aws_access_key_id, aws_secret_access_key and \
                     aws_session_token are possible, each followed by \"=\""
                ));
            }
        };
        let value = value.trim();
        if value.is_empty() || place.replace(value.to_owned()).is_some() {
            return Err(format!(
                "line {number}: it is empty, or there for the second time"
            ));
        }
    }
    match (key, secret, token) {
        (Some(key), Some(secret), Some(token)) => {
            Ok(Credentials::new_with_token(key, secret, token))
        }
        (Some(key), Some(secret), None) => Ok(Credentials::new(key, secret)),
        (None, ..) => Err("aws_access_key_id is missing".to_owned()),
        (_, None, _) => Err("aws_secret_access_key is missing".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_other_programs_have_it() {
        let credentials = parse(
            "# a comment\n[default]\naws_access_key_id = KEY\naws_secret_access_key=a/b=c+d\n\n",
        );
        let credentials = credentials.unwrap();
        assert_eq!(
            (credentials.key(), credentials.secret()),
            ("KEY", "a/b=c+d")
        );
        assert_eq!(credentials.token(), None);
        let with_token = "aws_secret_access_key=s\naws_access_key_id=k\naws_session_token=t";
        assert_eq!(parse(with_token).unwrap().token(), Some("t"));
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        for (text, wrong) in [
            ("", "aws_access_key_id is missing"),
            ("aws_access_key_id=k", "aws_secret_access_key is missing"),
            (
                "aws_access_key_id=hidden\naws_access_key_id=hidden",
                "line 2",
            ),
            ("aws_access_key_id=k\naws_secret_access_key=", "line 2"),
            ("hidden", "line 1"),
            ("secret = hidden", "line 1"),
            (
                "[a]\naws_access_key_id=hidden\n[b]",
                "line 3: a second section",
            ),
        ] {
            let told = parse(text).unwrap_err();
            assert!(
                told.contains(wrong) && !told.contains("hidden"),
                "{text:?}: {told}"
            );
        }
    }
}
