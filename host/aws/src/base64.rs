//! Base64 of the standard alphabet, with padding.

use base64_simd::STANDARD;

/// The text is not padded base64 of the standard alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not base64")]
pub struct NotBase64;

/// Encodes bytes.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode_to_string(bytes)
}

/// Decodes text.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, NotBase64> {
    STANDARD.decode_to_vec(text).map_err(|_| NotBase64)
}
