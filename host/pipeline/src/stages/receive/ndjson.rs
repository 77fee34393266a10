//! Newline-delimited JSON from a file or standard input.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::{Source, SourceError};
use crate::model::{Batch, BatchLimits, Checkpoint};

/// Bytes of a line that are kept. A longer line would not fit into a Kinesis record; it becomes a dead letter with this
/// much of its payload.
pub const MAX_LINE_BYTES: usize = 10 << 20;

/// Bytes of one read.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes before a checkpoint that distinguish the file from another one of the same name.
const FINGERPRINT_BYTES: usize = 4096;

/// Newline-delimited JSON. Each line is a record, including empty lines and a last line without a newline. Its sequence
/// number is the byte where it begins.
#[derive(Debug)]
pub struct NdjsonSource {
    shard: Arc<str>,
    input: Input,
    /// Bytes that were read and not consumed yet.
    rest: Vec<u8>,
    /// How many bytes of `rest` are consumed.
    taken: usize,
    /// The byte of the input where the next line begins.
    at: u64,
    /// The last bytes before `at`.
    before: Vec<u8>,
    /// Nothing follows `rest`.
    ended: bool,
    len_hint: Option<u64>,
}

#[derive(Debug)]
enum Input {
    File(File),
    /// A reader that may block: a thread reads it, so that a batch is not delayed.
    Pipe(Receiver<io::Result<Vec<u8>>>),
}

impl NdjsonSource {
    /// The lines of a file. The file is the shard. Its default name is the file's without the folder, so that it is the
    /// same shard wherever the program runs.
    pub fn file(path: &Path, name: Option<&str>) -> Result<Self, SourceError> {
        let wrong = |error: io::Error| SourceError::io(path.display(), error);
        let file = File::open(path).map_err(wrong)?;
        let metadata = file.metadata().map_err(wrong)?;
        if metadata.is_dir() {
            return Err(SourceError::Unusable(format!("{} is a folder, not a file of messages", path.display())));
        }
        let file_name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let shard = name.unwrap_or(&file_name);
        if !metadata.is_file() {
            // For example a named pipe, which has no length and can't seek.
            return Self::reader(file, shard);
        }
        Ok(Self::new(shard.into(), Input::File(file), Some(metadata.len())))
    }

    /// The lines of a reader, such as standard input. To resume, the same input is read from its start and skipped up to
    /// the checkpoint.
    pub fn reader(reader: impl Read + Send + 'static, name: &str) -> Result<Self, SourceError> {
        let (sender, receiver) = sync_channel(4);
        std::thread::Builder::new()
            .name("paceline-reader".to_owned())
            .spawn(move || read_on(reader, &sender))
            .map_err(SourceError::Thread)?;
        Ok(Self::new(name.into(), Input::Pipe(receiver), None))
    }

    fn new(shard: Arc<str>, input: Input, len_hint: Option<u64>) -> Self {
        Self { shard, input, rest: Vec::new(), taken: 0, at: 0, before: Vec::new(), ended: false, len_hint }
    }

    /// Reads more into `rest`, until `until` at most.
    fn fill(&mut self, until: Option<Instant>) -> Result<Filled, SourceError> {
        if self.ended {
            return Ok(Filled::Ended);
        }
        self.rest.drain(..self.taken);
        self.taken = 0;
        let wrong = |error: io::Error| SourceError::io(&self.shard, error);
        match &mut self.input {
            Input::File(file) => {
                let had = self.rest.len();
                self.rest.resize(had + CHUNK_BYTES, 0);
                let read = read_some(file, &mut self.rest[had..]).map_err(wrong)?;
                self.rest.truncate(had + read);
                self.ended = read == 0;
            }
            Input::Pipe(chunks) => {
                let chunk = match until {
                    None => chunks.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(until) => chunks.recv_timeout(until.saturating_duration_since(Instant::now())),
                };
                match chunk {
                    Ok(chunk) => self.rest.extend(chunk.map_err(wrong)?),
                    Err(RecvTimeoutError::Timeout) => return Ok(Filled::Waiting),
                    Err(RecvTimeoutError::Disconnected) => self.ended = true,
                }
            }
        }
        Ok(if self.ended { Filled::Ended } else { Filled::More })
    }

    /// Marks bytes of `rest` as consumed.
    fn take(&mut self, bytes: usize) {
        let end = self.taken + bytes;
        // Only the last bytes before `at` matter, and they are all in `rest` unless little was consumed.
        let from = self.taken.max(end.saturating_sub(FINGERPRINT_BYTES));
        self.before.extend_from_slice(&self.rest[from..end]);
        self.at += bytes as u64;
        self.taken = end;
        if self.before.len() > 16 * FINGERPRINT_BYTES {
            self.trim_before();
        }
    }

    fn trim_before(&mut self) {
        self.before.drain(..self.before.len().saturating_sub(FINGERPRINT_BYTES));
    }

    fn checkpoint(&mut self) -> Checkpoint {
        self.trim_before();
        Checkpoint {
            sequence: self.at.into(),
            fingerprint: Some(Sha256::digest(&self.before).into()),
            ..Checkpoint::default()
        }
    }

