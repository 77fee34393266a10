//! What is verified, and how much is tried.

use crate::events::Input;
use crate::subject::Subject;

/// What is verified.
#[derive(Clone, Copy, Debug)]
pub struct Specimen<'a> {
    /// The plugin under the bounds of production.
    pub subject: &'a Subject,
    /// The same plugin under an engine whose compiler does not optimise.
    pub unoptimised: &'a Subject,
    /// What the plugin is called with for the sample events.
    pub input: &'a Input,
    /// An aggregator whose states the plugin migrates.
    pub older: Option<Older<'a>>,
}

/// An aggregator whose states another one migrates.
#[derive(Clone, Copy, Debug)]
pub struct Older<'a> {
    /// The aggregator.
    pub subject: &'a Subject,
    /// What it is called with for the sample events.
    pub input: &'a Input,
}

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Cases for each law.
    pub cases: usize,
    /// What the cases are drawn from.
    pub seed: u64,
}

impl Default for Options {
    /// Two hundred cases find what one record in a hundred shows, and take a second.
    fn default() -> Self {
        Self { cases: 200, seed: 1 }
    }
}
