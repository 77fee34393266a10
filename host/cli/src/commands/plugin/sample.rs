//! The sample events that a command runs through a plugin.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use paceline_kit::events::{Events, Grouping};
use paceline_kit::project::Project;
use paceline_pipeline::model::Pointer;

use super::subject::Wanted;

/// Which events, and what an aggregator is given for them. Of a project, its plugin.toml has the defaults.
#[derive(clap::Args)]
pub(super) struct SampleArguments {
    /// Sample events, a JSON object a line as in the stream [default: those of the project, or events.ndjson beside the
    /// component]
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// For an aggregator: the field that names an event's group. Without it, all events are of one group.
    #[arg(long, value_name = "POINTER", value_parser = pointer)]
    group: Option<Pointer>,
    /// For an aggregator: the field with an event's score. Without it, every score is 0.
    #[arg(long, value_name = "POINTER", value_parser = pointer)]
    score: Option<Pointer>,
}

/// Parses an argument.
pub(super) fn pointer(text: &str) -> Result<Pointer, String> {
    Pointer::parse(text).map_err(|error| error.to_string())
}

impl SampleArguments {
    /// The file of the events, if it is named.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.events.clone()
    }

    /// The file of the events, and its events: at least one.
    pub(super) fn events(&self, wanted: &Wanted) -> anyhow::Result<(PathBuf, Events)> {
        let beside = || wanted.file.parent().unwrap_or(Path::new("")).join("events.ndjson");
        let default = || wanted.project.as_ref().map_or_else(beside, Project::events);
        let file = self.events.clone().unwrap_or_else(default);
        let events = Events::read(&file).with_context(|| file.display().to_string())?;
        if events.is_empty() {
            bail!("{} has no events", file.display());
        }
        Ok((file, events))
    }

    /// The groups and scores of the events.
    pub(super) fn grouping(&self, wanted: &Wanted) -> anyhow::Result<Grouping> {
        let Grouping { group, score } = wanted.grouping()?;
        Ok(Grouping { group: self.group.clone().or(group), score: self.score.clone().or(score) })
    }
}
