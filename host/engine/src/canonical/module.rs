//! The signatures of a core module's functions.

use wasmparser::{BlockType, CompositeInnerType, FuncType, Payload, TypeRef, ValType};

use super::error::RewriteError;

/// The types of a module, and which of them its functions have.
#[derive(Default)]
pub(super) struct Signatures {
    /// `None` for what is not the type of a function.
    types: Vec<Option<FuncType>>,
    functions: Vec<u32>,
    imported: usize,
    /// The functions whose code has come.
    bodies: usize,
}

impl Signatures {
    /// Reads a section, if it is about types and functions.
    pub(super) fn read(&mut self, payload: &Payload<'_>) -> Result<(), RewriteError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    self.types.extend(group?.into_types().map(|ty| match ty.composite_type.inner {
                        CompositeInnerType::Func(ty) => Some(ty),
                        _ => None,
                    }));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    if let TypeRef::Func(ty) | TypeRef::FuncExact(ty) = import?.ty {
                        self.functions.push(ty);
                        self.imported += 1;
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section.clone() {
                    self.functions.push(ty?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The code of the next function comes now.
    pub(super) fn next_body(&mut self) {
        self.bodies += 1;
    }

    /// The type of the function whose code comes now.
    pub(super) fn body(&self) -> Result<&FuncType, RewriteError> {
        let function = (self.imported + self.bodies).checked_sub(1).ok_or(RewriteError::Invalid("a function"))?;
        self.function(u32::try_from(function).map_err(|_| RewriteError::Invalid("a function"))?)
    }

    pub(super) fn ty(&self, ty: u32) -> Result<&FuncType, RewriteError> {
        self.types.get(ty as usize).and_then(Option::as_ref).ok_or(RewriteError::Invalid("a type"))
    }

    pub(super) fn function(&self, function: u32) -> Result<&FuncType, RewriteError> {
        let ty = self.functions.get(function as usize).ok_or(RewriteError::Invalid("a function"))?;
        self.ty(*ty)
    }

    /// The types of a block's parameters and results. `single` is what [`single_result`] returns for it.
    pub(super) fn block<'a>(
        &'a self,
        ty: BlockType,
        single: &'a [ValType],
    ) -> Result<(&'a [ValType], &'a [ValType]), RewriteError> {
        Ok(match ty {
            BlockType::Empty => (&[], &[]),
            BlockType::Type(_) => (&[], single),
            BlockType::FuncType(ty) => {
                let ty = self.ty(ty)?;
                (ty.params(), ty.results())
            }
        })
    }
}

/// The result of a block that has one and names its type itself.
pub(super) fn single_result(ty: BlockType) -> [ValType; 1] {
    match ty {
        BlockType::Type(ty) => [ty],
        BlockType::Empty | BlockType::FuncType(_) => [ValType::I32],
    }
}
