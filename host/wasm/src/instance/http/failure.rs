//! What went wrong with a request: in wasi:http's terms for the guest, in words
//! for the log.

use std::error::Error as StdError;
use std::io;

use tokio_rustls::rustls;
use wasmtime_wasi_http::Error;

/// The first cause that wasi:http has a word for.
pub(super) fn of(error: &(dyn StdError + 'static)) -> Error {
    causes(error)
        .find_map(known)
        .unwrap_or(Error::DestinationUnavailable)
}

/// All causes, outermost first. Neither the request's path nor its header is in
/// them.
pub(super) fn words(error: &(dyn StdError + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in causes(error) {
        let cause = cause.to_string();
        // Some errors repeat what they stand for.
        if words.last().is_none_or(|last| !last.contains(&cause)) {
            words.push(cause);
        }
    }
    if causes(error).any(is_over_bound) {
        words.push("`http-octets` of the plugin's limits bounds the bodies of a call".into());
    }
    words.join(": ")
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // std's own `source` of an io::Error passes over what is inside of it.
        let inside = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|inside| inside as &(dyn StdError + 'static));
        inside.or_else(|| error.source())
    })
}

fn is_over_bound(cause: &(dyn StdError + 'static)) -> bool {
    matches!(
        cause.downcast_ref::<Error>(),
        Some(Error::HttpRequestBodySize(_) | Error::HttpResponseBodySize(_))
    )
}

fn known(cause: &(dyn StdError + 'static)) -> Option<Error> {
    if let Some(Error::HttpRequestBodySize(octets)) = cause.downcast_ref::<Error>() {
        return Some(Error::HttpRequestBodySize(*octets));
    }
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(match error {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                Error::TlsCertificateError
            }
            rustls::Error::AlertReceived(alert) => Error::TlsAlertReceived {
                alert_id: Some((*alert).into()),
                alert_message: Some(format!("{alert:?}")),
            },
            _ => Error::TlsProtocolError,
        });
    }
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        if error.is_parse_too_large() {
            return Some(Error::HttpResponseHeaderSectionSize(None));
        }
        if error.is_parse() {
            return Some(Error::HttpProtocolError);
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return Some(Error::ConnectionTerminated);
        }
    }
    let error = cause.downcast_ref::<io::Error>()?;
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(Error::ConnectionRefused),
        io::ErrorKind::TimedOut => Some(Error::ConnectionTimeout),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof
            if error.get_ref().is_none() =>
        {
            Some(Error::ConnectionTerminated)
        }
        _ => None,
    }
}
