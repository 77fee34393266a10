//! Where the registry's objects are, and errors about one of them.

use object_store::path::Path as ObjectPath;
use paceline_engine::Digest;

use crate::rules::error::RegistryError;

/// Digits of a revision in the name of its log entry: all of a u64, so that names sort by revision.
const REVISION_DIGITS: usize = 20;

/// The folder of compiled code.
pub(super) const COMPILED: &str = "compiled";

/// Errors about one object.
pub(super) struct ObjectError<'a> {
    pub(super) location: &'a str,
    pub(super) object: &'a str,
}

impl ObjectError<'_> {
    pub(super) fn unavailable(&self, verb: &'static str, source: object_store::Error) -> RegistryError {
        let (location, object) = (self.location.to_owned(), self.object.to_owned());
        RegistryError::Unavailable { location, object, verb, source: Box::new(source) }
    }

    pub(super) fn missing(&self) -> RegistryError {
        RegistryError::Missing { location: self.location.to_owned(), object: self.object.to_owned() }
    }

    pub(super) fn altered(&self, found: Digest) -> RegistryError {
        RegistryError::Altered { location: self.location.to_owned(), object: self.object.to_owned(), found }
    }

    pub(super) fn invalid(&self, why: String) -> RegistryError {
        RegistryError::Invalid { location: self.location.to_owned(), object: self.object.to_owned(), why }
    }
}

pub(super) fn plugin_path(digest: Digest) -> ObjectPath {
    ObjectPath::from(format!("plugins/{}.wasm", digest.hex()))
}

pub(super) fn compiled_path(plugin: Digest) -> ObjectPath {
    ObjectPath::from(format!("{COMPILED}/{}", plugin.hex()))
}

pub(super) fn rulebook_path(digest: Digest) -> ObjectPath {
    ObjectPath::from(format!("rulebooks/{}.toml", digest.hex()))
}

pub(super) fn entry_path(revision: u64) -> ObjectPath {
    ObjectPath::from(format!("log/{revision:0REVISION_DIGITS$}.json"))
}
