//! The plugin that a command works on: a component's file or a project, with settings and the bounds of a host.

use std::path::{Path, PathBuf};

use anyhow::Context;
use paceline_config::Config;
use paceline_engine::{Engine, Limits, Role, Settings};
use paceline_kit::build::build;
use paceline_kit::events::Grouping;
use paceline_kit::project::{Kind, Project};
use paceline_kit::subject::Subject;
use paceline_pipeline::model::Pointer;

use super::new::one_of;
use crate::setup::cache;

/// Which plugin.
#[derive(clap::Args)]
pub(super) struct SubjectArguments {
    /// The component, or the folder of a project, which is built first.
    #[arg(default_value = ".")]
    pub(super) path: PathBuf,
    /// A setting of the plugin, as in a rulebook. Those of the project's plugin.toml hold as well.
    #[arg(long = "setting", value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// The role, of a component with several. A project names its own.
    #[arg(long, value_parser = one_of(Kind::ALL, Kind::as_str))]
    role: Option<Kind>,
    /// The configuration of a host, for its limits.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A plugin's bytes, and how they are used.
pub(super) struct Wanted {
    pub(super) wasm: Vec<u8>,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    /// The configuration of a host.
    pub(super) config: Option<Config>,
    /// The component's file.
    pub(super) file: PathBuf,
    /// The project that it was built from.
    pub(super) project: Option<Project>,
    role: Option<Role>,
}

impl SubjectArguments {
    /// Reads the component, of a project once it is built, and the configuration.
    pub(super) fn read(&self) -> anyhow::Result<Wanted> {
        let (file, project) = match self.path.is_dir() {
            false => (self.path.clone(), None),
            true => {
                let project = Project::open(&self.path)?;
                (build(&self.path, None)?.file, Some(project))
            }
        };
        let wasm = std::fs::read(&file).with_context(|| file.display().to_string())?;
        let config = self.config.as_ref().map(|file| Config::load(file)).transpose()?;
        let limits = config.as_ref().map_or_else(Limits::default, |config| config.limits.clone());
        let role = self.role.or(project.as_ref().map(|project| project.kind)).map(Role::from);
        let mut settings = project.as_ref().map(|project| project.settings.clone()).unwrap_or_default();
        settings.extend(self.settings.iter().cloned());
        Ok(Wanted { wasm, settings, limits, config, file, project, role })
    }
}

impl Wanted {
    /// The groups and scores of the project's events.
    pub(super) fn grouping(&self) -> anyhow::Result<Grouping> {
        let of_project = |text: Option<&String>, name: &str| {
            text.map(|text| Pointer::parse(text).with_context(|| format!("plugin.toml: [test] {name}"))).transpose()
        };
        let test = self.project.as_ref().map(|project| &project.test);
        let group = of_project(test.and_then(|test| test.group.as_ref()), "group")?;
        let score = of_project(test.and_then(|test| test.score.as_ref()), "score")?;
        Ok(Grouping { group, score })
    }

    /// A sandbox with these limits, and compiled plugins from the cache.
    pub(super) fn engine(&self, limits: Limits) -> anyhow::Result<Engine> {
        Ok(match cache() {
            Some(cache) => Engine::with_cache(limits, &cache)?,
            None => Engine::new(limits)?,
        })
    }

    /// The plugin in its role, in a sandbox with these limits.
    pub(super) fn subject(&self, limits: Limits) -> anyhow::Result<Subject> {
        self.subject_in(&self.engine(limits)?)
    }

    /// The same plugin, compiled without optimisation.
    pub(super) fn unoptimised_subject(&self, limits: Limits) -> anyhow::Result<Subject> {
        self.subject_in(&Engine::unoptimised(limits, cache().as_deref())?)
    }

    /// Another plugin in the same role, with the same settings and limits.
    pub(super) fn another(&self, file: &Path) -> anyhow::Result<Subject> {
        let wasm = std::fs::read(file).with_context(|| file.display().to_string())?;
        let engine = self.engine(self.limits.clone())?;
        Subject::load(&engine, &wasm, &self.settings, self.role).with_context(|| file.display().to_string())
    }

    /// The same in this sandbox.
    pub(super) fn subject_in(&self, engine: &Engine) -> anyhow::Result<Subject> {
        Subject::load(engine, &self.wasm, &self.settings, self.role).with_context(|| self.file.display().to_string())
    }
}
