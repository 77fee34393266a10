//! The documents match the product: links, configuration keys, stages, the first plugin. A unit test next to the
//! program's arguments parses the commands in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use paceline_config::Config;
use paceline_pipeline::rules::parse_toml;
use paceline_testbed::environment::checkout;

fn read(path: impl AsRef<Path>) -> String {
    let path = checkout().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All documents, relative to the checkout.
fn documents() -> Vec<PathBuf> {
    let mut documents: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
        .into_iter()
        .map(PathBuf::from)
        .filter(|file| checkout().join(file).exists())
        .collect();
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(checkout().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|extension| extension == "md") => documents.push(path),
                false => {}
            }
        }
    }
    assert!(documents.len() > 10, "{documents:?}");
    documents
}

/// The lines outside code blocks.
fn prose(text: &str) -> Vec<&str> {
    let mut in_code = false;
    let is_prose = |line: &&str| {
        let delimiter = line.trim_start().starts_with("```");
        in_code ^= delimiter;
        !delimiter && !in_code
    };
    text.lines().filter(is_prose).collect()
}

/// The code blocks of a language.
pub(crate) fn code_blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    let blocks = text.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap_or_default().to_owned());
    blocks.collect()
}

/// The targets of links: `[text](target)` and `[text]: target`.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        // Code between backticks may look like a link.
        let plain: String = line.split('`').step_by(2).collect();
        links
            .extend(plain.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_owned()));
        if let Some((label, target)) = plain.split_once("]: ")
            && label.starts_with('[')
        {
            links.push(target.trim().to_owned());
        }
    }
    links
}

/// The anchors of a document, as GitHub makes them from headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
        let anchor = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>();
        let count = seen.entry(anchor.clone()).or_default();
        *count += 1;
        if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
    };
    headings.map(anchor).collect()
}

#[test]
fn every_relative_link_has_a_target() {
    let (mut broken, mut checked) = (Vec::new(), 0);
    for document in documents() {
        for link in links(&read(&document)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            checked += 1;
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(file, at)| (file, Some(at)));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let found = checkout().join(&target).exists()
                && anchor.is_none_or(|anchor| {
                    target.extension().is_none_or(|extension| extension != "md")
                        || anchors(&read(&target)).contains(anchor)
                });
            if !found {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(checked > 30, "{checked} links");
}

/// The dotted keys in the tables of `docs/configuration.md`.
fn documented_keys() -> BTreeSet<String> {
    let text = read("docs/configuration.md");
    let keys = text.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0));
    // Tables of environment variables have no dotted keys.
    keys.filter(|key| key.contains('.')).map(ToOwned::to_owned).collect()
}

/// The error of a configuration that consists of this text only.
fn config_error(text: &str) -> String {
    parse_toml::<Config>(text).expect_err("this text is not a complete configuration").to_string()
}

/// The keys of a table of the configuration, which its error for an unknown key lists; `None` if it is not a table with
/// fixed keys.
fn keys_of(table: &str) -> Option<Vec<String>> {
    let text = if table.is_empty() { "no-such-key = 1".to_owned() } else { format!("[{table}]\nno-such-key = 1") };
    let error = config_error(&text);
    let (_, expected) = error.split_once("unknown field `no-such-key`, expected ")?;
    let expected = expected.lines().next().unwrap_or_default();
    Some(expected.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect())
}

/// Adds the keys of a table and of the tables in it. `NAME` is a placeholder for names that users choose.
fn add_keys(table: &str, keys: &mut BTreeSet<String>) {
    for key in keys_of(table).unwrap_or_default() {
        let key = if table.is_empty() { key } else { format!("{table}.{key}") };
        let named = format!("{key}.NAME");
        if keys_of(&key).is_some() {
            add_keys(&key, keys);
        } else if keys_of(&named).is_some() {
            add_keys(&named, keys);
        } else if takes_any_name(&key) {
            keys.insert(named);
        } else {
            keys.insert(key);
        }
    }
}

/// Whether a key is a table of texts with names that users choose.
fn takes_any_name(key: &str) -> bool {
    let error = config_error(&format!("[{key}]\nNAME = \"text\""));
    !error.contains("invalid type: map") && !error.contains("unknown variant")
}

#[test]
fn the_documented_configuration_keys_match_the_parser() {
    let mut keys = BTreeSet::new();
    add_keys("", &mut keys);
    assert!(keys.contains("store.dynamodb.index.attribute") && keys.contains("leaderboard.NAME.show"), "{keys:#?}");
    let documented = documented_keys();
    let missing: Vec<_> = keys.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&keys).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "not documented: {missing:#?}; unknown: {unknown:#?}");
}

/// The first column of a document's tables, below a heading, up to the next one of the same level.
fn first_column(text: &str, heading: &str) -> BTreeSet<String> {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("## {heading}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
    names.collect()
}

#[test]
fn every_stage_of_the_metrics_is_documented() {
    let documented = read("docs/metrics.md");
    let (_, list) = documented.split_once("The label `stage` is one of ").unwrap();
    let list = list.split("\n\n").next().unwrap();
    let stages: Vec<_> = list.split('`').skip(1).step_by(2).collect();
    let expected = paceline_pipeline::summary::Stage::ALL.iter().map(|stage| stage.as_str());
    assert_eq!(stages, expected.collect::<Vec<_>>());
}

#[test]
fn the_documented_reasons_of_dead_letters_are_all_there_are() {
    let documented = first_column(&read("docs/operations/dead-letters.md"), "Reasons");
    let causes = paceline_pipeline::model::Cause::ALL.iter().map(|cause| cause.as_str().to_owned());
    assert_eq!(documented, causes.collect());
}

#[test]
fn the_documents_quote_the_example_plugin() {
    let rust = code_blocks(&read("README.md"), "rust");
    assert!(rust.contains(&read("examples/hello-scorer/src/lib.rs")), "{rust:#?}");
    // What a new project has, before its unit tests.
    let template = read("host/kit/templates/rust/scorer/lib.rs");
    let rule = template.split("\n#[cfg(test)]").next().unwrap();
    let rust = code_blocks(&read("docs/plugins.md"), "rust");
    assert_eq!(rust[0], rule);
}

#[test]
fn files_named_in_the_documents_exist() {
    let folders = ["host/", "plugins/", "scripts/", "wit/", "examples/", "docs/", ".github/"];
    let is_path = |code: &&str| {
        folders.iter().any(|folder| code.starts_with(folder))
            && code.chars().all(|char| char.is_ascii_alphanumeric() || "/._-".contains(char))
    };
    let mut seen = 0;
    for document in documents() {
        let text = read(&document);
        for path in prose(&text).iter().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(is_path) {
            assert!(checkout().join(path).exists(), "{}: there is no {path}", document.display());
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn no_file_of_a_stage_is_longer_than_300_lines() {
    let architecture = read("docs/architecture.md");
    let (_, table) = architecture.split_once("\n## Stages and their files\n").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let mut files = BTreeSet::new();
    for path in table.split('`').filter(|code| code.starts_with("host/")) {
        match checkout().join(path) {
            folder if folder.is_dir() => {
                let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
                files.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "rs")));
            }
            file => files.extend([file]),
        }
    }
    assert!(files.len() > 40, "{files:?}");
    for file in files {
        let lines = read(&file).lines().count();
        assert!(lines <= 300, "{} has {lines} lines", file.display());
    }
}
