//! Newline-delimited JSON from a file or standard input.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde::de::IgnoredAny;
use sha2::{Digest as _, Sha256};

use super::input::{Filled, Input, beginning, is_gzip};
use super::{Source, SourceError};
use crate::model::{Batch, BatchLimits, Checkpoint};

/// Bytes of a line that are kept. A longer line would not fit into a Kinesis record; it becomes a dead letter with this
/// much of its payload.
pub const MAX_LINE_BYTES: usize = 10 << 20;

/// Bytes before a checkpoint that distinguish the file from another one of the same name.
const FINGERPRINT_BYTES: usize = 4096;

/// Newline-delimited JSON. Each line is a record, except for blank ones. Its sequence number is the byte where it begins.
///
/// The last line may lack its newline. If it is a whole object, it is a record. Otherwise it may be one that is being
/// written: of a file, to which more may be appended, it is left for the next run; of a reader, whose end is the end for
/// good, it is a record.
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
    /// Of a line that is longer than what is kept: the bytes that were dropped.
    dropped: u64,
    /// Nothing follows `rest`.
    ended: bool,
    /// Reading failed, after records that are delivered first.
    failed: Option<SourceError>,
    len_hint: Option<u64>,
}

impl NdjsonSource {
    /// The lines of a file. The file is the shard. Its default name is the file's without the folder, so that it is the
    /// same shard wherever the program runs.
    pub fn file(path: &Path, name: Option<&str>) -> Result<Self, SourceError> {
        let wrong = |error: io::Error| SourceError::io(path.display(), error);
        let mut file = File::open(path).map_err(wrong)?;
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
        let compressed = beginning(&mut file).and_then(|bytes| is_gzip(&bytes)).map_err(wrong)?;
        file.rewind().map_err(wrong)?;
        if compressed {
            return Self::reader(file, shard);
        }
        Ok(Self::new(shard.into(), Input::File(file), Some(metadata.len())))
    }

    /// The lines of a reader, such as standard input or a compressed file. To resume, the same input is read from its start
    /// and skipped up to the checkpoint.
    pub fn reader(reader: impl Read + Send + 'static, name: &str) -> Result<Self, SourceError> {
        let input = Input::pipe(reader).map_err(SourceError::Thread)?;
        Ok(Self::new(name.into(), input, None))
    }

    fn new(shard: Arc<str>, input: Input, len_hint: Option<u64>) -> Self {
        Self {
            shard,
            input,
            rest: Vec::new(),
            taken: 0,
            at: 0,
            before: Vec::new(),
            dropped: 0,
            ended: false,
            failed: None,
            len_hint,
        }
    }

    /// Reads more into `rest`, until `until` at most.
    fn fill(&mut self, until: Option<Instant>) -> Result<Filled, SourceError> {
        if self.ended {
            return Ok(Filled::Ended);
        }
        self.rest.drain(..self.taken);
        self.taken = 0;
        let filled = self.input.read(&mut self.rest, until).map_err(|error| SourceError::io(&self.shard, error))?;
        self.ended = matches!(filled, Filled::Ended);
        Ok(filled)
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
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut batch = Batch::new(Arc::clone(&self.shard));
        let mut until = None;
        let mut searched = 0;
        while batch.records.len() < limits.max_records && batch.bytes.len() < limits.max_bytes {
            let open = &self.rest[self.taken..];
            match memchr::memchr(b'\n', &open[searched..]) {
                Some(end) => {
                    let end = searched + end;
                    self.push(&mut batch, end);
                    self.take(end + 1);
                    searched = 0;
                    if !batch.records.is_empty() {
                        until.get_or_insert_with(|| Instant::now() + limits.max_wait());
                    }
                }
                None => {
                    searched = open.len();
                    if searched > 2 * MAX_LINE_BYTES {
                        // Keep the beginning, and as much of the end as the fingerprint needs.
                        let (from, to) = (self.taken + MAX_LINE_BYTES, self.rest.len() - FINGERPRINT_BYTES);
                        self.dropped += (to - from) as u64;
                        self.rest.drain(from..to);
                        searched = MAX_LINE_BYTES + FINGERPRINT_BYTES;
                    }
                    match self.fill(until) {
                        Ok(Filled::More) => {}
                        Ok(Filled::Waiting) => break,
                        Err(error) if batch.records.is_empty() => return Err(error),
                        Err(error) => {
                            self.failed = Some(error);
                            break;
                        }
                        Ok(Filled::Ended) => {
                            self.last_line(&mut batch);
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
    /// Adds the line that ends `end` bytes after the consumed ones, unless it is blank.
    fn push(&mut self, batch: &mut Batch, end: usize) {
        let line = &self.rest[self.taken..self.taken + end];
        let dropped = std::mem::take(&mut self.dropped);
        if dropped == 0 && line.trim_ascii().is_empty() {
            return;
        }
        batch.push(&line[..line.len().min(MAX_LINE_BYTES)], self.at.into());
        let whole = line.len() as u64 + dropped;
        if whole > MAX_LINE_BYTES as u64 {
            batch.records.last_mut().expect("just pushed").cut_from = Some(whole);
        }
        self.at += dropped;
    }

    /// Adds the line without a newline at the end of the input, if it is whole or will never be.
    fn last_line(&mut self, batch: &mut Batch) {
        let line = &self.rest[self.taken..];
        if line.trim_ascii().is_empty() {
            return;
        }
        let may_grow = matches!(self.input, Input::File(_));
        if may_grow && (self.dropped > 0 || !is_object(line)) {
            // With the last batch, not with the one before it.
            if batch.records.is_empty() {
                let bytes = line.len() as u64 + self.dropped;
                tracing::warn!(
                    "the last line of {}, {bytes} bytes from byte {} on, has no newline and is not whole: it is left for \
                     the next run; end it with a newline if nothing follows",
                    self.shard,
                    self.at
                );
            }
            return;
        }
        let end = line.len();
        self.push(batch, end);
        self.take(end);
    }
}

/// Whether a line is a whole JSON object: nothing that is appended could belong to it.
fn is_object(line: &[u8]) -> bool {
    let line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line).trim_ascii_start();
    line.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(line).is_ok()
}
