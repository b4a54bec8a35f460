//! HTTP requests (`wasi:http` 0.2), to the origins that the operator granted:
//! `http = ["https://idp.example.org"]` in `[plugin.NAME.grants]`. Feature `http`
//! of this crate.
//!
//! The host has its own bounds on time and octets, which are within the call's;
//! redirects are not followed. Secrets belong into a header field or the body:
//! nothing of a request is ever logged.

use std::fmt;

/// Longest URL, in octets.
const URL: usize = 8 * 1024;

/// A method that asks a server for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
}

/// A request. Its header and body may hold secrets, so it does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// How it is asked.
    pub method: Method,
    /// `https://host[:port]/path?query`, or `http://…`.
    pub url: String,
    /// Header fields; `host` and `content-length` are added.
    pub headers: Vec<(String, String)>,
    /// Empty: none.
    pub body: Vec<u8>,
}

impl Request {
    /// GET, with nothing but a URL.
    pub fn get(url: impl Into<String>) -> Request {
        Request {
            method: Method::Get,
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// POST of a body of that media type.
    pub fn post(url: impl Into<String>, media_type: &str, body: impl Into<Vec<u8>>) -> Request {
        Request {
            method: Method::Post,
            url: url.into(),
            headers: vec![("content-type".into(), media_type.into())],
            body: body.into(),
        }
    }

    /// With this header field.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code (RFC 9110 section 15).
    pub status: u16,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It is no URL that one could ask.
    Url,
    /// The host does not let the plugin go there.
    Denied,
    /// The answer is larger than the plugin or the host takes.
    TooLarge,
    /// The connection was closed before the answer was whole. Where asking twice
    /// does no harm, asking again may help.
    Closed,
    /// Anything else: what went wrong, as wasi:http has it.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Url => out.write_str("it is no URL of HTTP"),
            Error::Denied => {
                out.write_str("denied: its origin is not named in `http` of the plugin's grants")
            }
            Error::TooLarge => out.write_str("the answer is too large"),
            Error::Closed => out.write_str("the connection was closed too early"),
            Error::Failed(what) => out.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

/// Sends a request and waits for its whole answer, of at most so many octets.
///
/// # Errors
/// Any status is an answer; an error is when there is none.
pub fn send(request: &Request, most_octets: usize) -> Result<Response, Error> {
    let url = Url::parse(&request.url).ok_or(Error::Url)?;
    #[cfg(target_family = "wasm")]
    {
        wasi::send(request, &url, most_octets)
    }
    #[cfg(not(target_family = "wasm"))]
    {
        let _ = url;
        let answer = crate::testing::answer(request)?;
        if answer.body.len() > most_octets {
            return Err(Error::TooLarge);
        }
        Ok(answer)
    }
}

/// Whether [`send`] could ask this.
pub fn is_url(text: &str) -> bool {
    Url::parse(text).is_some()
}

/// A text as it stands in the fields of a form
/// (application/x-www-form-urlencoded).
pub fn form_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                encoded.push(octet.into());
            }
            b' ' => encoded.push('+'),
            _ => encoded.push_str(&format!("%{octet:02X}")),
        }
    }
    encoded
}

/// A URL in its parts, without a fragment.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(not(target_family = "wasm"), allow(dead_code))]
struct Url<'a> {
    tls: bool,
    authority: &'a str,
    /// With the query; it begins with "/" or "?", or is empty.
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (tls, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let plain = text.bytes().all(|octet| octet.is_ascii_graphic());
        let fits = !authority.is_empty()
            && !authority.contains('@')
            && !text.contains(['#', '\\'])
            && text.len() <= URL
            && plain;
        fits.then_some(Url {
            tls,
            authority,
            path,
        })
    }
}

#[cfg(target_family = "wasm")]
mod wasi {
    use wasip2::http::outgoing_handler;
    use wasip2::http::types::{
        self, ErrorCode, Fields, IncomingResponse, OutgoingBody, OutgoingRequest, Scheme,
    };
    use wasip2::io::streams::StreamError;

    use super::{Error, Method, Request, Response, Url};

    /// Octets that one write may have without asking (wasi:io/streams).
    const WRITE: usize = 4096;
    /// Octets that one read asks for.
    const READ: u64 = 64 << 10;

