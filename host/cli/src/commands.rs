//! The commands, one file each.

#[cfg(feature = "aws")]
pub(crate) mod dashboard;
pub(crate) mod dead_letters;
#[cfg(feature = "aws")]
pub(crate) mod doctor;
#[cfg(feature = "aws")]
pub(crate) mod healthcheck;
#[cfg(feature = "aws")]
pub(crate) mod kcl;
pub(crate) mod leaderboard;
pub(crate) mod plan;
pub(crate) mod plugin;
pub(crate) mod recorded;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod simulate;
#[cfg(feature = "aws")]
pub(crate) mod table;
#[cfg(feature = "simulation")]
pub(crate) mod torture;
