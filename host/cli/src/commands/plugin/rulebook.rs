//! What a rulebook's file says of one of its plugins.

use std::path::Path;

use anyhow::{Context, bail};
use paceline_engine::{Digest, PluginLimits, Role, Settings};
use paceline_pipeline::rules::Rulebook;

/// A plugin as a rulebook uses it.
#[derive(Debug)]
pub(super) struct Use {
    name: String,
    pub(super) role: Role,
    pub(super) settings: Settings,
    pub(super) limits: PluginLimits,
}

/// How a rulebook's file uses the component of this file: it names it by its digest, or by a path or a name that ends as the
/// file does.
pub(super) fn find(rulebook: &Path, component: &Path, wasm: &[u8], role: Option<Role>) -> anyhow::Result<Use> {
    let named = || rulebook.display().to_string();
    let text = std::fs::read_to_string(rulebook).with_context(named)?;
    let uses = uses(Rulebook::parse(&text).with_context(named)?);
    let file = component.to_string_lossy();
    let (name, digest) = (stem(&file), Digest::of(wasm));
    let all: Vec<String> = uses.iter().map(|used| format!("`{}`", used.name)).collect();
    let is_it = |used: &Use| used.name.parse::<Digest>().map_or_else(|_| stem(&used.name) == name, |it| it == digest);
    let mut found = uses.into_iter().filter(|used| is_it(used) && role.is_none_or(|role| role == used.role));
    let Some(used) = found.next() else {
        bail!(
            "{}: no plugin in it is `{name}`; its plugins are {}. Name the file as the rulebook does, or use --setting and \
             --limit without --rulebook",
            named(),
            all.join(", ")
        )
    };
    match found.any(|other| (&other.settings, &other.limits) != (&used.settings, &used.limits)) {
        false => Ok(used),
        true => bail!(
            "{} uses `{name}` with different settings or limits: name those that are meant by --setting and --limit, without \
             --rulebook",
            named()
        ),
    }
}

fn uses(rulebook: Rulebook) -> Vec<Use> {
    let validators = rulebook.validate.into_iter().map(|used| (Role::Validator, used));
    let rows = validators.chain(rulebook.score.map(|used| (Role::Scorer, used)));
    let rows = rows.map(|(role, used)| Use { name: used.plugin, role, settings: used.settings, limits: used.limits });
    let aggregators = rulebook.aggregate.into_iter().map(|used| Use {
        name: used.plugin,
        role: Role::Aggregator,
        settings: used.settings,
        limits: used.limits,
    });
    rows.chain(aggregators).collect()
}

/// The name in `plugins/climb.wasm` or `oci://…/climb:1`.
fn stem(name: &str) -> &str {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let file = file.split_once(['@', ':']).map_or(file, |(file, _)| file);
    file.strip_suffix(".wasm").unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_named_by_its_name_its_path_or_a_reference() {
        for name in ["climb", "climb.wasm", "../plugins/climb.wasm", "oci://localhost:5000/rules/climb:1.2"] {
            assert_eq!(stem(name), "climb", "{name}");
        }
    }
}
