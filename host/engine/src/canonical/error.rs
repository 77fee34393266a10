//! Why a component can't be rewritten.

/// A component can't be rewritten.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    /// The parser refuses it.
    #[error("it can't be parsed")]
    Parse(#[from] wasmparser::BinaryReaderError),
    /// It breaks a rule of WebAssembly's validation, or exceeds a limit of this module.
    #[error("{0} is invalid")]
    Invalid(&'static str),
    /// It uses an instruction of a proposal that the sandbox does not have.
    #[error("it uses the WebAssembly proposal `{0}`, which the sandbox does not have")]
    Proposal(&'static str),
}
