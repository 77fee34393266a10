//! Which finding comes first.
//!
//! The graph names pairs of checks of which the first explains the second. A finding stands below its cause; of several
//! causes it is below the one at the end of the longest chain, because that is the nearest. What began after it, or
//! concerns other race types or versions, is no cause of it.

use serde::Serialize;

use crate::finding::{Finding, Severity};

/// That one check's finding explains another's.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// The check whose finding comes first.
    pub cause: &'static str,
    /// The check whose finding follows.
    pub consequence: &'static str,
    /// How the one leads to the other.
    pub reason: &'static str,
    /// What the subject of the consequence begins with or ends with; empty if any will do.
    pub only: &'static [&'static str],
}

const fn edge(cause: &'static str, consequence: &'static str, reason: &'static str) -> Edge {
    Edge { cause, consequence, reason, only: &[] }
}

const fn edge_only(
    cause: &'static str,
    consequence: &'static str,
    only: &'static [&'static str],
    reason: &'static str,
) -> Edge {
    Edge { cause, consequence, reason, only }
}

/// Readers that are the function.
const FUNCTION: &[&str] = &["function ", "polling readers", "stream "];
/// Readers that are hosts.
const HOST: &[&str] = &["host ", "running hosts", "polling readers"];

/// Readers of both kinds.
const READERS: &[&str] = &["function ", "stream ", "host ", "running hosts", "polling readers"];

