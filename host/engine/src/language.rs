//! The language that a plugin was written in, as far as its limits depend on it.

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
