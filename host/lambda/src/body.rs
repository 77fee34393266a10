//! The event's bytes, past the runtime's own reading.
//!
//! `lambda_runtime` reads an event with serde_json before it calls the function, and at its trace level logs it. A batch
//! of 10,000 records would be read twice, and payloads would reach a log. So the body is taken aside before the runtime
//! looks at it, and what the runtime reads is `null`.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use lambda_runtime::tower::Layer;
use lambda_runtime::{LambdaInvocation, Service};

/// Holds the body of the event at hand. There is one: Lambda sends the next when this one is answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body(Arc<Mutex<Bytes>>);

impl Body {
    /// The body, which is gone from here then.
    pub(crate) fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S> Layer<S> for Body {
    type Service = TakeBody<S>;

    fn layer(&self, inner: S) -> TakeBody<S> {
        TakeBody { inner, body: self.clone() }
    }
}

/// Takes each body aside.
#[derive(Clone, Debug)]
pub(crate) struct TakeBody<S> {
    inner: S,
    body: Body,
}

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for TakeBody<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut invocation: LambdaInvocation) -> S::Future {
        let body = std::mem::replace(&mut invocation.body, Bytes::from_static(b"null"));
        *self.body.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
        self.inner.call(invocation)
    }
}
