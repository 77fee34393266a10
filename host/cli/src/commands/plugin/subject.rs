//! The plugin that a command works on: a component's file or a project, with settings and the bounds of a host.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use paceline_config::Config;
use paceline_engine::{Component, Engine, Limits, LoadError, PluginLimits, Role, Settings};
use paceline_kit::bill::raised;
use paceline_kit::build::build;
use paceline_kit::events::Grouping;
use paceline_kit::project::{Kind, Project};
use paceline_kit::subject::{Subject, SubjectError};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::Pointer;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::new::one_of;
use super::rulebook::{self, Use};
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
    /// A limit of the plugin, as in a rulebook's `limits`: `fuel-per-row=40000`. Those of the project's plugin.toml hold as
    /// well.
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit)]
    limits: Vec<(String, u64)>,
    /// The role, of a component with several. A project names its own.
    #[arg(long, value_parser = one_of(Kind::ALL, Kind::as_str))]
    role: Option<Kind>,
    /// A rulebook that uses the plugin, for the settings and limits that it has there.
    #[arg(long, value_name = "FILE")]
    rulebook: Option<PathBuf>,
    /// The configuration of a host, for its limits.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn limit(text: &str) -> Result<(String, u64), &'static str> {
    const EXPECTED: &str = "expected NAME=VALUE with a whole number, such as fuel-per-row=40000";
    let (name, value) = text.split_once('=').ok_or(EXPECTED)?;
    Ok((name.to_owned(), value.replace('_', "").parse().map_err(|_| EXPECTED)?))
}

/// A plugin's bytes, and how they are used.
pub(super) struct Wanted {
    pub(super) wasm: Vec<u8>,
    pub(super) settings: Settings,
    /// Those of the host.
    pub(super) limits: Limits,
    /// Those that the rulebook would set.
    pub(super) plugin_limits: PluginLimits,
    /// The configuration of a host.
    pub(super) config: Option<Config>,
    /// The component's file.
    pub(super) file: PathBuf,
    /// The project that it was built from.
    pub(super) project: Option<Project>,
    /// That of the arguments, the project or the rulebook.
    pub(super) role: Option<Role>,
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
        let used = self.rulebook.as_ref().map(|rulebook| rulebook::find(rulebook, &file, &wasm, role)).transpose()?;
        let role = role.or(used.as_ref().map(|used| used.role));
        let mut settings = project.as_ref().map(|project| project.settings.clone()).unwrap_or_default();
        settings.extend(used.iter().flat_map(|used| used.settings.clone()));
        settings.extend(self.settings.iter().cloned());
        let plugin_limits = self.plugin_limits(project.as_ref(), used.as_ref())?;
        Ok(Wanted { wasm, settings, limits, plugin_limits, config, file, project, role })
    }

    /// The limits of the arguments, then those of the rulebook, then those of the project.
    fn plugin_limits(&self, project: Option<&Project>, used: Option<&Use>) -> anyhow::Result<PluginLimits> {
        let mut limits = Map::new();
        for some in project.map(|project| project.limits).into_iter().chain(used.map(|used| used.limits)) {
            let Value::Object(some) = serde_json::to_value(some)? else { bail!("limits are a table") };
            limits.extend(some.into_iter().filter(|(_, value)| !value.is_null()));
        }
        limits.extend(self.limits.iter().map(|(name, value)| (name.clone(), Value::from(*value))));
        PluginLimits::deserialize(Value::Object(limits)).context("--limit")
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
    fn engine(&self, limits: Limits) -> anyhow::Result<Engine> {
        Ok(match cache() {
            Some(cache) => Engine::with_cache(limits, &cache)?,
            None => Engine::new(limits)?,
        })
    }

    /// The component, with the bounds that a host and a rulebook give it.
    pub(super) fn component(&self) -> anyhow::Result<Component> {
        self.bounded(&self.engine(self.limits.clone())?, &self.wasm)
            .with_context(|| format!("{} is refused", self.file.display()))
    }

    fn bounded(&self, engine: &Engine, wasm: &[u8]) -> Result<Component, LoadError> {
        engine.load(wasm)?.with_limits(&self.plugin_limits)
    }

    /// The plugin in its role, with those bounds.
    pub(super) fn subject(&self) -> anyhow::Result<Subject> {
        let subject = self.bounded_in(&self.engine(self.limits.clone())?)?;
        let checked = subject.plugin().check_settings().map_err(SubjectError::from);
        checked.with_context(|| self.file.display().to_string())?;
        Ok(subject)
    }

    /// The same plugin, compiled without optimisation.
    pub(super) fn unoptimised_subject(&self) -> anyhow::Result<Subject> {
        self.bounded_in(&Engine::unoptimised(self.limits.clone(), cache().as_deref())?)
    }

    fn bounded_in(&self, engine: &Engine) -> anyhow::Result<Subject> {
        let subject = self
            .bounded(engine, &self.wasm)
            .map_err(SubjectError::from)
            .and_then(|component| Subject::new(&component, &self.settings, self.role));
        subject.map_err(|error| {
            let fails = matches!(error, SubjectError::Refused(LoadError::Describe(_)));
            let error = anyhow::Error::new(error).context(self.file.display().to_string());
            self.with_hint(error, fails)
        })
    }

    /// A plugin whose `describe` returns an error mostly lacks a setting. Says where settings come from.
    pub(super) fn with_hint(&self, error: anyhow::Error, describe_fails: bool) -> anyhow::Error {
        match (describe_fails, &self.project) {
            (false, _) => error,
            (true, Some(_)) => anyhow!("{}. Settings are in plugin.toml: [settings]", ErrorChain(error.as_ref())),
            (true, None) => anyhow!(
                "{}. Give settings by `--setting NAME=VALUE` or `--rulebook FILE`, or name the project's folder instead of the \
                 component: its plugin.toml has them",
                ErrorChain(error.as_ref())
            ),
        }
    }

    /// The same plugin with raised bounds, under which what exceeds `limits` can be measured.
    pub(super) fn raised_subject(&self, limits: &Limits) -> anyhow::Result<Subject> {
        self.subject_in(&self.engine(raised(limits))?)
    }

    /// The same plugin with the bounds of this sandbox.
    pub(super) fn subject_in(&self, engine: &Engine) -> anyhow::Result<Subject> {
        let component = engine.load(&self.wasm).map_err(SubjectError::from);
        let subject = component.and_then(|component| Subject::new(&component, &self.settings, self.role));
        subject.with_context(|| self.file.display().to_string())
    }

    /// Another plugin in the same role, with the same settings and limits.
    pub(super) fn another(&self, file: &Path) -> anyhow::Result<Subject> {
        let named = || file.display().to_string();
        let wasm = std::fs::read(file).with_context(named)?;
        let component = self.bounded(&self.engine(self.limits.clone())?, &wasm).with_context(named)?;
        Subject::new(&component, &self.settings, self.role).with_context(named)
    }

    /// Another plugin in this role without settings, with the raised bounds that measurements have.
    pub(super) fn contender(&self, file: &Path, role: Role, limits: &Limits) -> anyhow::Result<Subject> {
        let named = || file.display().to_string();
        let wasm = std::fs::read(file).with_context(named)?;
        let component = self.engine(raised(limits))?.load(&wasm).map_err(SubjectError::from).with_context(named)?;
        Subject::new(&component, &Settings::new(), Some(role)).with_context(named)
    }
}