    pub(super) fn send(
        request: &Request,
        url: &Url<'_>,
        most_octets: usize,
    ) -> Result<Response, Error> {
        let outgoing = outgoing(request, url)?;
        let body = match request.body.is_empty() {
            true => None,
            false => Some(outgoing.body().map_err(|()| Error::Url)?),
        };
        let answer = outgoing_handler::handle(outgoing, None).map_err(failed)?;
        // A request that is refused or cut short is told of by the answer.
        if let Some(body) = body
            && write(&body, &request.body).is_ok()
        {
            OutgoingBody::finish(body, None).map_err(failed)?;
        }
        answer.subscribe().block();
        let answer = match answer.get() {
            Some(Ok(answer)) => answer.map_err(failed)?,
            _ => return Err(Error::Failed("the answer is gone".into())),
        };
        Ok(Response {
            status: answer.status(),
            body: read(&answer, most_octets)?,
        })
    }

    fn outgoing(request: &Request, url: &Url<'_>) -> Result<OutgoingRequest, Error> {
        let mut fields: Vec<_> = request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
            .collect();
        if !request.body.is_empty() {
            let length = request.body.len().to_string();
            fields.push(("content-length".into(), length.into_bytes()));
        }
        let fields = Fields::from_list(&fields)
            .map_err(|error| Error::Failed(format!("a header field: {error:?}")))?;
        let outgoing = OutgoingRequest::new(fields);
        let method = match request.method {
            Method::Get => types::Method::Get,
            Method::Post => types::Method::Post,
        };
        let scheme = if url.tls { Scheme::Https } else { Scheme::Http };
        outgoing
            .set_method(&method)
            .and_then(|()| outgoing.set_scheme(Some(&scheme)))
            .and_then(|()| outgoing.set_authority(Some(url.authority)))
            .and_then(|()| outgoing.set_path_with_query(Some(url.path)))
            .map_err(|()| Error::Url)?;
        Ok(outgoing)
    }

    fn write(body: &OutgoingBody, octets: &[u8]) -> Result<(), ()> {
        let stream = body.write()?;
        for part in octets.chunks(WRITE) {
            stream.blocking_write_and_flush(part).map_err(drop)?;
        }
        Ok(())
    }

    fn read(answer: &IncomingResponse, most_octets: usize) -> Result<Vec<u8>, Error> {
        let gone = |()| Error::Failed("the body is gone".into());
        let body = answer.consume().map_err(gone)?;
        let stream = body.stream().map_err(gone)?;
        let mut octets = Vec::new();
        loop {
            match stream.blocking_read(READ) {
                Ok(part) if octets.len() + part.len() > most_octets => return Err(Error::TooLarge),
                Ok(part) => octets.extend_from_slice(&part),
                Err(StreamError::Closed) => return Ok(octets),
                Err(StreamError::LastOperationFailed(error)) => {
                    return Err(match types::http_error_code(&error) {
                        Some(code) => failed(code),
                        None => Error::Failed("the body breaks off".into()),
                    });
                }
            }
        }
    }

    fn failed(code: ErrorCode) -> Error {
        match code {
            ErrorCode::HttpRequestDenied => Error::Denied,
            ErrorCode::HttpResponseBodySize(_) => Error::TooLarge,
            ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => Error::Closed,
            code => Error::Failed(format!("{code:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_falls_into_its_parts() {
        for (text, tls, authority, path) in [
            ("https://idp.example.org", true, "idp.example.org", ""),
            ("http://[::1]:8080/a?b=c", false, "[::1]:8080", "/a?b=c"),
            ("https://idp.example.org?x", true, "idp.example.org", "?x"),
        ] {
            let expected = Url {
                tls,
                authority,
                path,
            };
            assert_eq!(Url::parse(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "idp.example.org",
            "file:///etc/passwd",
            "https://",
            "https:///path",
            "https://user@idp.example.org/",
            "https://idp.example.org/#x",
            "https://idp.example.org\\@evil.example/",
            "https://idp.example.org/ x",
            "https://idp.example.org/\r\nx: y",
            "HTTPS://idp.example.org",
        ] {
            assert!(!is_url(text), "{text}");
        }
        assert!(!is_url(&format!(
            "https://idp.example.org/{}",
            "x".repeat(URL)
        )));
    }

    #[test]
    fn a_test_answers_in_place_of_servers() {
        crate::testing::set_http(|request| {
            assert_eq!(request.method, Method::Post);
            match request.url.as_str() {
                "https://idp.example.org/" => Ok(Response {
                    status: 200,
                    body: request.body.clone(),
                }),
                _ => Err(Error::Denied),
            }
        });
        let ask = |url: &str, most| send(&Request::post(url, "text/plain", "body"), most);
        assert_eq!(ask("https://idp.example.org/", 4).unwrap().body, b"body");
        assert_eq!(
            ask("https://idp.example.org/", 3).err(),
            Some(Error::TooLarge)
        );
        assert_eq!(ask("https://other.example/", 4).err(), Some(Error::Denied));
        assert_eq!(ask("ftp://idp.example.org/", 4).err(), Some(Error::Url));
    }
}
