//! The result of a replay, for programs.

use std::collections::BTreeMap;

use paceline_engine::Digest;
use paceline_pipeline::model::{Attribute, Cause, Key, RulebookId};
use paceline_pipeline::replay::{
    Comparison, Cost, Distribution, ItemDifferences, ListedRows, NewRow, PERCENTILES, RowDifferences, ScoreDifference,
    Scores,
};
use serde_json::{Map, Value, json};

use super::places::{Move, Places};
use super::shown::Shown;
use crate::report;

/// The whole result.
pub(super) fn comparison(shown: &Shown) -> Value {
    let Comparison { rows, items, rules_cost, against_cost, .. } = &shown.comparison;
    json!({
        "rules": rulebook(&shown.rules),
        "against": shown.against.as_ref().map_or_else(|| "committed".into(), rulebook),
        "raceTypes": shown.race_types,
        "from": shown.from,
        "records": rows.records,
        "otherRaceTypes": rows.other_race_types,
        "rejections": rejections(rows),
        "scores": shown.against.as_ref().map(|_| {
            let mut value = scores(&rows.scores.scores);
            let largest = rows.scores.largest.clone().into_items();
            value["largest"] = largest.iter().map(score_difference).collect();
            value
        }),
        "named": named(shown),
        "items": items_value(items),
        "places": shown.places.iter().map(places).collect::<Value>(),
        "cost": {
            "rules": cost(rules_cost),
            "against": against_cost.as_ref().map(cost),
        },
    })
}

fn rulebook(id: &RulebookId) -> Value {
    json!({ "name": id.name, "version": id.version, "digest": id.digest.to_string() })
}

fn rejections(rows: &RowDifferences) -> Value {
    let by_cause = |causes: &BTreeMap<Cause, u64>| {
        let by_cause: Map<String, Value> =
            causes.iter().map(|(cause, count)| (cause.to_string(), (*count).into())).collect();
        json!({ "total": causes.values().sum::<u64>(), "byCause": by_cause })
    };
    let listed =
        |rows: &ListedRows| json!({ "count": rows.count, "first": rows.first.iter().map(new_row).collect::<Value>() });
    json!({
        "rules": by_cause(&rows.rejections.rules),
        "against": by_cause(&rows.rejections.against),
        "newlyRejected": listed(&rows.rejections.newly_rejected),
        "newlyAccepted": listed(&rows.rejections.newly_accepted),
    })
}

fn new_row(row: &NewRow) -> Value {
    json!({
        "position": row.position,
        "partitionKey": row.partition_key,
        "reason": row.reason.cause.as_str(),
        "text": row.reason.text,
        "field": row.reason.field,
        "plugin": row.reason.plugin.map(|digest| Digest::from(digest).to_string()),
    })
}

fn scores(scores: &Scores) -> Value {
    json!({
        "rows": scores.equal + scores.different,
        "equal": scores.equal,
        "different": scores.different,
        "difference": distribution(&scores.differences),
    })
}

fn distribution(distribution: &Distribution) -> Value {
    let Some(figures) = distribution.figures() else { return Value::Null };
    let mut value = json!({
        "min": figures.min,
        "max": figures.max,
        "mean": figures.mean,
        "sampled": distribution.is_sampled(),
    });
    for (percent, figure) in PERCENTILES.into_iter().zip(figures.percentiles) {
        value[format!("p{percent}")] = figure.into();
    }
    value
}

fn score_difference(row: &ScoreDifference) -> Value {
    json!({
        "position": row.position,
        "partitionKey": row.partition_key,
        "groups": row.groups.iter().map(key).collect::<Value>(),
        "against": row.against,
        "rules": row.rules,
        "difference": row.rules - row.against,
    })
}

fn key(key: &Key) -> Value {
    json!({ "PK": key.partition.as_str(), "SK": key.sort.as_str() })
}

fn named(shown: &Shown) -> Value {
    let group = |(sort, of_group): (&String, &Scores)| {
        let places = shown.places.iter().map(|places| {
            let moves = places.named.iter().filter(|found| found.key.sort == *sort);
            (places.board.clone(), moves.map(move_value).collect())
        });
        json!({
            "SK": sort,
            "scores": shown.against.as_ref().map(|_| scores(of_group)),
            "places": places.collect::<Map<String, Value>>(),
        })
    };
    shown.comparison.rows.named.iter().map(group).collect()
}

fn items_value(items: &ItemDifferences) -> Value {
    let attributes = items.attributes.iter().map(|(name, attribute)| {
        let value = json!({ "different": attribute.different, "difference": distribution(&attribute.differences) });
        (name.clone(), value)
    });
    let first = items.first.iter().map(|item| {
        let attributes = item.attributes.iter().map(|(name, against, rules)| (name.clone(), pair(against, rules)));
        let mut value = key(&item.key);
        value["attributes"] = attributes.collect::<Map<String, Value>>().into();
        value
    });
    json!({
        "equal": items.equal,
        "different": items.different,
        "onlyRules": items.only_rules,
        "onlyAgainst": items.only_against,
        "attributes": attributes.collect::<Map<String, Value>>(),
        "first": first.collect::<Value>(),
    })
}

fn pair(against: &Option<Attribute>, rules: &Option<Attribute>) -> Value {
    json!({ "against": report::json(against.as_ref()), "rules": report::json(rules.as_ref()) })
}

fn places(places: &Places) -> Value {
    json!({
        "leaderboard": places.board,
        "orderBy": places.order_by,
        "boards": places.boards,
        "changed": places.changed,
        "otherFirst": places.other_first,
        "up": places.up,
        "down": places.down,
        "appeared": places.appeared,
        "gone": places.gone,
        "moves": places.moves.iter().map(move_value).collect::<Value>(),
    })
}

fn move_value(found: &Move) -> Value {
    let mut value = key(&found.key);
    value["from"] = found.from.into();
    value["to"] = found.to.into();
    value["value"] = pair(&found.values.0, &found.values.1);
    value
}

fn cost(cost: &Cost) -> Value {
    let fuel: Map<String, Value> =
        cost.calls.iter().map(|(plugin, usage)| (plugin.plugin.to_string(), usage.fuel.into())).collect();
    json!({
        "rows": cost.rows,
        "fuelPerRow": cost.fuel_per_row(),
        "fuelByPlugin": fuel,
        "nsPerRow": cost.ns_per_row(),
        "pluginNsPerRow": cost.plugin_ns_per_row(),
        "failedRows": cost.failed,
    })
}
