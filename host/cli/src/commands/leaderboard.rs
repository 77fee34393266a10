//! `paceline leaderboard`.

use anyhow::Context;
use paceline_config::{AnyStore, Config, LeaderboardConfig};
use paceline_pipeline::model::Item;
use paceline_pipeline::store::GroupStore;

use crate::report::{self, json};
use crate::setup::{ConfigArgument, open_store_to_read, runtime};

/// Arguments of `paceline leaderboard`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Show the best final results of this class, by [leaderboard.class] of the configuration.
    #[arg(long, value_name = "C")]
    class: String,
    /// Show the standings of this race of the class instead, by [leaderboard.race].
    #[arg(long, value_name = "R")]
    race: Option<String>,
    /// Show the first N only.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

/// The mark of items whose race was moved to another rulebook while it was in progress. Attributes that a rulebook defines
/// can't have this name.
const RERULED: &str = "@reruled";

/// The items of a race or a class, in order.
pub(crate) struct Standings<'a> {
    /// Its name in the configuration.
    name: &'static str,
    pub(crate) board: &'a LeaderboardConfig,
    pub(crate) items: Vec<Item>,
    /// How many items of the partition have nothing to be ordered by.
    unordered: usize,
}

/// Reads the standings of a race, or of a class.
pub(crate) async fn standings<'a>(
    config: &'a Config,
    store: &AnyStore,
    class: &str,
    race: Option<&str>,
) -> anyhow::Result<Standings<'a>> {
    let name = if race.is_some() { "race" } else { "class" };
    let board = config.leaderboard.get(name).with_context(|| format!("there is no [leaderboard.{name}]"))?;
    let partition = board.partition.resolve(class, race);
    let partition = partition
        .with_context(|| format!("[leaderboard.{name}] partition contains {{race}}: give --race R as well"))?;
    let items = store.list_partition(&partition).await?;
    let mut items: Vec<Item> = items.into_iter().map(|(_, item)| item).collect();
    let read = items.len();
    items.retain(|item| board.shows(item));
    let unordered = read - items.len();
    items.sort_by(|a, b| board.compare(a, b));
    Ok(Standings { name, board, items, unordered })
}

/// Prints a leaderboard.
pub(crate) fn leaderboard(arguments: &Arguments) -> anyhow::Result<()> {
    let config = arguments.config.load()?;
    let runtime = runtime()?;
    let store = open_store_to_read(&config, &runtime)?;
    let read = runtime.block_on(standings(&config, &store, &arguments.class, arguments.race.as_deref()));
    let Standings { name, board, mut items, unordered } =
        read.with_context(|| arguments.config.config.display().to_string())?;
    if items.is_empty() {
        let race = arguments.race.as_ref().map_or(String::new(), |race| format!(", race {race}"));
        match unordered {
            0 => tracing::warn!("there are no results of class {}{race}", arguments.class),
            _ => tracing::warn!(
                "of class {}{race} there are {}, and none has the attribute `{}`: correct `order-by` in [leaderboard.{name}]",
                arguments.class,
                report::counted(unordered, "item"),
                board.order_by
            ),
        }
    }
    items.truncate(arguments.limit.unwrap_or(usize::MAX));

    if arguments.json {
        let rows = items.iter().map(|item| {
            let members = board.show.iter().map(|shown| (shown.name.clone(), json(item.attribute(&shown.attribute))));
            let mark = item.reruled.then(|| (RERULED.to_owned(), true.into()));
            serde_json::Value::Object(members.chain(mark).collect())
        });
        return report::print_json(&rows.collect::<serde_json::Value>());
    }
    // The column is there only if some row has the mark.
    let is_marked = items.iter().any(|item| item.reruled);
    let names = board.show.iter().map(|shown| shown.name.clone()).chain(is_marked.then(|| RERULED.to_owned()));
    let mut rows = vec![["#".to_owned()].into_iter().chain(names).collect::<Vec<_>>()];
    rows.extend(items.iter().enumerate().map(|(at, item)| {
        let values = board.show.iter().map(|shown| report::text(item.attribute(&shown.attribute)));
        let mark = is_marked.then(|| (if item.reruled { "yes" } else { "" }).to_owned());
        [(at + 1).to_string()].into_iter().chain(values).chain(mark).collect()
    }));
    report::print_table(&rows)
}
