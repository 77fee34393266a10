//! How the cost of an axis grows: exponents between neighbouring sizes, and the table.

use serde_json::{Value, json};

use super::axis::Axis;

/// Beyond this, cost grows faster than its work. Exactly proportional is 1; the rest is the noise of a shared machine.
const FLAGGED: f64 = 1.1;

/// What a size costs.
pub(super) struct Point {
    pub(super) size: usize,
    /// In a step: a second of messages, or a whole stream.
    pub(super) records: usize,
    pub(super) cpu_ns_per_record: f64,
    /// The peak beyond a process without rules.
    pub(super) memory_mb: f64,
}

impl Point {
    /// The processor time of a step.
    fn cpu_ns(&self) -> f64 {
        self.cpu_ns_per_record * self.records as f64
    }

    fn memory_bytes_per_record(&self) -> f64 {
        self.memory_mb * 1e6 / self.records as f64
    }
}

/// The sizes of an axis.
pub(super) struct Growth {
    pub(super) axis: &'static Axis,
    /// By size, ascending.
    pub(super) points: Vec<Point>,
    /// The processor time of the largest size relative to itself.
    pub(super) control: f64,
}

/// The exponent `e` of `cost ~ size^e` between two sizes.
fn exponent(sizes: [usize; 2], costs: [f64; 2]) -> f64 {
    (costs[1] / costs[0]).ln() / (sizes[1] as f64 / sizes[0] as f64).ln()
}

impl Growth {
    /// The exponents of processor time and of memory between each size and the one before.
    fn exponents(&self) -> Vec<[f64; 2]> {
        let between = |pair: &[Point]| {
            let sizes = [pair[0].size, pair[1].size];
            let cpu = exponent(sizes, [pair[0].cpu_ns(), pair[1].cpu_ns()]);
            [cpu, exponent(sizes, [pair[0].memory_mb, pair[1].memory_mb])]
        };
        self.points.windows(2).map(between).collect()
    }

    /// The memory of one more, between the smallest and the largest size, in kilobytes.
    fn memory_kb_of_one(&self) -> f64 {
        let (first, last) = (&self.points[0], &self.points[self.points.len() - 1]);
        (last.memory_mb - first.memory_mb) * 1e3 / (last.size - first.size) as f64
    }

    /// Where cost grows faster than its work.
    pub(super) fn flagged(&self) -> Vec<String> {
        let mut flagged = Vec::new();
        for (pair, exponents) in self.points.windows(2).zip(self.exponents()) {
            for (what, exponent) in ["processor time", "memory"].into_iter().zip(exponents) {
                if exponent > FLAGGED {
                    let name = self.axis.name;
                    flagged.push(format!(
                        "{what} from {} to {} {name}, exponent {exponent:.2}",
                        pair[0].size, pair[1].size
                    ));
                }
            }
        }
        flagged
    }

    pub(super) fn table(&self) -> String {
        let mut table = format!(
            "  {:>10} {:>10} {:>10} {:>9} {:>10} {:>9} {:>12}",
            self.axis.name, "records", "ns/record", "exponent", "MB", "exponent", "bytes/record"
        );
        let exponents = std::iter::once(None).chain(self.exponents().into_iter().map(Some));
        for (point, exponents) in self.points.iter().zip(exponents) {
            let [cpu, memory] = exponents.map_or([String::new(), String::new()], |exponents| {
                exponents.map(|exponent| format!("{exponent:.2}{}", if exponent > FLAGGED { "!" } else { "" }))
            });
            table.push_str(&format!(
                "\n  {:>10} {:>10} {:>10.0} {cpu:>9} {:>10.1} {memory:>9} {:>12.0}",
                point.size,
                point.records,
                point.cpu_ns_per_record,
                point.memory_mb,
                point.memory_bytes_per_record()
            ));
        }
        let (control, kilobytes, one) = (self.control, self.memory_kb_of_one(), self.axis.singular);
        table.push_str(&format!("\n  A/A control {control:.2}; memory of one {one}: {kilobytes:.1} KB"));
        table
    }

    pub(super) fn to_json(&self) -> Value {
        let exponents = std::iter::once(None).chain(self.exponents().into_iter().map(Some));
        let point = |(point, exponents): (&Point, Option<[f64; 2]>)| {
            json!({
                "size": point.size,
                "records": point.records,
                "cpu_ns_per_record": point.cpu_ns_per_record,
                "cpu_exponent": exponents.map(|exponents| exponents[0]),
                "memory_mb": point.memory_mb,
                "memory_exponent": exponents.map(|exponents| exponents[1]),
                "memory_bytes_per_record": point.memory_bytes_per_record(),
            })
        };
        json!({
            "sizes": self.points.iter().zip(exponents).map(point).collect::<Vec<_>>(),
            "memory_kb_of_one": self.memory_kb_of_one(),
            "cpu_control": self.control,
            "flagged": self.flagged(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::axis::AXES;
    use super::*;

    /// Sizes 1, 10 and 100 with one record in a step for each.
    fn growth(cpu_ns_per_record: [f64; 3], memory_mb: [f64; 3]) -> Growth {
        let point = |at: usize| Point {
            size: 10_usize.pow(at as u32),
            records: 10_usize.pow(at as u32),
            cpu_ns_per_record: cpu_ns_per_record[at],
            memory_mb: memory_mb[at],
        };
        Growth { axis: &AXES[3], points: (0..3).map(point).collect(), control: 1.0 }
    }

    #[test]
    fn what_is_proportional_to_its_work_is_not_flagged() {
        let growth = growth([500.0, 500.0, 500.0], [1.0, 10.0, 100.0]);
        assert!(growth.flagged().is_empty(), "{:?}", growth.flagged());
        assert!(growth.table().contains("memory of one plugin: 1000.0 KB"), "{}", growth.table());
    }

    #[test]
    fn what_grows_faster_than_its_work_is_named_with_its_exponent() {
        let growth = growth([500.0, 500.0, 5_000.0], [1.0, 20.0, 40.0]);
        let expected =
            ["memory from 1 to 10 plugins, exponent 1.30", "processor time from 10 to 100 plugins, exponent 2.00"];
        assert_eq!(growth.flagged(), expected);
        assert!(growth.table().contains("2.00!"), "{}", growth.table());
    }
}