/// The graph. A cause also has edges to what is further below: what is between them may stay just below its limit, and is no
/// finding then.
pub const EDGES: [Edge; 58] = [
    // Producers
    edge("shard-full", "producer-throttled", "A shard that is full rejects what comes on top."),
    edge("hot-shard", "producer-throttled", "The hot shard rejects records while others are idle."),
    edge("hot-shard", "bursts", "One hot shard rejects records below the average of all."),
    edge("bursts", "producer-throttled", "In some seconds more comes than a shard takes."),
    edge("producer-throttled", "producer-failures", "Rejected entries are failed entries."),
    // Readers
    edge("two-mappings", "read-latency", "The second mapping polls, too."),
    edge("two-mappings", "reads-throttled", "The second mapping takes reads from the first."),
    edge("two-mappings", "write-conflicts", "Both write the same groups."),
    edge("read-latency", "reads-throttled", "More readers poll than a shard has reads for."),
    edge("reads-throttled", "read-failures", "Throttled reads are failed reads."),
    edge("reads-throttled", "iterator-age", "Readers that are throttled get records later."),
    edge("subscription-conflicts", "fan-out", "Two readers take the shards from each other."),
    edge_only("fan-out", "iterator-age", &["fan-out", "host "], "The consumer gets or takes its records late."),
    edge_only(
        "subscription-conflicts",
        "iterator-age",
        HOST,
        "Shards change between two readers instead of being read.",
    ),
    // Tables
    edge_only("index-capacity", "write-throttles", &["index "], "The index throttles before its table does."),
    edge("hot-partition", "write-throttles", "One partition key takes 1,000 write units a second, and no more."),
    edge("write-conflicts", "write-throttles", "Failed conditions use write units, too."),
    edge(
        "write-throttles",
        "uncommitted-batches",
        "Writes are retried until the deadline, and then the batch is answered as not committed.",
    ),
    edge("write-throttles", "function-slow", "A batch waits for its throttled writes."),
    edge("write-throttles", "function-errors", "Throttled writes take until the time-out, or fail the batch."),
    edge("write-throttles", "no-parallelism", "While batches wait for their throttled writes, no other can begin."),
    edge_only(
        "write-throttles",
        "iterator-age",
        READERS,
        "A batch waits for its throttled writes, and its shard waits for the batch.",
    ),
    edge("write-throttles", "shard-failing", "The host cannot commit while writes are throttled."),
    edge("read-throttles", "uncommitted-batches", "A batch waits for the items that it has to read."),
    edge("read-throttles", "function-slow", "A batch waits for the items that it has to read."),
    edge("read-throttles", "no-parallelism", "While batches wait for the items that they read, no other can begin."),
    edge_only(
        "read-throttles",
        "iterator-age",
        READERS,
        "A batch waits for the items that it has to read, and its shard waits for the batch.",
    ),
    edge("write-conflicts", "function-slow", "A batch folds and writes again whenever another writer was first."),
    edge("write-conflicts", "no-parallelism", "While batches fold and write again, no other can begin."),
    edge_only("write-conflicts", "iterator-age", READERS, "A batch that folds and writes again holds its shard."),
    edge("status", "write-throttles", "A table that is not active takes no writes."),
    edge("status", "uncommitted-batches", "A table that is not active takes no writes."),
    // The rules
    edge("missing-rulebook", "uncommitted-batches", "Records wait for a rulebook that cannot be loaded."),
    edge_only("missing-rulebook", "iterator-age", HOST, "A shard waits with the records that wait for their rulebook."),
    edge_only(
        "missing-rulebook",
        "dead-letters",
        &["pin-unresolved"],
        "Records whose rulebook cannot be loaded in time become dead letters.",
    ),
    edge_only(
        "hosts-behind",
        "dead-letters",
        &["no-rulebook", "pin-unresolved"],
        "A host that does not follow the rules lacks the rulebook.",
    ),
    edge("plugin-budgets", "failing-version", "Calls that exceed their limits are failures."),
    edge_only(
        "plugin-budgets",
        "dead-letters",
        &["plugin-failed"],
        "A record whose call exceeds its limits becomes a dead letter.",
    ),
    edge_only(
        "failing-version",
        "dead-letters",
        &["plugin-failed", "bad-score", "by count"],
        "Records on which a plugin fails become dead letters.",
    ),
    edge_only(
        "misrouted",
        "dead-letters",
        &["misrouted"],
        "Records of other shards become dead letters, by setting or by their dedup.",
    ),
    edge_only("packing-and-parallelization", "dead-letters", &["too-old"], "Records overtake each other."),
    // The function
    edge("uncommitted-batches", "function-slow", "An invocation retries its store until the deadline."),
    edge("function-slow", "function-errors", "A batch that runs into the time-out is an error."),
    edge("function-slow", "no-parallelism", "While slow batches are under way, no other can begin."),
    edge("uncommitted-batches", "no-parallelism", "A batch that comes again holds its place."),
    edge("function-errors", "no-parallelism", "A batch that is repeated holds its place."),
    edge("concurrency", "function-throttled", "The mapping sends more batches at once than the function may run."),
    edge_only("function-throttled", "iterator-age", FUNCTION, "Batches wait until the function may run."),
    edge_only(
        "mapping-state",
        "iterator-age",
        FUNCTION,
        "A mapping that does not read leaves the records where they are.",
    ),
    edge_only("no-parallelism", "iterator-age", FUNCTION, "Batches wait for each other, and records wait for batches."),
    edge_only(
        "function-slow",
        "iterator-age",
        FUNCTION,
        "Slow batches take longer than their records need to come in.",
    ),
    edge_only("function-errors", "iterator-age", FUNCTION, "A batch that is repeated holds its shard."),
    edge_only("uncommitted-batches", "iterator-age", FUNCTION, "A batch that comes again holds its shard."),
    edge_only("uncommitted-batches", "iterator-age", HOST, "A batch that waits for the store holds its shard."),
    edge("function-errors", "dropped-events", "Retries of a failing batch are limited."),
    edge("dropped-events", "failed-batches", "The positions of what was dropped are in the queue."),
    // The end
    edge("shard-failing", "iterator-age", "A shard that is not being read gets older."),
    edge("iterator-age", "data-loss", "A reader that is behind comes near the retention."),
];

/// A finding in its place: below its cause, above its consequences.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diagnosis {
    /// The check's id.
    pub check: &'static str,
    /// What it found.
    #[serde(flatten)]
    pub finding: Finding,
    /// How the finding above leads to this one; nothing at the top.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<&'static str>,
    /// The checks of findings that it does not stand below and that lead to it as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_because: Vec<&'static str>,
    /// What follows from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consequences: Vec<Diagnosis>,
}

