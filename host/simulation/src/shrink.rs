//! A plan that fails is made smaller for as long as it fails in the same way.

use std::sync::Arc;

use crate::finding::Finding;
use crate::plan::Plan;
use crate::run::{Options, run};
use crate::setup::Setup;

/// A smaller plan that fails in the same way.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// How it fails.
    pub finding: Finding,
    /// How many plans were tried.
    pub tried: u32,
}

/// The most plans that are tried.
const MOST: u32 = 400;

/// Makes a plan smaller, knob by knob: its least value if that fails as well, else halfway there.
pub fn shrink(setup: &Arc<Setup>, plan: &Plan, finding: &Finding, options: Options) -> Shrunk {
    let mut shrunk = Shrunk { plan: plan.clone(), finding: finding.clone(), tried: 0 };
    loop {
        let before = shrunk.plan.clone();
        for knob in Plan::KNOBS {
            shrink_knob(setup, &mut shrunk, (knob.name, knob.least), options);
        }
        if shrunk.plan == before || shrunk.tried >= MOST {
            return shrunk;
        }
    }
}

fn shrink_knob(setup: &Arc<Setup>, shrunk: &mut Shrunk, (name, least): (&str, u32), options: Options) {
    let try_value = |shrunk: &mut Shrunk, value: u32| {
        let mut plan = shrunk.plan.clone();
        if shrunk.tried >= MOST || plan.set(name, value).is_err() {
            return false;
        }
        shrunk.tried += 1;
        match run(setup, &plan, options).finding {
            Some(finding) if finding.is_like(&shrunk.finding) => {
                (shrunk.plan, shrunk.finding) = (plan, finding);
                true
            }
            _ => false,
        }
    };
    let now = |shrunk: &Shrunk| shrunk.plan.get(name).unwrap_or(least);
    if now(shrunk) <= least || try_value(shrunk, least) {
        return;
    }
    // Halfway to the least value, then one less.
    while now(shrunk) - least > 1 {
        let value = now(shrunk);
        let half = least + (value - least) / 2;
        if !try_value(shrunk, half) && !try_value(shrunk, value - 1) {
            return;
        }
    }
}
