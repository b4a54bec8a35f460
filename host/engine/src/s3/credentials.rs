//! The key to a bucket.

use std::fmt;

use rusty_s3::Credentials;

/// The key to a bucket, which is never shown.
#[derive(Clone)]
pub struct S3Credentials(pub(super) Credentials);

impl fmt::Debug for S3Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("S3Credentials")
    }
}

impl S3Credentials {
    /// Reads the text of a file as other programs have it: lines `aws_access_key_id = …` and
    /// `aws_secret_access_key = …`; `aws_session_token = …` and one `[section]` before them
    /// may be there.
    ///
    /// # Errors
    /// What is wrong with it, without what is in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text).map(S3Credentials)
    }
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
