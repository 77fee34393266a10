//! Lines of a reader: positions are those of the whole input, whatever is dropped of long lines and however they arrive.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};

use paceline_pipeline::model::BatchLimits;
use paceline_pipeline::receive::{MAX_LINE_BYTES, NdjsonSource, Source};

/// Reads what a test sends.
struct Sent {
    chunks: Receiver<Vec<u8>>,
    rest: Vec<u8>,
}

impl Read for Sent {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.rest = self.chunks.recv().unwrap_or_default();
        }
        let bytes = self.rest.len().min(into.len());
        into[..bytes].copy_from_slice(&self.rest[..bytes]);
        self.rest.drain(..bytes);
        Ok(bytes)
    }
}

#[test]
fn a_long_line_that_arrives_in_parts_has_its_length_and_those_after_it_their_positions() {
    let (sender, chunks) = sync_channel(2);
    let mut source = NdjsonSource::reader(Sent { chunks, rest: Vec::new() }, "pipe").unwrap();
    let whole = 3 * MAX_LINE_BYTES as u64;
    let part = vec![b'x'; usize::try_from(whole).unwrap() - 7];
    sender.send([b"{}\n", &part[..]].concat()).unwrap();
    // The first line waits for more as long as a batch does. By then, the beginning of the next one is dropped.
    let limits = BatchLimits { max_bytes: usize::MAX, ..BatchLimits::default() };
    let batch = source.next(&limits).unwrap().unwrap();
    assert_eq!((batch.records.len(), batch.checkpoint.unwrap().sequence), (1, 3.into()));

    sender.send(b"xxxxxxx\n{}\n".to_vec()).unwrap();
    drop(sender);
    let batch = source.next(&limits).unwrap().unwrap();
    let records: Vec<_> = batch.records.iter().map(|record| (record.position.sequence, record.cut_from)).collect();
    assert_eq!(records, [(3.into(), Some(whole)), ((whole + 4).into(), None)]);
    assert_eq!(batch.checkpoint.unwrap().sequence, (whole + 7).into());
    assert!(source.next(&limits).unwrap().is_none());
}
