//! Properties of what the SDK offers to rules that compute with numbers. They are here because a project of `plugin new` is
//! built with what the SDK depends on, its tests included.

mod decimal;
mod lanes;
