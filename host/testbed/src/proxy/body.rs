//! The body of a response: complete, or streamed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};
use hyper::http::response;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// A response whose body is complete.
pub(super) type FullResponse = Response<Full<Bytes>>;

/// The bytes of a complete body.
pub(super) async fn into_parts(response: FullResponse) -> (response::Parts, Bytes) {
    let (head, body) = response.into_parts();
    let Ok(body) = body.collect().await;
    (head, body.to_bytes())
}

/// The proxy resets the connection.
#[derive(Debug, thiserror::Error)]
#[error("the fault proxy resets the connection")]
pub(super) struct ConnectionReset;

/// The body of a response.
pub(super) enum ResponseBody {
    Complete(Full<Bytes>),
    /// It ends when the sender is dropped, and breaks off when the sender sends the error.
    Stream(Receiver<Result<Bytes, ConnectionReset>>),
}

impl ResponseBody {
    /// A streamed body and the sender that feeds it.
    pub(super) fn stream() -> (Sender<Result<Bytes, ConnectionReset>>, Self) {
        // Room for one chunk: what the caller does not read stays with the service, as without a proxy.
        let (sender, receiver) = channel(1);
        (sender, Self::Stream(receiver))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ConnectionReset;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ConnectionReset>>> {
        match &mut *self {
            Self::Complete(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|never: Infallible| match never {})))
            }
            Self::Stream(chunks) => chunks.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Complete(body) => body.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Complete(body) => body.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
