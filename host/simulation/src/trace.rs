//! What happened in a run, as a hash: two runs of one seed must have the same.

use std::fmt::{self, Write};

/// The hash of nothing.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// What happened so far.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    /// The text, if it is wanted.
    lines: Option<String>,
}

/// FNV-1a: the trace is compared with another one of the same program only.
struct Hasher<'a>(&'a mut u64);

impl Write for Hasher<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            *self.0 = (*self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

/// The hash of a text.
pub(crate) fn hash(text: &impl fmt::Display) -> u64 {
    let mut hash = BASIS;
    // A hasher takes everything.
    let _ = write!(Hasher(&mut hash), "{text}");
    hash
}

impl Trace {
    pub(crate) fn new(is_kept: bool) -> Self {
        Self { hash: BASIS, events: 0, lines: is_kept.then(String::new) }
    }

    pub(crate) fn add(&mut self, event: fmt::Arguments<'_>) {
        self.events += 1;
        let _ = writeln!(Hasher(&mut self.hash), "{event}");
        if let Some(lines) = &mut self.lines {
            let _ = writeln!(lines, "{event}");
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    pub(crate) fn lines(&mut self) -> Option<String> {
        self.lines.take()
    }
}
