//! The names of functions in a module: they are what faults and profiles show.

use std::error::Error;

use wasm_encoder::{CustomSection, Module, NameMap, NameSection, RawSection};
use wasmparser::{KnownCustom, Name, NameSectionReader, Parser, Payload};

/// Bytes of a name that are kept: more than hosts show is of no use, and names of generic functions can be long.
const NAME_BYTES: usize = 120;

/// The module with the names of its functions as they are in the source. Names as compilers mangle them would be a fifth of a
/// small component. Names of types, memories and data are left out.
pub(super) fn demangled(module: &[u8]) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut rewritten = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::CustomSection(section) = &payload
            && let KnownCustom::Name(names) = section.as_known()
        {
            let mut section = NameSection::new();
            section.functions(&functions(names)?);
            rewritten.section(&section);
        } else if let Payload::CustomSection(section) = &payload {
            rewritten.section(&CustomSection { name: section.name().into(), data: section.data().into() });
        } else if let Some((id, range)) = payload.as_section() {
            rewritten.section(&RawSection { id, data: &module[range] });
        }
    }
    Ok(rewritten.finish())
}

fn functions(names: NameSectionReader<'_>) -> Result<NameMap, wasmparser::BinaryReaderError> {
    let mut functions = NameMap::new();
    for subsection in names {
        let Name::Function(map) = subsection? else { continue };
        for naming in map {
            let naming = naming?;
            let mut name = format!("{:#}", rustc_demangle::demangle(naming.name));
            name.truncate(name.floor_char_boundary(NAME_BYTES));
            functions.append(naming.index, &name);
        }
    }
    Ok(functions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source_and_the_rest_stays() {
        let module = br#"(module
            (func $_ZN6output15weighted_output17h7fc800900e4ceac8E (export "score") (result f64) (f64.const 1))
            (memory (export "memory") 1)
            (data $.rodata (i32.const 8) "data")
            (@custom "component-type" "what it exports"))"#;
        let module = wat::parse_bytes(module).unwrap();
        let rewritten = demangled(&module).unwrap();
        let text = String::from_utf8_lossy(&rewritten);
        assert!(
            text.contains("output::weighted_output") && !text.contains("_ZN6") && !text.contains(".rodata"),
            "{text}"
        );
        assert!(text.contains("what it exports") && text.contains("data") && text.contains("score"), "{text}");
        // A name that is none stays as it is, and so does a second pass.
        assert_eq!(demangled(&rewritten).unwrap(), rewritten);
    }
}
