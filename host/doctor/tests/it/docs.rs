//! Every check has its section in the manual.

use std::collections::BTreeSet;
use std::path::Path;

use paceline_doctor::CHECKS;

#[test]
fn every_check_has_its_section_in_the_manual() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations/troubleshooting.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let sections: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let ids: BTreeSet<&str> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(sections, ids);
}

#[test]
fn the_manual_quotes_the_articles_report() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(manifest.join("../../docs/operations/troubleshooting.md")).unwrap();
    let report = std::fs::read_to_string(manifest.join("tests/reports/article.txt")).unwrap();
    let quoted = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(report.starts_with(quoted), "{report}");
}
