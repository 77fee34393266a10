//! In which functions a plugin spends its time.

use std::time::{Duration, Instant};

use paceline_engine::Called;

use crate::bill::{SIZES, call, repeated, states};
use crate::events::Input;
use crate::subject::Subject;

/// For how long calls run: a sample a millisecond shows what takes a percent of the time.
const FOR: Duration = Duration::from_secs(1);

/// Calls a plugin with the rows, over and over, for a while. The engine of `subject` takes the profile.
pub fn run(subject: &Subject, input: &Input) -> Called<()> {
    if input.rows() == 0 {
        return Ok(());
    }
    let rows = repeated(input, SIZES[SIZES.len() - 1]);
    let states = states(subject, &rows)?;
    let began = Instant::now();
    while began.elapsed() < FOR {
        call(subject, &rows, &states)?;
    }
    Ok(())
}
