//! The result of a replay, for people: lines of at most 80 columns.

use paceline_pipeline::model::{Attribute, Cause, Key, RulebookId};
use paceline_pipeline::replay::{Comparison, Cost, Distribution, Figures, ListedRows, Scores};

use super::places::{Move, Places};
use super::shown::Shown;
use crate::report::{self, aligned, thousands, visible};

/// The columns of a terminal that has its usual size.
const COLUMNS: usize = 80;

/// The whole result.
pub(super) fn lines(shown: &Shown) -> Vec<String> {
    let sections = [head(shown), rejections(shown), scores(shown), items(shown), places(shown), cost(shown)];
    let lines = sections.iter().filter(|lines| !lines.is_empty()).collect::<Vec<_>>();
    let lines = lines.into_iter().enumerate().flat_map(|(at, lines)| {
        let gap = (at > 0).then(String::new);
        gap.into_iter().chain(lines.iter().map(|line| cut(line)))
    });
    lines.collect()
}

/// A line that fits. What is cut off is in the JSON.
fn cut(line: &str) -> String {
    match line.chars().count() {
        0..=COLUMNS => line.to_owned(),
        _ => line.chars().take(COLUMNS - 1).chain(['…']).collect(),
    }
}

fn head(shown: &Shown) -> Vec<String> {
    let rows = &shown.comparison.rows;
    let id = |id: &RulebookId| format!("{id}, {}…", id.digest.to_string().chars().take(19).collect::<String>());
    let against = shown.against.as_ref().map_or("what is committed".to_owned(), id);
    let mut records = format!("{} from {}", thousands(rows.records), shown.from);
    if rows.other_race_types > 0 {
        records = format!("{records}; {} are of other race types", thousands(rows.other_race_types));
    }
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    aligned(&[
        row("rules", id(&shown.rules)),
        row("against", against),
        row("race types", shown.race_types.join(", ")),
        row("records", records),
    ])
}

fn rejections(shown: &Shown) -> Vec<String> {
    let rejections = &shown.comparison.rows.rejections;
    let mut rows = vec![["rejected", "against", "rules"].map(str::to_owned).to_vec()];
    let row = |name: &str, against: u64, rules: u64| vec![name.to_owned(), thousands(against), thousands(rules)];
    for cause in Cause::ALL {
        let count = |causes: &std::collections::BTreeMap<Cause, u64>| causes.get(cause).copied().unwrap_or(0);
        let (against, rules) = (count(&rejections.against), count(&rejections.rules));
        if against + rules > 0 {
            rows.push(row(&format!("  {cause}"), against, rules));
        }
    }
    rows.push(row("in all", rejections.against.values().sum(), rejections.rules.values().sum()));
    let mut lines = aligned(&rows);
    lines.extend(listed("newly rejected", &rejections.newly_rejected));
    lines.extend(listed("newly accepted", &rejections.newly_accepted));
    if shown.against.is_none() {
        lines.push("Of what is committed, rejections are known where the store has dead letters.".to_owned());
    }
    lines
}

fn listed(name: &str, rows: &ListedRows) -> Vec<String> {
    let first = rows.first.iter().map(|row| format!("  {}  {}: {}", row.position, row.reason.cause, row.reason.text));
    [format!("{name}: {}", thousands(rows.count))].into_iter().chain(first).collect()
}

fn scores(shown: &Shown) -> Vec<String> {
    if shown.against.is_none() {
        return vec!["Scores can't be compared: what is committed holds none.".to_owned()];
    }
    let rows = &shown.comparison.rows;
    let mut lines = vec![score_line("scores", &rows.scores.scores)];
    if rows.scores.scores.different > 0 {
        lines.push("difference, rules less against".to_owned());
        lines.extend(distributions([("  score", &rows.scores.scores.differences)]));
        lines.push("largest".to_owned());
    }
    for row in rows.scores.largest.clone().into_items() {
        let group = row.groups.first().map_or(String::new(), Key::to_string);
        let (against, rules) = (figure(row.against), figure(row.rules));
        let difference = signed(row.rules - row.against);
        lines.push(format!("  {against} -> {rules} ({difference})  {group}  {}", row.position));
    }
    for (sort, scores) in &rows.named {
        lines.push(score_line(sort, scores));
        if scores.different > 0 {
            lines.extend(distributions([("  score", &scores.differences)]));
        }
    }
    lines
}

fn score_line(name: &str, scores: &Scores) -> String {
    let Scores { equal, different, .. } = scores;
    format!("{name}: {} equal, {} different", thousands(*equal), thousands(*different))
}

