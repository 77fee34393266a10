//! Copies a component or a module, and rewrites the code of the functions in it, at any depth. Everything else stays.

use wasm_encoder::Encode;
use wasmparser::{FuncType, FunctionBody, Parser, Payload};

use super::emit;
use super::error::RewriteError;
use super::function::Findings;
use super::module::Signatures;

/// How deep components and modules may be nested: far more than tools make. Each level is copied once more.
const DEPTH: usize = 64;

/// The identifier of a module's section with code.
const CODE: u8 = 10;

/// A component or a module that is being written.
#[derive(Default)]
struct Layer {
    /// The identifier of its section in the layer around it.
    section: u8,
    written: Vec<u8>,
    signatures: Signatures,
    code: Vec<u8>,
    /// Functions of the section with code that are missing.
    bodies_left: u32,
}

impl Layer {
    fn add_section(&mut self, section: u8, contents: &[u8]) {
        self.written.push(section);
        contents.encode(&mut self.written);
    }

    /// Writes the section with code, once it is complete.
    fn end_code(&mut self) {
        if self.bodies_left == 0 {
            let code = std::mem::take(&mut self.code);
            self.add_section(CODE, &code);
        }
    }
}

/// Copies a component or a module, and rewrites its functions by what `read` finds in each.
pub(super) fn rewrite(
    wasm: &[u8],
    read: impl Fn(&Signatures, &FuncType, &FunctionBody<'_>) -> Result<Findings, RewriteError>,
) -> Result<Vec<u8>, RewriteError> {
    let bytes = |range| wasm.get::<std::ops::Range<usize>>(range).ok_or(RewriteError::Invalid("a section"));
    let mut outer = Vec::new();
    let mut layer = Layer::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        layer.signatures.read(&payload)?;
        match payload {
            Payload::Version { range, .. } => layer.written.extend_from_slice(bytes(range)?),
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                if outer.len() >= DEPTH {
                    return Err(RewriteError::Invalid("the depth of nested components"));
                }
                let section = payload.as_section().map_or(0, |(section, _)| section);
                outer.push(std::mem::replace(&mut layer, Layer { section, ..Layer::default() }));
            }
            Payload::CodeSectionStart { count, .. } => {
                count.encode(&mut layer.code);
                layer.bodies_left = count;
                layer.end_code();
            }
            Payload::CodeSectionEntry(body) => {
                layer.signatures.next_body();
                let ty = layer.signatures.body()?;
                let findings = read(&layer.signatures, ty, &body)?;
                emit::body(wasm, &body, &findings)?.encode(&mut layer.code);
                layer.bodies_left = layer.bodies_left.saturating_sub(1);
                layer.end_code();
            }
            Payload::End(_) => {
                let Some(around) = outer.pop() else { break };
                let inner = std::mem::replace(&mut layer, around);
                layer.add_section(inner.section, &inner.written);
            }
            section => {
                let (section, range) = section.as_section().ok_or(RewriteError::Invalid("a section"))?;
                layer.add_section(section, bytes(range)?);
            }
        }
    }
    Ok(layer.written)
}
