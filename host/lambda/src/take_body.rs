//! Takes the event's bytes before the Lambda runtime parses them.
//!
//! `lambda_runtime` parses an event with serde_json before it calls the function, and logs it at its trace level. That
//! would parse a batch of 10,000 records twice, and log payloads. This layer takes the body of each invocation first, and
//! leaves `null` for the runtime.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use lambda_runtime::tower::Layer;
use lambda_runtime::{LambdaInvocation, Service};

/// The body of the current invocation. There is only one: Lambda sends the next event after the response to this one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body(Arc<Mutex<Bytes>>);

impl Body {
    /// Takes the body out.
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

/// The service that moves each invocation's body to [`Body`].
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
