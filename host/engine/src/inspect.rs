//! What a file is, without compiling it: what refusals advise and what a plugin may use depend on it.

use wasmparser::{KnownCustom, Name, Parser, Payload};

/// The language that a plugin was written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// One that is compiled to WebAssembly, such as Rust.
    #[default]
    Compiled,
    /// JavaScript, with an engine in the component.
    JavaScript,
    /// Python, with CPython in the component.
    Python,
}

/// How the names begin that the tools give to modules of their interpreters, and to what these export.
const INTERPRETERS: [(&str, Language); 4] = [
    ("componentize_qjs", Language::JavaScript),
    ("componentize-js", Language::JavaScript),
    ("starling", Language::JavaScript),
    ("libcomponentize_py", Language::Python),
];

impl Language {
    /// The language of a component. One whose modules have none of these names counts as compiled.
    pub(crate) fn of(wasm: &[u8]) -> Self {
        let payloads = Parser::new(0).parse_all(wasm).map_while(Result::ok);
        payloads.filter_map(|payload| Self::of_payload(&payload)).next().unwrap_or_default()
    }

    /// What it brings along to run in.
    pub fn runtime(self) -> &'static str {
        match self {
            Self::Compiled => "none",
            Self::JavaScript => "JavaScript",
            Self::Python => "Python",
        }
    }

    fn of_payload(payload: &Payload<'_>) -> Option<Self> {
        match payload {
            // Modules that are linked into one another export each one's memory and table, by the name of its file.
            Payload::ExportSection(exports) => {
                exports.clone().into_iter().flatten().find_map(|export| Self::named(export.name))
            }
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::Name(names) => names.into_iter().flatten().find_map(|name| match name {
                    Name::Module { name, .. } => Self::named(name),
                    _ => None,
                }),
                _ => None,
            },
            _ => None,
        }
    }

    fn named(name: &str) -> Option<Self> {
        INTERPRETERS.iter().find(|(beginning, _)| name.starts_with(beginning)).map(|(_, language)| *language)
    }
}

/// Whether a component has code. A package of WIT in its binary form has none.
pub(crate) fn has_code(wasm: &[u8]) -> bool {
    Parser::new(0).parse_all(wasm).map_while(Result::ok).any(|payload| matches!(payload, Payload::ModuleSection { .. }))
}

/// What a file that is not WebAssembly is, and what to do.
pub(crate) fn other_format(bytes: &[u8]) -> &'static str {
    let text = std::str::from_utf8(bytes).map(str::trim_start);
    match text {
        _ if bytes.starts_with(b"\x7fELF") => {
            "it is a program or library for this machine: build it for wasm32-unknown-unknown"
        }
        _ if bytes.starts_with(b"PK\x03\x04") => "it is a ZIP archive",
        Ok("") => "the file is empty",
        Ok(text) if text.starts_with("(component") || text.starts_with("(module") => {
            "it is the text form: convert it with `wasm-tools parse`"
        }
        Ok(text)
            if ["package ", "interface ", "world "].iter().any(|word| text.starts_with(word))
                || text.contains("\nworld ") =>
        {
            "it is a WIT package, the contract and not a plugin: name the component that was built from it"
        }
        Ok(_) => "it is a text: `paceline plugin build` builds a component from a plugin's source",
        Err(_) => "its first bytes are those of another format",
    }
}
