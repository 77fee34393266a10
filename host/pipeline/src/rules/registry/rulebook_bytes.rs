//! A rulebook that is fetched and verified, and not parsed yet.

use std::sync::Arc;

use object_store::path::Path as ObjectPath;

use super::object::ObjectError;
use crate::rules::document::Rulebook;
use crate::rules::error::RegistryError;

/// The bytes of a rulebook, verified against its digest.
#[derive(Debug)]
pub(in crate::rules) struct RulebookBytes {
    bytes: Vec<u8>,
    /// Where they come from, for messages.
    location: Arc<str>,
    path: ObjectPath,
}

impl RulebookBytes {
    pub(super) fn new(bytes: Vec<u8>, location: Arc<str>, path: ObjectPath) -> Self {
        Self { bytes, location, path }
    }

    pub(in crate::rules) fn parse(self) -> Result<Rulebook, RegistryError> {
        let invalid = |why: String| ObjectError { location: &self.location, object: self.path.as_ref() }.invalid(why);
        let text = str::from_utf8(&self.bytes).map_err(|error| invalid(error.to_string()))?;
        Rulebook::parse(text).map_err(|error| invalid(error.to_string()))
    }
}
