//! The contract changes with a version and an entry in its changelog only.

use paceline_engine::Digest;

const CONTRACT: &str = include_str!("../../../../wit/plugin.wit");
const CHANGELOG: &str = include_str!("../../../../wit/CHANGELOG.md");

/// The contract without comments, blank lines and indentation.
fn bare() -> String {
    let lines = CONTRACT.lines().map(|line| line.split("//").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// What follows a text in another one, up to the next character of this kind.
fn after<'t>(text: &'t str, begin: &str, end: char) -> &'t str {
    let (_, rest) = text.split_once(begin).unwrap_or_else(|| panic!("there is no `{begin}`"));
    rest.split(end).next().unwrap_or_default()
}

#[test]
fn a_change_of_the_contract_has_a_version_and_an_entry() {
    let newest = after(CHANGELOG, "\n## ", '\n');
    assert_eq!(after(CONTRACT, "package paceline:plugin@", ';'), newest, "the newest entry is the contract's version");
    let digest = Digest::of(bare().as_bytes()).hex();
    assert_eq!(
        after(CHANGELOG, "`digest`: `", '`'),
        digest,
        "the contract has changed: raise its version, and say in wit/CHANGELOG.md what has changed, with this digest"
    );
}
