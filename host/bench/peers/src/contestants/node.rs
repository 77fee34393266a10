//! node: `node.js` beside this file, in a process of its own, which measures its own time. It has no limits but those of
//! a process.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::messages::Batch;
use crate::turns::Contestant;

/// A process of node. It ends when its input does.
pub(crate) struct Node {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Node {
    /// `None` where node is not installed.
    pub(crate) fn start() -> Option<RefCell<Self>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contestants/node.js");
        let mut node = Command::new("node");
        let mut child = node.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        Some(RefCell::new(Self { child, input, output }))
    }

    /// Gives it the messages that it works on from now on.
    pub(crate) fn load(&mut self, batch: &Batch) {
        let rows: usize = self.ask(&json!({ "name": "load", "file": batch.file }));
        assert_eq!(rows, batch.rows(), "node has all messages");
    }

    fn ask<T: DeserializeOwned>(&mut self, command: &Value) -> T {
        writeln!(self.input.as_mut().expect("it is taken at the end"), "{command}").expect("node reads commands");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("node answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("node answered `{line}`: {error}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// One of the rules of `node.js`.
pub(crate) struct NodeRule<'n> {
    pub(crate) node: &'n RefCell<Node>,
    pub(crate) name: &'static str,
}

impl Contestant for NodeRule<'_> {
    fn score(&mut self) -> Vec<f64> {
        self.node.borrow_mut().ask(&json!({ "name": "score", "rule": self.name }))
    }

    fn time(&mut self, calls: u32) -> Duration {
        let command = json!({ "name": "time", "rule": self.name, "calls": calls });
        Duration::from_nanos(self.node.borrow_mut().ask(&command))
    }
}
