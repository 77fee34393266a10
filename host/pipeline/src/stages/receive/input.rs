//! The bytes of a file or of a reader. Those that are compressed with gzip are decompressed.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Instant;

use flate2::read::MultiGzDecoder;

use crate::model::Encoding;

/// Bytes of one read.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug)]
pub(super) enum Input {
    /// A regular file, to which something else may append.
    File(File),
    /// A reader that may block: a thread reads it, so that a batch is not delayed. Its end is the end for good.
    Pipe(Receiver<io::Result<Vec<u8>>>),
}

/// What became of a read.
pub(super) enum Filled {
    More,
    /// Nothing came in time.
    Waiting,
    Ended,
}

impl Input {
    /// Starts the thread that reads.
    pub(super) fn pipe(reader: impl Read + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(4);
        std::thread::Builder::new()
            .name("paceline-reader".to_owned())
            .spawn(move || read_on(reader, &sender))
            .map(|_| Self::Pipe(receiver))
    }

    /// Appends what is read next, until `until` at most.
    pub(super) fn read(&mut self, into: &mut Vec<u8>, until: Option<Instant>) -> io::Result<Filled> {
        match self {
            Self::File(file) => {
                let had = into.len();
                into.resize(had + CHUNK_BYTES, 0);
                let read = read_some(file, &mut into[had..])?;
                into.truncate(had + read);
                Ok(if read == 0 { Filled::Ended } else { Filled::More })
            }
            Self::Pipe(chunks) => {
                let chunk = match until {
                    None => chunks.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(until) => chunks.recv_timeout(until.saturating_duration_since(Instant::now())),
                };
                match chunk {
                    Ok(chunk) => {
                        into.extend(chunk?);
                        Ok(Filled::More)
                    }
                    Err(RecvTimeoutError::Timeout) => Ok(Filled::Waiting),
                    Err(RecvTimeoutError::Disconnected) => Ok(Filled::Ended),
                }
            }
        }
    }
}

/// Whether bytes that begin like this are compressed with gzip. Other formats are errors: none of them is JSON.
pub(super) fn is_gzip(beginning: &[u8]) -> io::Result<bool> {
    match Encoding::of(beginning) {
        Some(Encoding::Gzip) => Ok(true),
        // A damaged aggregate may be the first line of a file of payloads.
        None | Some(Encoding::Aggregate) => Ok(false),
        Some(other) => {
            let message = format!("it is {other}: newline-delimited JSON is wanted, as it is or compressed with gzip");
            Err(io::Error::new(io::ErrorKind::InvalidData, message))
        }
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

/// The first bytes of a reader: no more than it takes to know the format, which a reader that blocks has soon.
pub(super) fn beginning(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = [0; Encoding::LOOKED_AT];
    let mut had = 0;
    // A first line that is shorter has its newline.
    while had < bytes.len() && !bytes[..had].contains(&b'\n') {
        match read_some(reader, &mut bytes[had..])? {
            0 => break,
            read => had += read,
        }
    }
    Ok(bytes[..had].to_vec())
}

fn read_on(mut reader: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    let begun = beginning(&mut reader).and_then(|bytes| is_gzip(&bytes).map(|is_gzip| (bytes, is_gzip)));
    match begun {
        Ok((bytes, true)) => send(MultiGzDecoder::new(Cursor::new(bytes).chain(reader)), sender),
        Ok((bytes, false)) => send(Cursor::new(bytes).chain(reader), sender),
        // Without a receiver nobody wants to know.
        Err(error) => drop(sender.send(Err(error))),
    }
}

/// Sends what a reader has, until its end or its first error.
fn send(mut reader: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
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
