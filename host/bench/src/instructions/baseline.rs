//! The counts in the repository, by the kind of machine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::root;

/// The file, relative to the checkout.
pub(super) const FILE: &str = "host/bench/instructions.toml";

const HEAD: &str = "\
# Instructions a record, by Valgrind, of a build in the dev profile. `make test` compares them; `make bench-instructions`
# writes them. docs/benchmarks.md says what is counted.
";

type Counts = BTreeMap<String, f64>;

/// The counts of each kind of machine.
pub(super) struct Baseline(BTreeMap<String, Counts>);

impl Baseline {
    pub(super) fn read() -> Self {
        let text = std::fs::read_to_string(file()).unwrap_or_default();
        Self(toml::from_str(&text).unwrap_or_else(|error| panic!("{FILE}: {error}")))
    }

    /// The counts of this kind of machine. `None` if nobody has written any.
    pub(super) fn counts(&self) -> Option<&Counts> {
        self.0.get(&machine())
    }

    /// With these counts for this kind of machine.
    pub(super) fn with(mut self, counts: Counts) -> Self {
        self.0.entry(machine()).or_default().extend(counts);
        self
    }

    pub(super) fn write(&self) {
        let mut text = HEAD.to_owned();
        for (machine, counts) in &self.0 {
            text.push_str(&format!("\n[{machine}]\n"));
            for (part, count) in counts {
                text.push_str(&format!("{part} = {count:.1}\n"));
            }
        }
        std::fs::write(file(), text).unwrap_or_else(|error| panic!("{FILE}: {error}"));
    }
}

/// The kind of this machine: its architecture, and on x86 whether it has AVX2, for which base64 and compiled plugins have
/// other code. Valgrind shows no later extensions. Crates that are not compiled incrementally are cut into other units, and
/// other functions are inlined.
pub(super) fn machine() -> String {
    let mut kind = std::env::consts::ARCH.to_owned();
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        kind.push_str("-avx2");
    }
    if option_env!("CARGO_INCREMENTAL") == Some("0") {
        kind.push_str("-not-incremental");
    }
    kind
}

fn file() -> PathBuf {
    root().join(FILE)
}
