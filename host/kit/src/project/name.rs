//! The names of projects. A name is that of a package for cargo or npm, of a component's file and of a state format.

/// Longer names leave no room in the name of a state format.
const LONGEST: usize = 48;

/// Rust's keywords, which cargo refuses, the names of its own crates, those of other files in a project's race, and a
/// key of its rules.toml beside which plugins are named.
const RESERVED: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "folder",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "node_modules",
    "override",
    "paceline-energy",
    "paceline-output",
    "paceline-plugin",
    "paceline-plugin-macros",
    "plugin",
    "priv",
    "proc-macro",
    "proc_macro",
    "pub",
    "ref",
    "return",
    "rule",
    "rules",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
];

/// A project can't have this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty, or has other characters than a package's name.
    #[error(
        "`{0}` can't be a plugin's name: it begins with a letter from a to z, and has such letters, digits and `-` only"
    )]
    Characters(String),
    /// It is too long.
    #[error("`{0}` can't be a plugin's name: it has more than {LONGEST} characters")]
    Long(String),
    /// It is taken.
    #[error("`{0}` can't be a plugin's name: it is reserved, or a package that plugins are built with")]
    Reserved(String),
}

/// Checks a name. `packages` are those that a plugin is built with.
pub(super) fn check<'a>(name: &str, packages: impl IntoIterator<Item = &'a str>) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_word = name.bytes().all(allowed) && !name.ends_with('-') && !name.contains("--");
    if !is_word || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return Err(NameError::Characters(name.to_owned()));
    }
    if name.len() > LONGEST {
        return Err(NameError::Long(name.to_owned()));
    }
    match RESERVED.contains(&name) || packages.into_iter().any(|package| package == name) {
        true => Err(NameError::Reserved(name.to_owned())),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_that_of_a_package() {
        for name in ["power", "my-rule", "sprint-20", "x"] {
            assert_eq!(check(name, ["serde"]), Ok(()), "{name}");
        }
        for name in ["", "Power", "2fast", "-x", "x-", "a--b", "a_b", "a b", "a/b", "..", "größe"] {
            assert_eq!(check(name, ["serde"]), Err(NameError::Characters(name.to_owned())), "{name}");
        }
        for name in ["serde", "match", "test", "plugin", "folder"] {
            assert_eq!(check(name, ["serde"]), Err(NameError::Reserved(name.to_owned())), "{name}");
        }
        assert_eq!(check(&"x".repeat(49), []), Err(NameError::Long("x".repeat(49))));
    }
}
