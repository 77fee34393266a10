//! `paceline plugin build`.

use std::path::PathBuf;

use crate::report;

/// Arguments of `paceline plugin build`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The plugin's folder, with its plugin.toml or its Cargo.toml.
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// The component's file, or a folder for a file with the plugin's name [default: in the plugin's folder; without a
    /// plugin.toml, beside cargo's output]
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
}

/// Builds the plugin in a folder.
pub(crate) fn build(arguments: &Arguments) -> anyhow::Result<()> {
    let built = paceline_kit::build::build(&arguments.dir, arguments.out.as_deref())?;
    report::print_line(&format!("{}  {} bytes", built.file.display(), report::thousands(built.bytes)))
}
