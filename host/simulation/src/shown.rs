//! What the trace shows of the store's answers.

use std::fmt;

use paceline_pipeline::model::Item;

/// Items of which the trace needs the revisions.
pub(crate) struct Revisions(pub(crate) Vec<Option<Item>>);

impl fmt::Debug for Revisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let revisions = self.0.iter().map(|item| item.as_ref().map_or(0, |item| item.revision));
        f.debug_list().entries(revisions).finish()
    }
}

/// A value that the trace does not need.
pub(crate) struct Opaque<T>(pub(crate) T);

impl<T> fmt::Debug for Opaque<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
