//! Entries of the rules' log: any bytes are an entry or an error, and only a trusted key makes one where keys are named.

use std::sync::OnceLock;

use paceline_engine::Digest;
use paceline_pipeline::rules::{Entry, InvalidEntry, LOG_FORMAT, SigningKey};
use paceline_pipeline::store::Pin;

use crate::laws::error_has_a_message;

/// Any key: no input is signed by it.
fn key() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::from_pkcs8(&SigningKey::generate().expect("a key")).expect("it is a key"))
}

/// Checks bytes as an entry of the revision that they name, and of another one.
pub fn check(data: &[u8]) {
    let revision = revision_of(data);
    match Entry::from_bytes(data, revision.wrapping_add(1), &[]) {
        Ok(entry) => panic!("{entry:?} is not of revision {revision}"),
        Err(error) => error_has_a_message(&error),
    }
    let found = Entry::from_bytes(data, revision, &[]);
    let trusted = Entry::from_bytes(data, revision, &[key().public()]);
    assert!(matches!(trusted, Err(InvalidEntry::Untrusted(_) | InvalidEntry::Garbage(_))), "{trusted:?}");
    match found {
        Ok(entry) => keeps_its_meaning(&entry),
        Err(error) => error_has_a_message(&error),
    }
}

/// The revision that an entry names; 0 if it names none.
fn revision_of(data: &[u8]) -> u64 {
    #[derive(serde::Deserialize)]
    struct Named {
        revision: u64,
    }

    let first = serde_json::Deserializer::from_slice(data).into_iter::<Named>().next();
    first.and_then(Result::ok).map_or(0, |named| named.revision)
}

fn keeps_its_meaning(entry: &Entry) {
    assert_eq!(entry.format, LOG_FORMAT);
    let bytes = entry.to_bytes(None);
    let again = Entry::from_bytes(&bytes, entry.revision, &[]).expect("its own bytes are an entry");
    assert_eq!(again, *entry);
    assert_eq!(again.to_bytes(None), bytes, "an entry has one digest");

    let signed = entry.to_bytes(Some(key()));
    assert_eq!(Entry::from_bytes(&signed, entry.revision, &[key().public()]).as_ref(), Ok(entry));
    assert_eq!(Entry::from_bytes(&signed, entry.revision, &[]).as_ref(), Ok(entry));
    assert!(signed.starts_with(&bytes));
    let mut altered = signed;
    altered[1] ^= b' ' ^ b'\n';
    assert!(Entry::from_bytes(&altered, entry.revision, &[key().public()]).is_err(), "what was signed is another text");

    let unknown = Digest::of(b"unknown");
    for (digest, published) in &entry.rules.rulebooks {
        assert_eq!(
            entry.rules.id(*digest).map(|id| id.to_string()),
            Some(format!("{}@{}", published.name, published.version))
        );
        assert!(entry.rules.find(&published.name, published.version).is_some());
    }
    for race_type in entry.rules.routing.keys() {
        let pin = Pin { rulebook: unknown, revision: u64::MAX };
        assert_eq!(entry.rules.effective(race_type, "", pin), unknown, "a race that began later is not concerned");
    }
}
