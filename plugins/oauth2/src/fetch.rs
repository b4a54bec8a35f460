//! JSON from servers.

use restante_guest::http::{self, Error, Request};
use serde_json::{Map, Value};

use crate::Refusal;

/// Octets of an answer: the largest sets of keys have some ten thousand.
const ANSWER: usize = 512 * 1024;

/// The object that a server answers. Asking twice must do no harm.
pub(crate) fn json(request: &Request) -> Result<Map<String, Value>, Refusal> {
    let url = &request.url;
    let answer = match http::send(request, ANSWER) {
        // A kept connection may have been closed a moment ago.
        Err(Error::Closed) => http::send(request, ANSWER),
        answer => answer,
    };
    let answer = answer.map_err(|error| match error {
        Error::Denied | Error::Url => Refusal::permanent(format!("{url}: {error}")),
        _ => Refusal::temporary(format!("{url}: {error}")),
    })?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body)
            .map_err(|_| Refusal::temporary(format!("{url} answers something else than JSON"))),
        300..400 => Err(Refusal::permanent(format!(
            "{url} leads elsewhere (status {}): name the place itself",
            answer.status
        ))),
        400 | 401 | 403 | 404 => Err(Refusal::permanent(format!(
            "{url} refuses the request (status {})",
            answer.status
        ))),
        status => Err(Refusal::temporary(format!("{url} answers status {status}"))),
    }
}
