use paceline_plugin::{Fields, scorer};

#[derive(Fields)]
struct Effort {
    cadence: f64,
    resistance: f64,
}

fn output(row: Effort) -> f64 {
    (row.cadence + 35.0) * (row.resistance + 65.0) / 100.0
}

scorer!(output);
