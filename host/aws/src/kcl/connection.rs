//! The conversation with the daemon: lines in, answers out.

use std::io::{self, Write};

use super::error::KclError;
use super::input::Input;
use super::protocol::Answer;

/// The conversation with the daemon: its lines, and what takes the answers.
#[derive(Debug)]
pub struct Connection<W> {
    pub(super) input: Input,
    output: W,
}

impl<W: Write> Connection<W> {
    /// A conversation at its beginning.
    pub fn new(input: Input, output: W) -> Self {
        Self { input, output }
    }

    /// Writes an answer.
    pub(super) fn send(&mut self, answer: &Answer) -> Result<(), KclError> {
        let mut line = serde_json::to_vec(answer).map_err(|error| KclError::Output(error.into()))?;
        line.push(b'\n');
        match self.output.write_all(&line).and_then(|()| self.output.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(KclError::DaemonGone),
            Err(error) => Err(KclError::Output(error)),
        }
    }
}
