//! The files of new projects. `@NAME@`, `@KIND@` and `@LANGUAGE@` stand for those of the project, `@A_KIND@` for the kind with
//! its article.

use super::{Kind, Language};

/// Files with their paths in a project.
type Files = &'static [(&'static str, &'static str)];

macro_rules! template {
    ($($path:literal from $source:literal,)*) => {
        &[$(($path, include_str!(concat!("../../templates/", $source)))),*]
    };
}

/// The files that all projects in a language have.
fn shared(language: Language) -> Files {
    match language {
        Language::Rust => template! {
            ".cargo/config.toml" from "rust/all/cargo-config.toml",
            ".gitignore" from "rust/all/gitignore",
            "Cargo.toml" from "rust/all/manifest.toml",
            "README.md" from "rust/all/README.md",
        },
        Language::JavaScript => template! {
            ".gitignore" from "javascript/all/gitignore",
            "README.md" from "javascript/all/README.md",
            "package.json" from "javascript/all/package.json",
            "paceline.js" from "javascript/all/paceline.js",
        },
        Language::Python => template! {
            ".gitignore" from "python/all/gitignore",
            "README.md" from "python/all/README.md",
            "paceline.py" from "python/all/paceline.py",
            "requirements.txt" from "python/all/requirements.txt",
        },
    }
}

/// The sample events of a kind, and what the rule gives for them, the same in each language.
fn samples(kind: Kind) -> Files {
    match kind {
        Kind::Scorer => template! {
            "events.ndjson" from "events/scorer.events.ndjson",
            "expected.ndjson" from "events/scorer.expected.ndjson",
            "plugin.toml" from "events/plugin.toml",
        },
        Kind::Validator => template! {
            "events.ndjson" from "events/validator.events.ndjson",
            "expected.ndjson" from "events/validator.expected.ndjson",
            "plugin.toml" from "events/plugin.toml",
        },
        Kind::Aggregator => template! {
            "events.ndjson" from "events/aggregator.events.ndjson",
            "expected.ndjson" from "events/aggregator.expected.ndjson",
            "plugin.toml" from "events/aggregator.plugin.toml",
        },
    }
}

/// A race that the rule judges, on one machine.
fn race(kind: Kind) -> Files {
    match kind {
        Kind::Scorer => template! {
            "race/paceline.toml" from "race/paceline.toml",
            "race/rulebooks/@NAME@.toml" from "race/scorer.rulebook.toml",
            "race/rulebooks/rules.toml" from "race/scorer.rules.toml",
        },
        Kind::Validator => template! {
            "race/paceline.toml" from "race/paceline.toml",
            "race/rulebooks/@NAME@.toml" from "race/validator.rulebook.toml",
            "race/rulebooks/rules.toml" from "race/validator.rules.toml",
        },
        Kind::Aggregator => template! {
            "race/paceline.toml" from "race/aggregator.paceline.toml",
            "race/rulebooks/@NAME@.toml" from "race/aggregator.rulebook.toml",
            "race/rulebooks/rules.toml" from "race/aggregator.rules.toml",
        },
    }
}

/// The scorer `plugins/output`, built. It is embedded so that a project needs neither this repository nor Rust.
const OUTPUT: (&str, &[u8]) =
    ("race/plugins/paceline-output.wasm", include_bytes!("../../templates/race/paceline-output.wasm"));

/// The aggregator `examples/rules/energy`, built.
const ENERGY: (&str, &[u8]) =
    ("race/plugins/paceline-energy.wasm", include_bytes!("../../templates/race/paceline-energy.wasm"));

/// The other plugins of that race, with their paths in a project.
pub(super) fn components(kind: Kind) -> &'static [(&'static str, &'static [u8])] {
    match kind {
        Kind::Scorer => &[ENERGY],
        Kind::Validator => &[OUTPUT, ENERGY],
        Kind::Aggregator => &[OUTPUT],
    }
}

/// The rule.
fn rule(language: Language, kind: Kind) -> Files {
    match (language, kind) {
        (Language::Rust, Kind::Scorer) => template! { "src/lib.rs" from "rust/scorer/lib.rs", },
        (Language::Rust, Kind::Validator) => template! { "src/lib.rs" from "rust/validator/lib.rs", },
        (Language::Rust, Kind::Aggregator) => template! { "src/lib.rs" from "rust/aggregator/lib.rs", },
        (Language::JavaScript, Kind::Scorer) => template! {
            "plugin.js" from "javascript/scorer/plugin.js",
            "rule.js" from "javascript/scorer/rule.js",
            "rule.test.js" from "javascript/scorer/rule.test.js",
        },
        (Language::JavaScript, Kind::Validator) => template! {
            "plugin.js" from "javascript/validator/plugin.js",
            "rule.js" from "javascript/validator/rule.js",
            "rule.test.js" from "javascript/validator/rule.test.js",
        },
        (Language::JavaScript, Kind::Aggregator) => template! {
            "plugin.js" from "javascript/aggregator/plugin.js",
            "rule.js" from "javascript/aggregator/rule.js",
            "rule.test.js" from "javascript/aggregator/rule.test.js",
        },
        (Language::Python, Kind::Scorer) => template! {
            "plugin.py" from "python/scorer/plugin.py",
            "rule.py" from "python/scorer/rule.py",
            "test_rule.py" from "python/scorer/test_rule.py",
        },
        (Language::Python, Kind::Validator) => template! {
            "plugin.py" from "python/validator/plugin.py",
            "rule.py" from "python/validator/rule.py",
            "test_rule.py" from "python/validator/test_rule.py",
        },
        (Language::Python, Kind::Aggregator) => template! {
            "plugin.py" from "python/aggregator/plugin.py",
            "rule.py" from "python/aggregator/rule.py",
            "test_rule.py" from "python/aggregator/test_rule.py",
        },
    }
}

/// The files of a new project, but for the SDK and the contract.
pub(super) fn files(name: &str, kind: Kind, language: Language) -> Vec<(String, String)> {
    // Aggregators in Rust encode their states with it.
    let serde = if kind == Kind::Aggregator { "serde = { version = \"1\", features = [\"derive\"] }\n" } else { "" };
    let with_article = match kind {
        Kind::Aggregator => "An aggregator",
        Kind::Scorer => "A scorer",
        Kind::Validator => "A validator",
    };
    let text = |template: &str| {
        let text = template.replace("@NAME@", name).replace("@KIND@", kind.as_str());
        let text = text.replace("@A_KIND@", with_article);
        text.replace("@LANGUAGE@", language.as_str()).replace("@SERDE@\n", &format!("{serde}\n"))
    };
    let all = shared(language).iter().chain(samples(kind)).chain(race(kind)).chain(rule(language, kind));
    all.map(|&(path, template)| (text(path), text(template))).collect()
}
