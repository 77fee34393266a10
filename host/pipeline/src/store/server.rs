//! The store of this process for other processes: standings are looked at, and dead letters redriven, while a race runs.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tokio::runtime::Runtime;

use super::protocol::{Failure, GREETING, Request, receive, send, socket_path};
use super::{CheckpointStore, DeadLetterStore, EmbeddedStore, GroupStore, NoticeStore, PinStore, StoreError};
use crate::error::ErrorChain;

/// Answers the calls of other processes on a socket beside the store's file, until it is stopped or dropped.
#[derive(Debug)]
pub struct StoreServer {
    socket: PathBuf,
    stopped: Arc<AtomicBool>,
}

impl StoreServer {
    /// Serves the store of this file. Only this user's processes can connect. A process that can't serve it works all the
    /// same, and says so in its log.
    pub fn start(store: Arc<EmbeddedStore>, file: &Path) -> Option<Self> {
        let warn = |error: &io::Error| {
            tracing::warn!("commands can't use the store while this process runs: {}", ErrorChain(error));
        };
        Self::try_start(store, file).inspect_err(warn).ok()
    }

    fn try_start(store: Arc<EmbeddedStore>, file: &Path) -> io::Result<Self> {
        let socket = socket_path(file);
        // It is of a process that was killed: this one has the store.
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&socket)?;
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600))?;
        let stopped = Arc::new(AtomicBool::new(false));
        let accepting = Arc::clone(&stopped);
        std::thread::Builder::new().name("paceline-store".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if accepting.load(Ordering::SeqCst) {
                    return;
                }
                match stream {
                    Ok(stream) => serve_on_a_thread(Arc::clone(&store), stream),
                    Err(error) => tracing::warn!("another process can't be served: {}", ErrorChain(&error)),
                }
            }
        })?;
        Ok(Self { socket, stopped })
    }

    /// Removes the socket and takes no more connections. A process that ends calls this: its tasks may hold the server until
    /// then, so that it is never dropped.
    pub fn stop(&self) {
        if self.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        // The thread waits for a connection.
        let _ = UnixStream::connect(&self.socket);
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve_on_a_thread(store: Arc<EmbeddedStore>, stream: UnixStream) {
    let served = move || {
        if let Err(error) = serve(&store, stream) {
            tracing::debug!("the connection of another process has ended: {}", ErrorChain(&error));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("paceline-reader".to_owned()).spawn(served) {
        tracing::warn!("another process can't be served: {}", ErrorChain(&error));
    }
}

/// Answers the calls of one process, until it ends.
fn serve(store: &EmbeddedStore, mut stream: UnixStream) -> io::Result<()> {
    // The calls of an embedded store never wait.
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    send(&mut stream, &GREETING)?;
    while let Some(request) = receive::<Request>(&mut stream)? {
        answer(store, &runtime, request, &mut stream)?;
    }
    Ok(())
}

fn answer(store: &EmbeddedStore, runtime: &Runtime, request: Request, stream: &mut UnixStream) -> io::Result<()> {
    use Request::{
        AssignRedriveSequences, DeleteDeadLetters, Flush, GetCheckpoint, GetDeadLetter, GetHorizon, GetPins,
        KnownDeadLetters, ListGroups, ListNotices, ListPartition, ListPins, LoadGroups, PutCheckpoint, PutDeadLetters,
        PutHorizon, PutNotice, PutPins, ScanDeadLetters, WriteGroups,
    };
    match request {
        LoadGroups(keys) => reply(stream, runtime.block_on(store.load_groups(&keys))),
        WriteGroups(writes) => reply(stream, runtime.block_on(store.write_groups(&writes))),
        ListPartition(partition) => reply(stream, runtime.block_on(store.list_partition(&partition))),
        ListGroups => reply(stream, runtime.block_on(store.list_groups())),
        GetPins(keys) => reply(stream, runtime.block_on(store.get_pins(&keys))),
        PutPins(pins) => reply(stream, runtime.block_on(store.put_pins(&pins))),
        ListPins(race_type, limit) => reply(stream, runtime.block_on(store.list_pins(&race_type, limit))),
        GetCheckpoint(shard) => reply(stream, runtime.block_on(store.get_checkpoint(&shard))),
        PutCheckpoint(shard, checkpoint) => reply(stream, runtime.block_on(store.put_checkpoint(&shard, &checkpoint))),
        Flush => reply(stream, runtime.block_on(store.flush())),
        PutDeadLetters(letters) => reply(stream, runtime.block_on(store.put_dead_letters(&letters))),
        DeleteDeadLetters(ids) => reply(stream, runtime.block_on(store.delete_dead_letters(&ids))),
        GetDeadLetter(id) => reply(stream, runtime.block_on(store.get_dead_letter(&id))),
        GetHorizon(shard) => reply(stream, runtime.block_on(store.get_horizon(&shard))),
        PutHorizon(shard, horizon) => reply(stream, runtime.block_on(store.put_horizon(&shard, &horizon))),
        KnownDeadLetters(ids) => reply(stream, runtime.block_on(store.known_dead_letters(&ids))),
        ScanDeadLetters => scan(store, runtime, stream),
        AssignRedriveSequences(ids) => reply(stream, runtime.block_on(store.assign_redrive_sequences(&ids))),
        ListNotices(topic) => reply(stream, runtime.block_on(store.list_notices(&topic))),
        PutNotice(topic, notice, expected) => {
            reply(stream, runtime.block_on(store.put_notice(&topic, &notice, expected)))
        }
    }
}

fn reply<T: Serialize>(stream: &mut UnixStream, result: Result<T, StoreError>) -> io::Result<()> {
    send(stream, &result.map_err(|error| Failure::of(&error)))
}

fn scan(store: &EmbeddedStore, runtime: &Runtime, stream: &mut UnixStream) -> io::Result<()> {
    let mut sent = Ok(());
    let scanned = runtime.block_on(store.scan_dead_letters(|letter| {
        if sent.is_ok() {
            sent = reply(stream, Ok(Some(letter)));
        }
    }));
    sent?;
    reply(stream, scanned.map(|()| None::<crate::model::DeadLetter>))
}