    fn resume_at(&mut self, at: u64, checkpoint: &Checkpoint) -> Result<(), SourceError> {
        let another = |what: &str| {
            SourceError::Unusable(format!(
                "{} is not the input that was read before: {what}. To read it as a new one, give it another `name` in \
                 [source], or use another store",
                self.shard
            ))
        };
        if let Input::File(file) = &mut self.input {
            let have = self.len_hint.unwrap_or(0);
            if have < at {
                return Err(another(&format!("it has {have} bytes, of which {at} were read")));
            }
            let from = at.saturating_sub(FINGERPRINT_BYTES as u64);
            file.seek(SeekFrom::Start(from)).map_err(|error| SourceError::io(&self.shard, error))?;
            self.at = from;
        }
        while self.at < at {
            if self.taken == self.rest.len() && matches!(self.fill(None)?, Filled::Ended) {
                let had = self.at;
                return Err(SourceError::Unusable(format!(
                    "{} is not the input that was read before: it ends after {had} bytes, of which {at} were read",
                    self.shard
                )));
            }
            let bytes = (self.rest.len() - self.taken).min(usize::try_from(at - self.at).unwrap_or(usize::MAX));
            self.take(bytes);
            self.trim_before();
        }
        if self.checkpoint() != *checkpoint {
            return Err(SourceError::Unusable(format!(
                "{} is not the input that was read before: the bytes before byte {at} have changed. To read it as a new \
                 one, give it another `name` in [source], or use another store",
                self.shard
            )));
        }
        Ok(())
    }
}

enum Filled {
    More,
    Waiting,
    Ended,
}

impl Source for NdjsonSource {
    fn shard(&self) -> &Arc<str> {
        &self.shard
    }

    fn len_hint(&self) -> Option<u64> {
        self.len_hint
    }

    fn resume(&mut self, checkpoint: Option<&Checkpoint>) -> Result<(), SourceError> {
        let Some(checkpoint) = checkpoint else { return Ok(()) };
        let at = checkpoint.sequence.to_u64().ok_or_else(|| {
            SourceError::Unusable(format!(
                "the checkpoint of {} is {}, which is no position in a file",
                self.shard, checkpoint.sequence
            ))
        })?;
        self.resume_at(at, checkpoint)
    }

    fn next(&mut self, limits: &BatchLimits) -> Result<Option<Batch>, SourceError> {
        let mut batch = Batch::new(Arc::clone(&self.shard));
        let mut until = None;
        // Of a line that is longer than what is kept: the bytes that were dropped.
        let mut dropped = 0_u64;
        let mut searched = 0;
        while batch.records.len() < limits.max_records && batch.bytes.len() < limits.max_bytes {
            let open = &self.rest[self.taken..];
            match memchr::memchr(b'\n', &open[searched..]) {
                Some(end) => {
                    let end = searched + end;
                    self.push(&mut batch, end, std::mem::take(&mut dropped));
                    self.take(end + 1);
                    searched = 0;
                    until.get_or_insert_with(|| Instant::now() + limits.max_wait());
                }
                None => {
                    searched = open.len();
                    if searched > 2 * MAX_LINE_BYTES {
                        // Keep the beginning, and as much of the end as the fingerprint needs.
                        let (from, to) = (self.taken + MAX_LINE_BYTES, self.rest.len() - FINGERPRINT_BYTES);
                        dropped += (to - from) as u64;
                        self.rest.drain(from..to);
                        searched = MAX_LINE_BYTES + FINGERPRINT_BYTES;
                    }
                    match self.fill(until)? {
                        Filled::More => {}
                        Filled::Waiting => break,
                        Filled::Ended => {
                            let end = self.rest.len() - self.taken;
                            if end > 0 {
                                self.push(&mut batch, end, std::mem::take(&mut dropped));
                                self.take(end);
                            }
                            break;
                        }
                    }
                }
            }
        }
        if batch.records.is_empty() {
            return Ok(None);
        }
        batch.checkpoint = Some(self.checkpoint());
        Ok(Some(batch))
    }
}

impl NdjsonSource {
    /// Adds the line that ends `end` bytes after the consumed ones. `dropped` of its bytes are gone.
    fn push(&mut self, batch: &mut Batch, end: usize, dropped: u64) {
        let line = &self.rest[self.taken..self.taken + end];
        batch.push(&line[..line.len().min(MAX_LINE_BYTES)], self.at.into());
        let whole = line.len() as u64 + dropped;
        if whole > MAX_LINE_BYTES as u64 {
            batch.records.last_mut().expect("just pushed").cut_from = Some(whole);
        }
        self.at += dropped;
    }
}

/// Reads some bytes; 0 at the end.
fn read_some(reader: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn read_on(mut reader: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match read_some(&mut reader, &mut chunk) {
            Ok(0) => return,
            Ok(read) => {
                chunk.truncate(read);
                Ok(chunk)
            }
            Err(error) => Err(error),
        };
        let failed = read.is_err();
        if sender.send(read).is_err() || failed {
            return;
        }
    }
}
