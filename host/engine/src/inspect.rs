//! What a file is, without compiling it: what refusals advise and what a plugin may use depend on it.

use wasmparser::{Name, NameSectionReader, Parser, Payload};

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

/// Parts of the names that the tools give the modules of their interpreters.
const INTERPRETERS: [(&str, Language); 4] = [
    ("componentize_qjs", Language::JavaScript),
    ("componentize-js", Language::JavaScript),
    ("starling", Language::JavaScript),
    ("componentize_py", Language::Python),
];

impl Language {
    /// The language of a component. One without the names of its modules counts as compiled.
    pub(crate) fn of(wasm: &[u8]) -> Self {
        let names = Parser::new(0).parse_all(wasm).map_while(Result::ok).filter_map(|payload| match payload {
            Payload::CustomSection(section) => match section.as_known() {
                wasmparser::KnownCustom::Name(names) => module_name(names),
                _ => None,
            },
            _ => None,
        });
        let language = |name: &str| {
            let found = INTERPRETERS.iter().find(|(part, _)| name.contains(part));
            found.map(|(_, language)| *language)
        };
        names.filter_map(language).next().unwrap_or_default()
    }
}

fn module_name(mut names: NameSectionReader<'_>) -> Option<&str> {
    names.find_map(|name| match name {
        Ok(Name::Module { name, .. }) => Some(name),
        _ => None,
    })
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
