//! The crate's tests.

mod emf;
mod files;
