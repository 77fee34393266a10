//! A store in one file that another process has open.

use std::collections::HashSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::de::DeserializeOwned;

use super::protocol::{Failure, GREETING, Request, receive, send, socket_path};
use super::{
    CheckpointStore, DeadLetterStore, Expected, GroupStore, Horizon, Notice, NoticeStore, Pin, PinKey, PinStore,
    StoreError, Write, WriteOutcome,
};
use crate::model::{Checkpoint, DeadLetter, Item, Key};

/// A store in one file that another process has open, by way of that process.
#[derive(Debug)]
pub struct RemoteStore {
    stream: Mutex<UnixStream>,
    file: PathBuf,
}

impl RemoteStore {
    /// Connects to the process that has the store of this file. `None` if there is none.
    pub fn connect(file: &Path) -> Result<Option<Self>, StoreError> {
        let mut stream = match UnixStream::connect(socket_path(file)) {
            Ok(stream) => stream,
            // There is no socket, or it is of a process that was killed.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            // The path is too long for a socket: then no process has one.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
            Err(error) => return Err(failed(file, error)),
        };
        let greeting: Option<String> = receive(&mut stream).map_err(|error| failed(file, error))?;
        match greeting.as_deref() {
            Some(GREETING) => Ok(Some(Self { stream: Mutex::new(stream), file: file.to_owned() })),
            // It ends just now.
            None => Ok(None),
            Some(theirs) => Err(StoreError::fatal(format!(
                "the store {} is open in a process of another version: that is {theirs}, this is {GREETING}",
                file.display()
            ))),
        }
    }

    fn call<T: DeserializeOwned>(&self, request: &Request) -> Result<T, StoreError> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        send(&mut stream, request).map_err(|error| failed(&self.file, error))?;
        self.answer(&mut stream)
    }

    fn answer<T: DeserializeOwned>(&self, stream: &mut UnixStream) -> Result<T, StoreError> {
        let answer: Option<Result<T, Failure>> = receive(stream).map_err(|error| failed(&self.file, error))?;
        let answer = answer.ok_or_else(|| failed(&self.file, io::ErrorKind::UnexpectedEof.into()))?;
        Ok(answer?)
    }
}

fn failed(file: &Path, error: io::Error) -> StoreError {
    let text = format!("the process that has the store {} open does not answer: run the command again", file.display());
    StoreError::fatal(text).with_source(error)
}

impl GroupStore for RemoteStore {
    async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        self.call(&Request::LoadGroups(keys.to_vec()))
    }

    async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        self.call(&Request::WriteGroups(writes.to_vec()))
    }

    async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        self.call(&Request::ListPartition(partition.to_owned()))
    }

    async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        self.call(&Request::ListGroups)
    }
}

impl PinStore for RemoteStore {
    async fn get_pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        self.call(&Request::GetPins(keys.to_vec()))
    }

    async fn put_pins(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        self.call(&Request::PutPins(pins.to_vec()))
    }

    async fn list_pins(&self, race_type: &str, limit: usize) -> Result<Vec<(PinKey, Pin)>, StoreError> {
        self.call(&Request::ListPins(race_type.to_owned(), limit))
    }
}

impl CheckpointStore for RemoteStore {
    async fn get_checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        self.call(&Request::GetCheckpoint(shard.to_owned()))
    }

    async fn put_checkpoint(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.call(&Request::PutCheckpoint(shard.to_owned(), checkpoint.clone()))
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.call(&Request::Flush)
    }
}

impl DeadLetterStore for RemoteStore {
    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        self.call(&Request::PutDeadLetters(letters.to_vec()))
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        self.call(&Request::DeleteDeadLetters(ids.to_vec()))
    }

    async fn get_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        self.call(&Request::GetDeadLetter(id.to_owned()))
    }

    async fn get_horizon(&self, shard: &str) -> Result<Option<Horizon>, StoreError> {
        self.call(&Request::GetHorizon(shard.to_owned()))
    }

    async fn put_horizon(&self, shard: &str, horizon: &Horizon) -> Result<bool, StoreError> {
        self.call(&Request::PutHorizon(shard.to_owned(), horizon.clone()))
    }

    async fn known_dead_letters(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        self.call(&Request::KnownDeadLetters(ids.to_vec()))
    }

    async fn scan_dead_letters(&self, mut each: impl FnMut(DeadLetter) + Send) -> Result<(), StoreError> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        send(&mut stream, &Request::ScanDeadLetters).map_err(|error| failed(&self.file, error))?;
        while let Some(letter) = self.answer::<Option<DeadLetter>>(&mut stream)? {
            each(letter);
        }
        Ok(())
    }

    async fn assign_redrive_sequences(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        self.call(&Request::AssignRedriveSequences(ids.to_vec()))
    }
}

impl NoticeStore for RemoteStore {
    async fn list_notices(&self, topic: &str) -> Result<Vec<Notice>, StoreError> {
        self.call(&Request::ListNotices(topic.to_owned()))
    }

    async fn put_notice(&self, topic: &str, notice: &Notice, expected: Expected) -> Result<bool, StoreError> {
        self.call(&Request::PutNotice(topic.to_owned(), notice.clone(), expected))
    }
}
