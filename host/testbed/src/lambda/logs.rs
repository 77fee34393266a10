//! The output of a function's instances.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// The bytes to keep; the oldest lines are dropped. A test prints far less; a function in a loop would fill the memory.
const MAX_BYTES: usize = 16 << 20;
/// The bytes of a line; a longer one is split. Lambda splits at 256 KB, too.
const MAX_LINE_BYTES: u64 = 256 << 10;

/// The latest lines of all instances, in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Logs {
    lines: Mutex<LogLines>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct LogLines {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Logs {
    /// Reads lines until the stream ends.
    pub(super) async fn collect(&self, stream: impl AsyncRead + Unpin) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        // A read error means that the process is dead.
        while (&mut stream).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await.is_ok_and(|bytes| bytes > 0) {
            self.push(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            line.clear();
        }
    }

    fn push(&self, line: String) {
        let mut kept = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += line.len();
        kept.lines.push_back(line);
        while kept.bytes > MAX_BYTES
            && let Some(oldest) = kept.lines.pop_front()
        {
            kept.bytes -= oldest.len();
        }
        self.grown.notify_all();
    }

    pub(super) fn text(&self) -> String {
        let kept = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    pub(super) fn wait_for(&self, text: &str, timeout: Duration) -> bool {
        let kept = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |kept: &mut LogLines| !kept.lines.iter().any(|line| line.contains(text));
        let waited = self.grown.wait_timeout_while(kept, timeout, missing).unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }
}
