//! How long a plugin's calls take, against another plugin's.
//!
//! The calls of both run in turns within one process, so that a drift of the machine's speed affects both alike. A control
//! runs the plugin against itself: a comparison is worth no more than its control is near to 1.

use std::time::{Duration, Instant};

use paceline_engine::{Called, PackedBuf};

use crate::bill::{SIZES, call, repeated, states};
use crate::events::Input;
use crate::subject::Subject;

/// For how long the calls of each size run.
const FOR: Duration = Duration::from_millis(300);

/// The least and the greatest number of turns of a size.
const TURNS: (usize, usize) = (5, 500);

/// A plugin, and what it is called with.
#[derive(Clone, Copy, Debug)]
pub struct Contender<'a> {
    /// The plugin.
    pub subject: &'a Subject,
    /// The rows, which come over and over.
    pub input: &'a Input,
}

/// The medians of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The rows of a call.
    pub rows: usize,
    /// The time of a call, that of instantiation included.
    pub time: Duration,
    /// The time of a call of the other plugin.
    pub other: Option<Duration>,
    /// The plugin against itself.
    pub control: f64,
    /// How often each was called.
    pub turns: usize,
}

/// Measures a plugin with each of the sizes, in turns with another one. Without rows nothing is measured.
pub fn bench(ours: Contender<'_>, other: Option<Contender<'_>>) -> Called<Vec<Measured>> {
    let has_rows = |contender: &Contender<'_>| contender.input.rows() > 0;
    match has_rows(&ours) && other.as_ref().is_none_or(has_rows) {
        true => SIZES.iter().map(|&rows| measure(ours, other, rows)).collect(),
        false => Ok(Vec::new()),
    }
}

/// A plugin and the call that is measured.
struct Prepared<'a> {
    subject: &'a Subject,
    input: Input,
    states: PackedBuf,
}

impl<'a> Prepared<'a> {
    fn new(contender: Contender<'a>, rows: usize) -> Called<Self> {
        let input = repeated(contender.input, rows);
        let states = states(contender.subject, &input)?;
        Ok(Self { subject: contender.subject, input, states })
    }

    /// The time of one call.
    fn call(&self) -> Called<Duration> {
        Ok(call(self.subject, &self.input, &self.states)?.0.time)
    }
}

fn measure(ours: Contender<'_>, other: Option<Contender<'_>>, rows: usize) -> Called<Measured> {
    let own = Prepared::new(ours, rows)?;
    let other = other.map(|other| Prepared::new(other, rows)).transpose()?;
    let (mut times, mut controls, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let began = Instant::now();
    while times.len() < TURNS.0 || (times.len() < TURNS.1 && began.elapsed() < FOR) {
        times.push(own.call()?);
        if let Some(other) = &other {
            others.push(other.call()?);
        }
        controls.push(own.call()?);
    }
    let turns = times.len();
    let time = median(times);
    let control = time.as_secs_f64() / median(controls).as_secs_f64().max(f64::MIN_POSITIVE);
    Ok(Measured { rows, time, other: other.is_some().then(|| median(others)), control, turns })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
