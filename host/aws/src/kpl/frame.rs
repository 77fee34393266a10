//! The frame of an aggregate, and the hash keys of records.

use md5::{Digest, Md5};

/// The first bytes of an aggregate.
pub(super) const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];

/// The length of the MD5 at its end.
pub(super) const DIGEST_BYTES: usize = 16;

/// The hash key by which Kinesis assigns a partition key to a shard.
pub fn hash_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}

/// The protobuf message and the MD5 of a payload that has the form of an aggregate. It is one if the MD5 is the message's.
pub(super) fn parts(payload: &[u8]) -> Option<(&[u8], &[u8; DIGEST_BYTES])> {
    payload.strip_prefix(&MAGIC)?.split_last_chunk().filter(|(message, _)| !message.is_empty())
}

/// Whether a payload has an aggregate's frame.
pub(super) fn is_framed(payload: &[u8]) -> bool {
    parts(payload).is_some_and(|(message, digest)| Md5::digest(message)[..] == digest[..])
}

/// The payload of an aggregate with this message.
pub(super) fn framed(message: &[&[u8]]) -> Vec<u8> {
    let mut payload = MAGIC.to_vec();
    message.iter().for_each(|part| payload.extend_from_slice(part));
    let digest = Md5::digest(&payload[MAGIC.len()..]);
    payload.extend_from_slice(&digest);
    payload
}
