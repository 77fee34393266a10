//! Rulebooks: any text is a rulebook or an error, and a rulebook has one text and one digest.

use paceline_engine::Digest;
use paceline_pipeline::rules::Rulebook;

use crate::laws::error_has_a_message;

/// Checks a text as a rulebook.
pub fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let rulebook = match Rulebook::parse(text) {
        Ok(rulebook) => rulebook,
        Err(error) => return error_has_a_message(&error),
    };
    keeps_its_meaning(&rulebook);
    // As it is published.
    let resolve = |plugin: &str| Ok::<_, String>(Digest::of(plugin.as_bytes()));
    let resolved = rulebook.resolved(resolve).expect("every plugin is resolved");
    keeps_its_meaning(&resolved);
    let again = resolved.resolved(|plugin| plugin.parse::<Digest>()).expect("plugins are digests");
    assert_eq!(again, resolved);
}

fn keeps_its_meaning(rulebook: &Rulebook) {
    let text = rulebook.to_toml();
    let again = Rulebook::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again, *rulebook, "{text}");
    assert_eq!(Digest::of(again.to_toml().as_bytes()), Digest::of(text.as_bytes()), "{text}");
}
