//! An object store that fails as one behind a network does.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_core::Stream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

type Objects<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// How a write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It does not.
    None,
    /// The object is not written.
    Lost,
    /// The object is written, and the answer is lost.
    AnswerLost,
}

/// Objects in memory that several hosts share.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlakyObjects {
    objects: Arc<InMemory>,
    /// Nothing answers.
    pub(crate) is_down: Arc<AtomicBool>,
    /// How the next writes to the log fail.
    pub(crate) log_writes: Arc<Mutex<VecDeque<Failure>>>,
}

impl FlakyObjects {
    fn check(&self) -> Result<()> {
        match self.is_down.load(Ordering::Relaxed) {
            true => Err(failed()),
            false => Ok(()),
        }
    }
}

fn failed() -> Error {
    Error::Generic { store: "flaky", source: "no answer".into() }
}

impl fmt::Display for FlakyObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flaky objects")
    }
}

#[async_trait]
impl ObjectStore for FlakyObjects {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.check()?;
        let failure = match location.as_ref().starts_with("log/") {
            true => self.log_writes.lock().unwrap().pop_front().unwrap_or(Failure::None),
            false => Failure::None,
        };
        if failure == Failure::Lost {
            return Err(failed());
        }
        let done = self.objects.put_opts(location, payload, options).await;
        if failure == Failure::AnswerLost { Err(failed()) } else { done }
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check()?;
        self.objects.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: Objects<Path>) -> Objects<Path> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> Objects<ObjectMeta> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check()?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
