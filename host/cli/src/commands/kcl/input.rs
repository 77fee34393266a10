//! Lines from the daemon, read on a thread of their own: so it is known at once when the daemon is gone, also while a
//! store is tried again and again.

use std::io::{BufRead, BufReader, Read};

use tokio::sync::mpsc;

use crate::Failure;

/// The longest line. An answer of Kinesis has 10 MiB at most, but what an aggregate of tiny records becomes in JSON is
/// some twenty times its size.
pub(crate) const MAX_LINE_BYTES: usize = 256 << 20;

/// A buffer above this size is given back to the system after use: lines that long are rare.
const KEPT_BYTES: usize = 32 << 20;

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Lines from the daemon.
#[derive(Debug)]
pub(crate) struct Input {
    lines: mpsc::Receiver<Result<Vec<u8>, Failure>>,
    /// Buffers for further lines.
    used: std::sync::mpsc::Sender<Vec<u8>>,
}

impl Input {
    /// Begins to read.
    pub(crate) fn start(from: impl Read + Send + 'static) -> Result<Self, Failure> {
        let (sender, lines) = mpsc::channel(1);
        let (used, free) = std::sync::mpsc::channel::<Vec<u8>>();
        let thread = std::thread::Builder::new().name("paceline-daemon".to_owned()).spawn(move || {
            let mut from = BufReader::with_capacity(READ_BYTES, from);
            loop {
                let line = read_line(&mut from, free.try_recv().unwrap_or_default(), MAX_LINE_BYTES);
                let Some(line) = line.transpose() else { return };
                let failed = line.is_err();
                if sender.blocking_send(line).is_err() || failed {
                    return;
                }
            }
        });
        thread.map_err(|error| error.to_string())?;
        Ok(Self { lines, used })
    }

    /// The next line, without its end; nothing when the daemon is gone.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        self.lines.recv().await.transpose()
    }

    /// Gives a line's buffer back.
    pub(crate) fn done(&self, mut line: Vec<u8>) {
        line.clear();
        if line.capacity() <= KEPT_BYTES {
            let _ = self.used.send(line);
        }
    }

    /// Whether the daemon is gone: there is nothing more to read.
    pub(crate) fn is_over(&self) -> bool {
        self.lines.is_closed() && self.lines.is_empty()
    }
}

/// Reads a line into an empty buffer; nothing at the end.
fn read_line(from: &mut impl BufRead, mut line: Vec<u8>, most: usize) -> Result<Option<Vec<u8>>, Failure> {
    let read = from.take(most as u64 + 1).read_until(b'\n', &mut line);
    read.map_err(|error| format!("standard input can't be read: {error}"))?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() >= most => Err(format!(
            "a line of the daemon's is longer than {most} bytes: let it take fewer records at once, by a smaller [batch] \
             max-records, which --write-properties writes as maxRecords"
        )),
        Some(_) => {
            tracing::warn!("the daemon's last line has no end: it is left out");
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
        assert_eq!(next(), Ok(Some(b"one".to_vec())));
        assert_eq!(next(), Ok(Some(Vec::new())));
        assert_eq!(next(), Ok(Some(b"four".to_vec())));
        assert!(next().unwrap_err().contains("longer than 4 bytes"));
        assert_eq!(read_line(&mut &b"cut o"[..], Vec::new(), 100), Ok(None));
        assert_eq!(read_line(&mut &b""[..], Vec::new(), 100), Ok(None));
    }
}
