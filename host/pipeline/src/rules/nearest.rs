//! The known name that somebody may have meant.

/// How similar two names are at least, by Jaro and Winkler, from 0 to 1. A suggestion of one that is less so misleads.
const SIMILAR: f64 = 0.7;

/// The known name that is most similar to an unknown one, if any is similar.
pub(super) fn nearest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known = known.into_iter().map(|known| (strsim::jaro_winkler(unknown, known), known));
    let (similarity, nearest) = known.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (similarity > SIMILAR).then_some(nearest)
}
