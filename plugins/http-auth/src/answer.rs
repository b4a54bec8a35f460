//! The service's answer, and the account that it opens.

use restante_guest::http::Response;
use restante_guest::types::Account;
use serde_json::{Map, Value};

/// Octets of a name of a user or a maildrop.
const NAME: usize = 255;

/// Why an answer opens no account. The words are for the log, and hold nothing
/// of the answer but its status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is the wrong password.
    Rejected,
    /// It is nobody the service knows.
    Unknown,
    /// It is no answer to the question.
    Failed(String),
}

/// The account of who logged in as `user`.
pub(crate) fn account(answer: &Response, user: &str) -> Result<Account, Refusal> {
    let failed = |why: &str| Err(Refusal::Failed(why.to_owned()));
    match answer.status {
        200 | 204 => {}
        401 | 403 => return Err(Refusal::Rejected),
        404 => return Err(Refusal::Unknown),
        300..=399 => {
            let status = answer.status;
            return failed(&format!(
                "leads elsewhere (status {status}): name the place itself"
            ));
        }
        status => return failed(&format!("answers status {status}")),
    }
    let mut account = Account::new(user);
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Ok(account);
    }
    let said: Map<String, Value> = match serde_json::from_slice(&answer.body) {
        Ok(said) => said,
        Err(_) => return failed("answers 200 with something else than a JSON object"),
    };
    if let Some(user) = name(&said, "user")? {
        account.user = user.to_owned();
        account.maildrop = user.to_owned();
    }
    if let Some(maildrop) = name(&said, "maildrop")? {
        account.maildrop = maildrop.to_owned();
    }
    account.attributes = attributes(&said)?;
    Ok(account)
}

/// A field that names somebody or something, if it is there.
fn name<'a>(said: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, Refusal> {
    match said.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name))
            if !name.is_empty() && name.len() <= NAME && !name.chars().any(char::is_control) =>
        {
            Ok(Some(name))
        }
        Some(_) => Err(Refusal::Failed(format!(
            "answers with a `{key}` that is no name"
        ))),
    }
}

fn attributes(said: &Map<String, Value>) -> Result<Vec<(String, String)>, Refusal> {
    let wrong =
        || Refusal::Failed("answers with `attributes` that are no object of texts".to_owned());
    let attributes = match said.get("attributes") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(attributes)) => attributes,
        Some(_) => return Err(wrong()),
    };
    attributes
        .iter()
        .map(|(key, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Bool(boolean) => boolean.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return Err(wrong()),
            };
            Ok((key.clone(), text))
        })
        .collect()
}
