//! The body of an answer: whole, or piece by piece as it comes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The connection shall be reset.
#[derive(Debug)]
pub(super) struct Reset;

impl std::fmt::Display for Reset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reset on purpose")
    }
}

impl std::error::Error for Reset {}

/// What an answer carries.
pub(super) enum AnswerBody {
    Whole(Full<Bytes>),
    /// It ends well when the sender is dropped, and badly when it sends so.
    Pieces(Receiver<Result<Bytes, Reset>>),
}

impl AnswerBody {
    /// A body that the other half feeds.
    pub(super) fn pieces() -> (Sender<Result<Bytes, Reset>>, Self) {
        // One piece on its way: what the caller does not read stays with the service, as without a proxy.
        let (sender, receiver) = channel(1);
        (sender, Self::Pieces(receiver))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Reset;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Reset>>> {
        match &mut *self {
            Self::Whole(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|never: Infallible| match never {})))
            }
            Self::Pieces(pieces) => pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}
