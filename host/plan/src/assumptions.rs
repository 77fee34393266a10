use crate::work::Work;
use paceline_capacity::Prices;

/// What is assumed of the world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assumptions {
    /// What the work costs in time.
    pub work: Work,
    /// What services cost.
    pub prices: Prices,
}
