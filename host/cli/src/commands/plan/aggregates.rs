//! The aggregates of a rulebook's file, as far as they matter for a plan.

use std::path::Path;

use anyhow::Context;
use paceline_pipeline::rules::{AggregateUse, DedupRule, Rulebook};
use paceline_plan::{Aggregate, Dedup, Indexed, Records};

/// The attribute of the table's index: the default of `store.dynamodb.index.attribute`.
const INDEX_ATTRIBUTE: &str = "GSI";
/// The output that an aggregator has at the end of a race only.
const FINAL_OUTPUT: &str = "final";

/// Reads a rulebook. `state_bytes` is not in it.
pub(super) fn read(path: &Path, state_bytes: u64) -> anyhow::Result<Vec<Aggregate>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
    let rulebook = Rulebook::parse(&text).with_context(|| format!("{}", path.display()))?;
    Ok(rulebook.aggregate.iter().map(|used| aggregate(used, state_bytes)).collect())
}

/// An aggregate with a `where` is taken for one of final records.
fn aggregate(used: &AggregateUse, state_bytes: u64) -> Aggregate {
    let records = if used.only.is_empty() { Records::All } else { Records::Finals };
    let output = used.outputs.iter().find(|(_, attribute)| *attribute == INDEX_ATTRIBUTE);
    let indexed = match output {
        Some((output, _)) if output == FINAL_OUTPUT => Indexed::Finals,
        Some(_) if records == Records::Finals => Indexed::Always,
        Some(_) => Indexed::Changing,
        None if used.attributes.contains_key(INDEX_ATTRIBUTE) => Indexed::Always,
        None => Indexed::Never,
    };
    let dedup = match used.dedup {
        DedupRule::Sequence => Dedup::Sequence,
        DedupRule::Ordinal(_) => Dedup::Ordinal,
    };
    let packed_into = used.pack.as_ref().map_or(0, |packing| packing.into.into());
    let show_every =
        used.pack.as_ref().filter(|packing| !packing.show.is_empty()).map_or(0, |packing| packing.show_every.into());
    Aggregate { records, indexed, dedup, packed_into, show_every, ..Aggregate::new(&used.plugin, state_bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alleycat_rulebook_is_the_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/alleycat/rulebooks/flat.toml");
        assert_eq!(read(&path, 120).unwrap(), Aggregate::alleycat());
    }
}
