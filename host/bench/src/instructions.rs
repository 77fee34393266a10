//! Instructions a record. Unlike times, they do not depend on what else the machine does, so that a test can compare them.
//!
//! Valgrind runs this program twice for each part of [`work::PARTS`], with a smaller and a larger size. The difference is
//! the cost of what is more: start-up, preparation and compiled plugins cancel out. `host/bench/instructions.toml` has the
//! counts that a change is compared with.
//!
//! - `work`: what is counted.
//! - `valgrind`: counts the instructions of a run.
//! - `baseline`: the counts in the repository.
//! - `comparison`: both beside each other.

mod baseline;
mod comparison;
mod valgrind;
mod work;

use std::collections::BTreeMap;
use std::process::ExitCode;

use self::baseline::Baseline;
use self::comparison::Comparison;
use self::valgrind::Valgrind;
use self::work::{CALLS_ALL_PLUGINS, PARTS, Part, Sizes};
use crate::print_line;

pub(crate) use self::work::run as work;

/// What the command line asks for.
#[derive(Default)]
struct Request {
    /// Writes the counts into the repository.
    accept: bool,
    /// One part instead of all.
    part: Option<String>,
    /// Other sizes than the part's: the counts a record are the same.
    sizes: Option<Sizes>,
}

impl Request {
    /// Reads `[--accept] [PART [SMALLER LARGER]]`.
    fn parse(arguments: &[String]) -> Self {
        let (options, names): (Vec<&String>, Vec<&String>) =
            arguments.iter().partition(|argument| argument.starts_with("--"));
        let number = |at: usize| names.get(at).map(|text| text.parse().expect("a size is a number"));
        Self {
            accept: options.iter().any(|option| *option == "--accept"),
            part: names.first().map(|name| (*name).clone()),
            sizes: number(1).zip(number(2)).map(|(smaller, larger)| Sizes { smaller, larger }),
        }
    }
}

/// Counts, and compares with the repository. Fails if a count differs by more than the tolerance.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let request = Request::parse(arguments);
    let parts: Vec<&Part> =
        PARTS.iter().filter(|part| request.part.as_deref().is_none_or(|name| part.name == name)).collect();
    assert!(!parts.is_empty(), "there is no part {:?}", request.part);
    let valgrind = Valgrind::find();
    print_line(&format!("instructions a record on {}, counted by {}", baseline::machine(), valgrind.version()));
    if parts.iter().any(|part| part.has_plugins) {
        valgrind.warm_up(CALLS_ALL_PLUGINS, 1);
    }
    let counts: BTreeMap<String, f64> =
        parts.iter().map(|part| (part.name.to_owned(), a_record(&valgrind, part, &request))).collect();
    let baseline = Baseline::read();
    let comparison = Comparison::new(baseline.counts(), &counts, request.part.is_none());
    print_line(&comparison.table());
    if cfg!(not(debug_assertions)) {
        print_line("This build is optimised: its counts are not those of the repository, and are not compared.");
        return ExitCode::SUCCESS;
    }
    if request.accept {
        baseline.with(counts).write();
        print_line(&format!("{} is written; commit it with the change", baseline::FILE));
        return ExitCode::SUCCESS;
    }
    match comparison.complaint() {
        Some(complaint) => {
            print_line(&complaint);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// The instructions of a record of this part.
fn a_record(valgrind: &Valgrind, part: &Part, request: &Request) -> f64 {
    let Sizes { smaller, larger } = request.sizes.unwrap_or(part.sizes);
    let [few, many] = [smaller, larger].map(|size| valgrind.count(part.name, size) as f64);
    (many - few) / ((larger - smaller) * part.records) as f64
}