/// A table of distributions. Those without a value are left out.
fn distributions<'d>(named: impl IntoIterator<Item = (&'d str, &'d Distribution)>) -> Vec<String> {
    let mut rows = vec![["", "min", "p1", "p5", "p50", "p95", "p99", "max", "mean"].map(str::to_owned).to_vec()];
    for (name, distribution) in named {
        let Some(Figures { min, percentiles, max, mean }) = distribution.figures() else { continue };
        let figures = [min].into_iter().chain(percentiles).chain([max, mean]).map(short);
        rows.push([name.to_owned()].into_iter().chain(figures).collect());
    }
    if rows.len() > 1 { aligned(&rows) } else { Vec::new() }
}

fn items(shown: &Shown) -> Vec<String> {
    let items = &shown.comparison.items;
    let mut lines = vec![format!("items: {} equal, {} different", thousands(items.equal), thousands(items.different))];
    for (count, by) in [(items.only_rules, "rules"), (items.only_against, "against")] {
        if count > 0 {
            lines.push(format!("  {} only by {by}", thousands(count)));
        }
    }
    if items.different > 0 {
        let attributes = items.attributes.iter();
        let counts = attributes.map(|(name, attribute)| format!("{name} in {}", thousands(attribute.different)));
        lines.push(format!("attributes that differ: {}", counts.collect::<Vec<_>>().join(", ")));
        let named: Vec<(String, &Distribution)> =
            items.attributes.iter().map(|(name, found)| (format!("  {name}"), &found.differences)).collect();
        lines.extend(distributions(named.iter().map(|(name, found)| (name.as_str(), *found))));
    }
    for item in &items.first {
        lines.push(format!("  {}", visible(&item.key.to_string())));
        let attributes = item.attributes.iter();
        lines.extend(
            attributes.map(|(name, against, rules)| format!("    {name}: {}", visible(&change(against, rules)))),
        );
    }
    lines
}

fn places(shown: &Shown) -> Vec<String> {
    if shown.places.is_empty() {
        return vec!["Places can't be compared: the configuration has no [leaderboard.NAME].".to_owned()];
    }
    shown.places.iter().flat_map(places_of).collect()
}

fn places_of(places: &Places) -> Vec<String> {
    let Places { board, boards, changed, up, down, appeared, gone, other_first, .. } = places;
    let mut lines = vec![format!(
        "places in [leaderboard.{board}]: {} of {} change, {} with another first",
        thousands(*changed),
        thousands(*boards),
        thousands(*other_first)
    )];
    if *changed > 0 {
        let counts = [(up, "up"), (down, "down"), (appeared, "new"), (gone, "gone")];
        let counts = counts.map(|(count, what)| format!("{} {what}", thousands(*count)));
        lines.push(format!("  {}", counts.join(", ")));
    }
    let order_by = &places.order_by;
    let line = |found: &Move| {
        let place = |place: Option<usize>| place.map_or("-".to_owned(), |place| format!("#{place}"));
        let values = change(&found.values.0, &found.values.1);
        format!("  {} -> {}  {}  {order_by}: {values}", place(found.from), place(found.to), found.key)
    };
    lines.extend(places.moves.iter().map(line));
    if !places.named.is_empty() {
        lines.push("named".to_owned());
        lines.extend(places.named.iter().map(line));
    }
    lines
}

fn cost(shown: &Shown) -> Vec<String> {
    let Comparison { rules_cost, against_cost, .. } = &shown.comparison;
    let mut rows = vec![["cost", "against", "rules"].map(str::to_owned).to_vec()];
    let mut row = |name: &str, of: &dyn Fn(&Cost) -> f64| {
        let text = |cost: &Cost| thousands(of(cost).round() as u64);
        let against = against_cost.as_ref().map_or("-".to_owned(), text);
        rows.push(vec![name.to_owned(), against, text(rules_cost)]);
    };
    row("  records evaluated", &|cost| cost.rows as f64);
    row("  fuel a record", &Cost::fuel_per_row);
    row("  ns a record, payload to folded group", &Cost::ns_per_row);
    row("  ns a record, plugins' stages", &Cost::plugin_ns_per_row);
    row("  records on which a plugin failed", &|cost| cost.failed as f64);
    aligned(&rows)
}

fn change(against: &Option<Attribute>, rules: &Option<Attribute>) -> String {
    let text = |attribute: &Option<Attribute>| match attribute {
        None => "-".to_owned(),
        some => report::text(some.as_ref()),
    };
    format!("{} -> {}", text(against), text(rules))
}

/// A figure with at most 4 decimals, as scores have.
fn figure(value: f64) -> String {
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn signed(value: f64) -> String {
    let text = figure(value);
    if text.starts_with('-') || text == "0" { text } else { format!("+{text}") }
}

/// A figure in a table of nine columns.
fn short(value: f64) -> String {
    match value.abs() {
        0.0..1e5 => figure((value * 100.0).round() / 100.0),
        _ => format!("{value:.1e}"),
    }
}
