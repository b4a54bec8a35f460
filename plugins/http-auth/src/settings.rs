//! The plugin's settings, looked over.

use restante_guest::http;

/// The header field with the shared secret, where the operator does not say.
const SECRET_HEADER: &str = "x-restante-secret";

/// Whom to ask, and how.
pub(crate) struct Settings {
    pub(crate) url: String,
    pub(crate) form: Form,
    /// Inside a granted directory.
    pub(crate) secret_file: Option<String>,
    /// In lower case.
    pub(crate) secret_header: String,
}

/// What the request looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// POST of a JSON object.
    Json,
    /// POST of an HTML form's fields.
    Form,
    /// GET with the credentials of RFC 7617.
    Basic,
}

impl Settings {
    /// Every problem, each with the name of its key and without its value.
    pub(crate) fn parse(all: Vec<(String, String)>) -> Result<Settings, Vec<String>> {
        let mut problems = Vec::new();
        let mut url = None;
        let mut form = Form::Json;
        let mut secret_file = None;
        let mut secret_header = None;
        for (key, value) in all {
            match key.as_str() {
                "url" if http::is_url(&value) => url = Some(value),
                "url" => problems.push("url: must be https://HOST/PATH, or http://".to_owned()),
                "request" => match value.as_str() {
                    "json" => form = Form::Json,
                    "form" => form = Form::Form,
                    "basic" => form = Form::Basic,
                    _ => problems.push("request: must be \"json\", \"form\" or \"basic\"".to_owned()),
                },
                "secret-file" if value.starts_with('/') => secret_file = Some(value),
                "secret-file" => problems.push(
                    "secret-file: must be an absolute path inside a granted directory".to_owned(),
                ),
                "secret-header" if is_field_name(&value) => {
                    secret_header = Some(value.to_ascii_lowercase());
                }
                "secret-header" => problems.push(
                    "secret-header: must be the name of a header field that requests do not have already"
                        .to_owned(),
                ),
                _ => problems.push(format!("{key}: no such setting")),
            }
        }
        if url.is_none() && !problems.iter().any(|problem| problem.starts_with("url:")) {
            problems.push("url: must be there: the URL of the service".to_owned());
        }
        if secret_header.is_some() && secret_file.is_none() {
            problems.push("secret-header: stands without secret-file".to_owned());
        }
        match url {
            Some(url) if problems.is_empty() => Ok(Settings {
                url,
                form,
                secret_file,
                secret_header: secret_header.unwrap_or_else(|| SECRET_HEADER.to_owned()),
            }),
            _ => Err(problems),
        }
    }
}

/// A token (RFC 9110 section 5.1) that is none of the request's own fields.
fn is_field_name(text: &str) -> bool {
    const OWN: [&str; 5] = [
        "host",
        "content-length",
        "content-type",
        "accept",
        "authorization",
    ];
    let is_token = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(is_token)
        && !OWN.iter().any(|own| text.eq_ignore_ascii_case(own))
}
