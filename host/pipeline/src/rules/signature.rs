//! Signatures of log entries and of compiled code: Ed25519, so that who can write the bucket can't change the rules.

use std::fmt;
use std::str::FromStr;

use paceline_engine::CodeSignature;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// What the text of a public key begins with.
const PREFIX: &str = "ed25519:";

/// The key that verifies an operator's signatures. Its text is `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

/// The text is not a public key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public key is `{PREFIX}` and 64 hexadecimal digits, as `paceline rules keygen` prints it")]
pub struct NotAKey;

/// The key with which an operator signs.
pub struct SigningKey(Ed25519KeyPair);

/// A signing key can't be made or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// The machine has no randomness.
    #[error("no key can be generated: this machine provides no random numbers")]
    NoRandomness,
    /// The bytes are no key.
    #[error("it is not a signing key, as `paceline rules keygen` writes it")]
    NotAKey,
}

/// A signature of a log entry, which stands behind the entry's own JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    key: PublicKey,
    /// 128 hexadecimal digits.
    signature: String,
}

impl PublicKey {
    /// Its 32 bytes.
    pub(super) fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Whether a signature is of these bytes and by this key.
    pub(super) fn verifies(self, signature: &Signature, bytes: &[u8]) -> bool {
        let Some(found) = from_hex::<64>(&signature.signature) else { return false };
        signature.key == self && UnparsedPublicKey::new(&ED25519, self.0).verify(bytes, &found).is_ok()
    }
}

impl SigningKey {
    /// Generates a key. Returns it in the format PKCS #8.
    pub fn generate() -> Result<Vec<u8>, SigningKeyError> {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| SigningKeyError::NoRandomness)?;
        Ok(pair.as_ref().to_vec())
    }

    /// Reads a key in the format PKCS #8.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, SigningKeyError> {
        Ed25519KeyPair::from_pkcs8(bytes).map(Self).map_err(|_| SigningKeyError::NotAKey)
    }

    /// The key that verifies its signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    /// Signs compiled code.
    pub(super) fn sign_code(&self, statement: &[u8]) -> CodeSignature {
        let signature = self.0.sign(statement);
        let signature = signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes");
        CodeSignature { key: self.public().0, signature }
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Signature {
        Signature { key: self.public(), signature: hex(self.0.sign(bytes).as_ref()) }
    }
}

/// Without the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.public()).finish()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hex(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        text.strip_prefix(PREFIX).and_then(from_hex).map(Self).ok_or(NotAKey)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap()
    }

    #[test]
    fn only_the_key_that_signed_verifies_and_only_what_it_signed() {
        let (ours, theirs) = (key(), key());
        let signature = ours.sign(b"an entry");
        assert!(ours.public().verifies(&signature, b"an entry"));
        assert!(!ours.public().verifies(&signature, b"an entrY"));
        assert!(!theirs.public().verifies(&signature, b"an entry"));
        let claimed = Signature { key: theirs.public(), ..signature.clone() };
        assert!(!theirs.public().verifies(&claimed, b"an entry"));
        for broken in ["", "00", &"0".repeat(128), &"é".repeat(64)] {
            let signature = Signature { key: ours.public(), signature: broken.to_owned() };
            assert!(!ours.public().verifies(&signature, b"an entry"), "{broken}");
        }
    }

    #[test]
    fn a_public_key_is_parsed_from_its_own_text() {
        let public = key().public();
        assert_eq!(public.to_string().parse::<PublicKey>().unwrap(), public);
        for text in ["", "ed25519:", "ed25519:00", &format!("rsa:{}", "0".repeat(64)), &"0".repeat(72)] {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
        assert_eq!(SigningKey::from_pkcs8(b"no key").unwrap_err(), SigningKeyError::NotAKey);
    }
}
