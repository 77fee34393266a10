//! Lines from the daemon. They come through a queue, so that the end of the input is noticed at once, also while the store
//! is retried. A thread reads them from standard input; whoever has lines already fills the queue itself.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::mpsc;

/// The longest line. A response of Kinesis has at most 10 MiB, but an aggregate of tiny records grows some twenty times in
/// JSON.
const MAX_LINE_BYTES: usize = 256 << 20;

/// A larger buffer is freed after use: lines that long are rare.
const KEPT_BYTES: usize = 32 << 20;

/// Lines that are read ahead of the current one.
const LINES: usize = 1;

/// Bytes of one read.
const READ_BYTES: usize = 256 << 10;

/// Standard input can't be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Reading failed.
    #[error("standard input can't be read")]
    Io(#[source] io::Error),
    /// The thread that reads can't be started.
    #[error("no thread can be started to read standard input")]
    Thread(#[source] io::Error),
    /// A line exceeds the limit.
    #[error(
        "the daemon sent a line longer than {0} bytes: set a smaller [batch] max-records, which --write-properties writes \
         as maxRecords"
    )]
    LineTooLong(usize),
}

/// Lines from the daemon.
#[derive(Debug)]
pub struct Input {
    lines: mpsc::Receiver<Result<Vec<u8>, InputError>>,
    /// Buffers for further lines.
    used: SyncSender<Vec<u8>>,
}

impl Input {
    /// Starts the thread that reads. It calls `ended` at the end of the input.
    pub fn start(from: impl Read + Send + 'static, ended: impl FnOnce() + Send + 'static) -> Result<Self, InputError> {
        let (sender, lines) = mpsc::channel(LINES);
        let (used, free) = sync_channel::<Vec<u8>>(LINES);
        let thread = std::thread::Builder::new().name("paceline-daemon".to_owned()).spawn(move || {
            let mut from = BufReader::with_capacity(READ_BYTES, from);
            loop {
                let line = read_line(&mut from, free.try_recv().unwrap_or_default(), MAX_LINE_BYTES);
                let Some(line) = line.transpose() else { return ended() };
                let failed = line.is_err();
                if sender.blocking_send(line).is_err() || failed {
                    return;
                }
            }
        });
        thread.map_err(InputError::Thread)?;
        Ok(Self { lines, used })
    }

    /// An input without a thread: what the sender gets, each a line without its newline. The input ends when the sender is
    /// dropped.
    pub fn queue() -> (mpsc::Sender<Result<Vec<u8>, InputError>>, Self) {
        let ((sender, lines), (used, _)) = (mpsc::channel(LINES), sync_channel(LINES));
        (sender, Self { lines, used })
    }

    /// The next line without its newline; `None` at the end of the input.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, InputError> {
        self.lines.recv().await.transpose()
    }

    /// Takes a line's buffer back.
    pub(super) fn reuse(&self, mut line: Vec<u8>) {
        line.clear();
        if line.capacity() <= KEPT_BYTES {
            // Without room, one buffer more is freed.
            let _ = self.used.try_send(line);
        }
    }

    /// Whether the daemon closed the input. There may be lines that are not taken yet.
    pub(super) fn has_ended(&self) -> bool {
        self.lines.is_closed()
    }

    /// Whether the daemon closed the input and all lines are taken.
    pub(super) fn is_over(&self) -> bool {
        self.lines.is_closed() && self.lines.is_empty()
    }
}

/// Reads a line into an empty buffer; `None` at the end of the input.
fn read_line(from: &mut impl BufRead, mut line: Vec<u8>, most: usize) -> Result<Option<Vec<u8>>, InputError> {
    let read = from.take(most as u64 + 1).read_until(b'\n', &mut line);
    read.map_err(InputError::Io)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() >= most => Err(InputError::LineTooLong(most)),
        Some(_) => {
            tracing::warn!("the daemon's last line is incomplete and ignored");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_whole() {
        let mut from = &b"one\n\nfour\n12345\n"[..];
        let mut next = || read_line(&mut from, Vec::new(), 4);
        assert_eq!(next().unwrap(), Some(b"one".to_vec()));
        assert_eq!(next().unwrap(), Some(Vec::new()));
        assert_eq!(next().unwrap(), Some(b"four".to_vec()));
        assert!(next().unwrap_err().to_string().contains("longer than 4 bytes"));
        assert_eq!(read_line(&mut &b"cut o"[..], Vec::new(), 100).unwrap(), None);
        assert_eq!(read_line(&mut &b""[..], Vec::new(), 100).unwrap(), None);
    }
}
