//! The texts of several processes as one: those of the KCL's processes, each of which reads one shard.

use std::collections::BTreeMap;

use crate::list;

/// One text of the metrics of several processes. Their series must differ: see
/// [`Registry::with_label`](crate::Registry::with_label). Each metric is described once.
pub fn merge(texts: &[String]) -> String {
    // By metric: its description, and its series.
    let mut families: BTreeMap<&str, (Vec<&str>, Vec<&str>)> = BTreeMap::new();
    for text in texts {
        let mut family = "";
        for line in text.lines() {
            match line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")) {
                Some(rest) => {
                    family = rest.split(' ').next().unwrap_or_default();
                    let (description, _) = families.entry(family).or_default();
                    // The program may have been replaced between two processes: the first one describes.
                    if !description.iter().any(|known| known.get(..7) == line.get(..7)) {
                        description.push(line);
                    }
                }
                None if line.is_empty() || line.starts_with('#') => {}
                None => families.entry(family).or_default().1.push(line),
            }
        }
    }
    let known = list::prometheus().map(|(name, _)| name);
    let mut order: Vec<&str> = known.filter(|name| families.contains_key(name)).collect();
    order.extend(families.keys().filter(|name| !list::prometheus().any(|(known, _)| known == **name)).copied());
    let mut merged = String::new();
    for (description, series) in order.iter().map(|name| &families[name]) {
        for line in description.iter().chain(series) {
            merged.push_str(line);
            merged.push('\n');
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;

    #[test]
    fn each_metric_of_several_processes_is_described_once() {
        let text = |shard: &str| {
            let registry = Registry::default().with_label("shard", shard);
            registry.add(&list::RECORDS, &[shard], 2.0);
            registry.observe(&list::BATCH_SECONDS_HISTOGRAM, &[shard], 2.0);
            registry.add(&list::GROUPS, &[], 2.0);
            registry.render()
        };
        let merged = merge(&[text("shardId-0"), text("shardId-1"), String::new()]);
        assert_eq!(merged.matches("# HELP ").count(), 3, "{merged}");
        assert_eq!(merged.matches("# TYPE ").count(), 3, "{merged}");
        assert_eq!(merged.matches("_count{").count(), 2, "{merged}");
        let series = "paceline_records_total{shard=\"shardId-0\"} 2\npaceline_records_total{shard=\"shardId-1\"} 2\n";
        assert!(merged.contains(series), "{merged}");
        assert_eq!(merge(&[text("shardId-0")]), text("shardId-0"));
    }
}
