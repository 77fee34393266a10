//! The registry's objects. As one life of a host sees them, reads fail, take long, and the host may die in them. As the
//! operator sees them, writes fail.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::Stream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::fate::{Ending, Table};
use crate::latch::Latch;
use crate::world::{World, sleep_ms};

type Objects<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// The objects that all hosts share, with faults in between.
#[derive(Debug)]
pub(crate) struct SimulatedObjects {
    objects: Arc<InMemory>,
    world: Arc<World>,
    user: User,
}

/// Who uses the objects.
#[derive(Debug)]
enum User {
    /// A host, which only reads; `killed` is set when it dies.
    Host { id: u32, killed: Arc<Latch> },
    /// The operator, whose writes fail. Reads are those of a person who tries again.
    Operator,
}

impl SimulatedObjects {
    /// The objects as a host sees them; `killed` is set when it dies.
    pub(crate) fn new(objects: Arc<InMemory>, world: Arc<World>, host: u32, killed: Arc<Latch>) -> Self {
        Self { objects, world, user: User::Host { id: host, killed } }
    }

    /// The objects as the operator sees them.
    pub(crate) fn of_operator(objects: Arc<InMemory>, world: Arc<World>) -> Self {
        Self { objects, world, user: User::Operator }
    }

    /// The fate of a read. It has no effect, so it makes no difference when it fails.
    async fn read(&self, what: &str) -> Result<()> {
        let User::Host { id, killed } = &self.user else { return Ok(()) };
        // What a host has left running does not go on after its death.
        if killed.is_set() {
            std::future::pending().await
        }
        let fate = self.world.fate(Table::Registry);
        sleep_ms(fate.before + fate.after).await;
        match fate.ending {
            Ending::Answered => Ok(()),
            Ending::Refused | Ending::AnswerLost => {
                self.world.trace(format_args!("host {} reads {what}: no answer", id));
                Err(Error::Generic { store: "simulation", source: "no answer".into() })
            }
            Ending::KilledBefore | Ending::KilledAfter => {
                self.world.trace(format_args!("host {} dies in reading {what}", id));
                self.world.lose_volatile();
                killed.set();
                std::future::pending().await
            }
        }
    }
}

impl fmt::Display for SimulatedObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated objects")
    }
}

/// What is not read or written is passed on.
#[async_trait]
impl ObjectStore for SimulatedObjects {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        // The run begins with rules.
        let may_fail = matches!(self.user, User::Operator) && self.world.now_ms() > 0;
        if !may_fail || !self.world.chance(self.world.plan.unwritten) {
            return self.objects.put_opts(location, payload, options).await;
        }
        let has_effect = self.world.below(2) == 0;
        if has_effect {
            // Whether it succeeds is not known to the operator.
            let _ = self.objects.put_opts(location, payload, options).await;
        }
        self.world.trace(format_args!("the operator writes {location}: no answer, effect: {has_effect}"));
        Err(Error::Generic { store: "simulation", source: "no answer".into() })
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.read(location.as_ref()).await?;
        self.objects.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: Objects<Path>) -> Objects<Path> {
        self.objects.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> Objects<ObjectMeta> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read("the list").await?;
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}
