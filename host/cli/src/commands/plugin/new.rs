//! `paceline plugin new`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use paceline_kit::project::{Kind, Language, NewProject};

use crate::report;

/// Arguments of `paceline plugin new`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The plugin's name, which becomes that of its folder.
    name: String,
    /// What the plugin does with records.
    #[arg(long, value_parser = one_of(Kind::ALL, Kind::as_str))]
    kind: Kind,
    /// The language of its source.
    #[arg(long, default_value = "rust", value_parser = one_of(Language::ALL, Language::as_str))]
    lang: Language,
    /// The folder in which the plugin's folder is made.
    #[arg(long = "in", value_name = "DIR", default_value = ".")]
    parent: PathBuf,
}

/// A parser that lists the values.
pub(super) fn one_of<T>(all: &[T], name: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static> + Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(all.iter().map(|it| name(*it))).try_map(|text| text.parse::<T>())
}

/// Makes a project, and prints what to do next.
pub(crate) fn new(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { name, kind, lang, parent } = arguments;
    let folder = NewProject { name, kind: *kind, language: *lang, parent }.write()?;
    let shown = folder.strip_prefix(".").unwrap_or(&folder);
    let steps = next_steps(shown, *lang);
    let steps = steps.join("\n");
    report::print_line(&format!("{}: a new plugin, {kind}, {lang}. Next:\n\n{steps}", shown.display()))
}

/// The commands from a new project to a race that the rule judges.
fn next_steps(folder: &Path, language: Language) -> Vec<String> {
    let tools: &[&str] = match language {
        Language::Rust => &["cargo unit"],
        Language::JavaScript => &["npm install", "npm test"],
        Language::Python => {
            &["python3 -m venv .venv && .venv/bin/pip install -r requirements.txt", "python3 -m unittest"]
        }
    };
    let folder = folder.display().to_string();
    let folder = if folder.contains(' ') { format!("'{folder}'") } else { folder };
    let last = [
        "paceline plugin test",
        "paceline plugin verify",
        "paceline rules apply race/rulebooks --config race/paceline.toml",
        "paceline run --config race/paceline.toml",
        "paceline leaderboard --config race/paceline.toml --class 1 --race 1",
    ]
    .map(str::to_owned);
    let commands = [format!("cd {folder}")].into_iter().chain(tools.iter().map(|&tool| tool.to_owned())).chain(last);
    commands.map(|command| format!("  {command}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_steps_can_be_typed() {
        let steps = next_steps(Path::new("my plugins/power"), Language::Python);
        assert_eq!(steps[0], "  cd 'my plugins/power'");
        assert_eq!(steps.last().unwrap(), "  paceline leaderboard --config race/paceline.toml --class 1 --race 1");
    }
}
