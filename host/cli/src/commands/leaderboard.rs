//! `paceline leaderboard`.

use std::cmp::Ordering;

use paceline_pipeline::Store;
use paceline_pipeline::model::{Attribute, Item};

use super::{ConfigArgument, open_store, runtime};
use crate::Failure;
use crate::report::{self, json};

/// What `leaderboard` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    of: Of,
    /// Show the first N only.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Of {
    /// The standings of a race.
    #[arg(long, value_name = "R")]
    race: Option<String>,
    /// The best finals of a class.
    #[arg(long, value_name = "C")]
    class: Option<String>,
}

/// Prints a leaderboard.
pub(crate) fn leaderboard(arguments: &Arguments) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    let (name, of) = match (&arguments.of.race, &arguments.of.class) {
        (Some(race), _) => ("race", race),
        (None, Some(class)) => ("class", class),
        (None, None) => return Err("neither --race nor --class is given".to_owned()),
    };
    let board = config
        .leaderboard
        .get(name)
        .ok_or_else(|| format!("{}: there is no [leaderboard.{name}]", arguments.config.config.display()))?;
    let runtime = runtime()?;
    let store = open_store(&config, &runtime)?;
    let partition = board.partition.replace("{}", of);
    let items = runtime.block_on(store.partition(&partition)).map_err(|error| error.to_string())?;
    let mut items: Vec<Item> = items.into_iter().map(|(_, item)| item).collect();
    // What has nothing to be ordered by has no place on the board.
    items.retain(|item| item.attribute(&board.order_by).is_some());
    items.sort_by(|a, b| {
        let by = |name: &str| compare(a.attribute(name), b.attribute(name));
        by(&board.order_by).reverse().then_with(|| by(&board.tie))
    });
    items.truncate(arguments.limit.unwrap_or(usize::MAX));

    if arguments.json {
        let rows = items.iter().map(|item| {
            let members = board.show.iter().map(|name| (name.clone(), json(item.attribute(name))));
            serde_json::Value::Object(members.collect())
        });
        return report::print_json(&rows.collect::<serde_json::Value>());
    }
    let mut rows = vec![["#".to_owned()].into_iter().chain(board.show.iter().cloned()).collect::<Vec<_>>()];
    rows.extend(items.iter().enumerate().map(|(at, item)| {
        let values = board.show.iter().map(|name| report::text(item.attribute(name)));
        [(at + 1).to_string()].into_iter().chain(values).collect()
    }));
    report::print_table(&rows)
}

/// Numbers by size, everything else by its text; what is missing comes first.
fn compare(a: Option<&Attribute>, b: Option<&Attribute>) -> Ordering {
    let number = |attribute: Option<&Attribute>| match attribute {
        Some(Attribute::Integer(value)) => Some(*value as f64),
        Some(Attribute::Number(value)) => Some(*value),
        _ => None,
    };
    match (a, b) {
        (Some(Attribute::Integer(a)), Some(Attribute::Integer(b))) => a.cmp(b),
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => report::text(a).cmp(&report::text(b)),
        },
    }
}
