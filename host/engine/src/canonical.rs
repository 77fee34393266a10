//! Rewrites the code of a plugin so that the bits of NaNs are the same on every processor.
//!
//! In WebAssembly, whether arithmetic returns a NaN is the same everywhere, but the NaN's sign and payload are those of
//! the processor. Cranelift can replace them with canonical ones, after every instruction that computes. It is enough
//! to do it where the bits are *seen*: stored to memory or to a global, reinterpreted as an integer, handed to another
//! function, returned, or used by an instruction that is not arithmetic on floats. A NaN that only flows into more
//! arithmetic and into comparisons is seen by none. The law:
//!
//! 1. What arithmetic returns is *fresh*: its NaNs are canonicalized before their bits are seen. The result has the
//!    bits that Cranelift's canonicalization would give it.
//! 2. What comes from elsewhere is *clean*: parameters, results of calls, what is read from memory or a global, and
//!    constants. It keeps its bits, for they may be no float at all. Interpreters box their pointers in NaNs.
//! 3. Where control flow meets, a value may come from several. If all of them are fresh, with NaNs of one shape and
//!    sign, or are never another NaN, it is fresh. Otherwise it is clean, and those that are fresh are canonicalized
//!    before.
//! 4. A negation makes a fresh value one whose NaN has the other sign.
//!
//! Only function bodies change: they get instructions and, behind their own, locals. Nothing is renumbered.
//!
//! - `component`: what is copied, and which functions are rewritten. `module`: their types.
//! - `function`: reads the code of a function. `control`, `frame`, `locals`: what it keeps track of meanwhile.
//! - `operator`: what each instruction does to the bits of NaNs.
//! - `values`, `state`: what is known of each value, and which are canonicalized.
//! - `emit`: writes the code. `error`: why a component can't be rewritten.

mod component;
mod control;
mod emit;
mod error;
mod frame;
mod function;
mod locals;
mod module;
mod operator;
mod state;
#[cfg(test)]
mod tests;
mod values;

/// The version of what this module makes of a component. It is part of the name of compiled code, and has to be raised
/// whenever the result can differ for any component.
pub(crate) const VERSION: u32 = 1;

/// The same component or module, with NaNs that are the same on every processor. It has to be validated: that of
/// invalid code is not checked here.
pub(crate) fn rewrite(wasm: &[u8]) -> Result<Vec<u8>, error::RewriteError> {
    component::rewrite(wasm, function::read)
}