impl Diagnosis {
    /// The worst severity of this and its consequences.
    #[must_use]
    pub fn worst(&self) -> Severity {
        self.consequences.iter().map(Self::worst).fold(self.finding.severity, Severity::max)
    }

    /// Findings that follow, all the way down.
    #[must_use]
    pub fn following(&self) -> usize {
        self.consequences.iter().map(|it| 1 + it.following()).sum()
    }
}

/// A finding with its check.
type Found = (&'static str, Finding);

/// Puts consequences below their causes, and the worst cause first.
#[must_use]
pub fn arrange(found: Vec<Found>) -> Vec<Diagnosis> {
    let edges: Vec<Vec<(usize, &Edge)>> = found.iter().map(|it| causes(&found, it)).collect();
    let depths: Vec<usize> = (0..found.len()).map(|index| depth(&edges, index)).collect();
    let parent = |index: usize| {
        let nearest =
            |(cause, _): &&(usize, &Edge)| (depths[*cause], found[*cause].1.severity, std::cmp::Reverse(*cause));
        edges[index].iter().max_by_key(nearest).copied()
    };
    let parents: Vec<Option<(usize, &Edge)>> = (0..found.len()).map(parent).collect();
    let tops = (0..found.len()).filter(|index| parents[*index].is_none());
    let mut diagnoses: Vec<Diagnosis> = tops.map(|index| diagnosis(&found, &edges, &parents, index)).collect();
    sort(&mut diagnoses);
    diagnoses
}

/// The findings that lead to one.
fn causes<'a>(found: &[Found], (check, finding): &Found) -> Vec<(usize, &'a Edge)> {
    let fits = |edge: &&Edge| {
        let is_of = |part: &&str| finding.subject.starts_with(part) || finding.subject.ends_with(part);
        edge.consequence == *check && (edge.only.is_empty() || edge.only.iter().any(is_of))
    };
    let edges = EDGES.iter().filter(fits);
    let of = |edge: &'a Edge| {
        let is_cause = move |(_, (check, it)): &(usize, &Found)| {
            *check == edge.cause && (it.ongoing || !finding.ongoing) && it.scope.can_lead_to(&finding.scope)
        };
        found.iter().enumerate().filter(is_cause).map(|(index, _)| (index, edge)).collect::<Vec<_>>()
    };
    edges.flat_map(of).collect()
}

/// The length of the longest chain of causes. The graph has no circles.
fn depth(edges: &[Vec<(usize, &Edge)>], index: usize) -> usize {
    edges[index].iter().map(|(cause, _)| 1 + depth(edges, *cause)).max().unwrap_or(0)
}

fn diagnosis(
    found: &[Found],
    edges: &[Vec<(usize, &Edge)>],
    parents: &[Option<(usize, &Edge)>],
    index: usize,
) -> Diagnosis {
    let below = (0..found.len()).filter(|other| parents[*other].is_some_and(|(cause, _)| cause == index));
    let mut consequences: Vec<Diagnosis> = below.map(|other| diagnosis(found, edges, parents, other)).collect();
    sort(&mut consequences);
    let above: Vec<&str> = chain(parents, index).map(|cause| found[cause].0).collect();
    let mut also: Vec<&'static str> = edges[index].iter().map(|(_, edge)| edge.cause).collect();
    also.sort_unstable();
    also.dedup();
    also.retain(|cause| !above.contains(cause));
    let (check, finding) = &found[index];
    Diagnosis {
        check,
        finding: finding.clone(),
        because: parents[index].map(|(_, edge)| edge.reason),
        also_because: also,
        consequences,
    }
}

/// The findings that one stands below, from the nearest to the top.
fn chain(parents: &[Option<(usize, &Edge)>], index: usize) -> impl Iterator<Item = usize> {
    let above = |index: usize| parents[index].map(|(cause, _)| cause);
    std::iter::successors(above(index), move |cause| above(*cause))
}

/// The worst first; equal ones in the order of the checks.
fn sort(diagnoses: &mut [Diagnosis]) {
    diagnoses.sort_by_key(|it| std::cmp::Reverse((it.worst(), it.finding.severity)));
}
