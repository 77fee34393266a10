//! The commands, one file each.

pub(crate) mod dead_letters;
pub(crate) mod healthcheck;
pub(crate) mod kcl;
pub(crate) mod leaderboard;
pub(crate) mod plugin;
pub(crate) mod run;
pub(crate) mod simulate;
pub(crate) mod table;
