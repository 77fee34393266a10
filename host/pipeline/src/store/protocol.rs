//! What a [`RemoteStore`](super::RemoteStore) and a [`StoreServer`](super::StoreServer) say to each other: frames of
//! postcard, each after its length.

use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Expected, Horizon, Notice, Pin, PinKey, StoreError, Write};
use crate::model::{Checkpoint, DeadLetter, Key};

/// The first frame of both sides. The types have no compatible encodings: both are of one version.
pub(super) const GREETING: &str = concat!("paceline store ", env!("CARGO_PKG_VERSION"));

/// Bytes of a frame: far more than a batch's items, and few enough to be in memory.
const MAX_FRAME_BYTES: usize = 256 << 20;

/// A call of a store.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    LoadGroups(Vec<Key>),
    WriteGroups(Vec<Write>),
    ListPartition(String),
    ListGroups,
    GetPins(Vec<PinKey>),
    PutPins(Vec<(PinKey, Pin)>),
    ListPins(String, usize),
    GetCheckpoint(String),
    PutCheckpoint(String, Checkpoint),
    Flush,
    PutDeadLetters(Vec<DeadLetter>),
    DeleteDeadLetters(Vec<String>),
    GetDeadLetter(String),
    GetHorizon(String),
    PutHorizon(String, Horizon),
    KnownDeadLetters(Vec<String>),
    /// It is answered by a frame for each letter, and `None`.
    ScanDeadLetters,
    AssignRedriveSequences(Vec<String>),
    ListNotices(String),
    PutNotice(String, Notice, Expected),
}

/// An error of the store, as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failure {
    is_transient: bool,
    text: String,
}

impl Failure {
    pub(super) fn of(error: &StoreError) -> Self {
        Self { is_transient: error.is_transient(), text: crate::error::ErrorChain(error).to_string() }
    }
}

impl From<Failure> for StoreError {
    fn from(Failure { is_transient, text }: Failure) -> Self {
        match is_transient {
            true => Self::transient(text),
            false => Self::fatal(text),
        }
    }
}

/// The socket of a store's file.
pub(super) fn socket_path(store: &Path) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(".socket");
    path.into()
}

pub(super) fn send<T: Serialize>(stream: &mut UnixStream, value: &T) -> io::Result<()> {
    let bytes = postcard::to_allocvec(value).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(&bytes)
}

/// The next frame; `None` if the other side has ended.
pub(super) fn receive<T: DeserializeOwned>(stream: &mut UnixStream) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    postcard::from_bytes(&bytes).map(Some).map_err(io::Error::other)
}
