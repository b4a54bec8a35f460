//! The body of a request on its way from the guest: counted, and its connection is told
//! whose it is.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

use super::asker;
use super::call::Allowance;
use restante_roles::work::WorkRoom;

/// A body with its bound. It is asked by the task of the connection that it is sent on, and
/// has that one's work charged to its tenant from then on.
pub(super) struct Question {
    body: WasiBody,
    allowance: Allowance,
    who: WorkRoom,
}

impl Question {
    /// # Errors
    /// It says itself that it is longer than what the call may still send.
    pub(super) fn new(body: WasiBody, allowance: Allowance, who: WorkRoom) -> Result<Self, Error> {
        if body.size_hint().lower() > allowance.left() {
            return Err(Error::HttpRequestBodySize(Some(allowance.left())));
        }
        Ok(Question {
            body,
            allowance,
            who,
        })
    }
}

impl Body for Question {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        asker::takes_over(&self.who);
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let octets = frame.data_ref().map_or(0, Bytes::len);
            if !self.allowance.take(octets as u64) {
                let left = self.allowance.left();
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(Some(left)))));
            }
        }
        frame
    }

    /// Asked by a connection before it sends the header, also of a body that has nothing.
    fn is_end_stream(&self) -> bool {
        asker::takes_over(&self.who);
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
