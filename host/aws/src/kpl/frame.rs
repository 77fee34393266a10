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

/// The protobuf message of a payload with an aggregate's frame; `None` for other payloads.
pub(super) fn message(payload: &[u8]) -> Option<&[u8]> {
    let (message, digest) = payload.strip_prefix(&MAGIC)?.split_last_chunk::<DIGEST_BYTES>()?;
    (!message.is_empty() && Md5::digest(message)[..] == digest[..]).then_some(message)
}

/// The payload of an aggregate with this message.
pub(super) fn framed(message: &[&[u8]]) -> Vec<u8> {
    let mut payload = MAGIC.to_vec();
    message.iter().for_each(|part| payload.extend_from_slice(part));
    let digest = Md5::digest(&payload[MAGIC.len()..]);
    payload.extend_from_slice(&digest);
    payload
}
