//! The body of an answer on its way to the guest: counted, and never waited for
//! longer than it may take.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::Error;

use super::call::Call;
use super::failure;

/// A body with its bounds. Dropped before its end it takes the connection with it.
pub(super) struct Answer {
    incoming: Incoming,
    between: Duration,
    call: Call,
    /// Ends when the next part is late.
    late: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Answer {
    pub(super) fn new(
        incoming: Incoming,
        between: Duration,
        call: Call,
        place: OwnedSemaphorePermit,
    ) -> Result<Self, Error> {
        // What it says it is going to send need not be waited for.
        if incoming.size_hint().lower() > call.received.left() {
            return Err(Error::HttpResponseBodySize(Some(call.received.left())));
        }
        let late = Box::pin(sleep_until(call.deadline.min(Instant::now() + between)));
        Ok(Answer {
            incoming,
            between,
            call,
            late,
            _place: place,
        })
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let octets = frame.data_ref().map_or(0, Bytes::len);
                if !this.call.received.take(octets as u64) {
                    let left = this.call.received.left();
                    return Poll::Ready(Some(Err(Error::HttpResponseBodySize(Some(left)))));
                }
                let next = Instant::now() + this.between;
                this.late.as_mut().reset(this.call.deadline.min(next));
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(failure::of(&error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(this.late.as_mut().poll(context));
                Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
