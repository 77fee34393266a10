//! What is read from a request, whatever its operation.

use std::borrow::Cow;

use serde::Deserialize;

/// The name of the stream that a request is for.
pub(super) fn stream_name(request: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct StreamRef<'a> {
        #[serde(rename = "StreamName", borrow, default)]
        name: Option<Cow<'a, str>>,
        #[serde(rename = "StreamARN", borrow, default)]
        arn: Option<Cow<'a, str>>,
    }
    let stream: StreamRef<'_> = serde_json::from_slice(request).ok()?;
    let of_arn = || Some(stream.arn.as_deref()?.rsplit_once(":stream/")?.1.to_owned());
    stream.name.as_deref().map(str::to_owned).or_else(of_arn)
}

/// The number of bytes that a text in Base64 encodes.
pub(super) fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_found_by_name_and_by_arn() {
        assert_eq!(stream_name(br#"{"StreamName":"a"}"#).unwrap(), "a");
        assert_eq!(stream_name(br#"{"StreamARN":"arn:aws:kinesis:us-east-1:1:stream/b"}"#).unwrap(), "b");
        assert_eq!(stream_name(b"{}"), None);
    }

    #[test]
    fn the_decoded_length_is_that_of_the_encoded_bytes() {
        for length in 0..20 {
            let text = base64_simd::STANDARD.encode_to_string(vec![0; length]);
            assert_eq!(decoded_length(&text), length, "{text}");
        }
    }
}
