//! The plugins of this version of the program, to compare others with. They are built when they are first needed.

use std::io;
use std::path::{Path, PathBuf};

use paceline_engine::Digest;

use crate::build::{BuildError, build};
use crate::project::{CreateError, Kind, Language, NewProject};

/// A plugin of this version.
struct Shipped {
    name: &'static str,
    /// Its files, with their names in `src`.
    source: &'static [(&'static str, &'static str)],
    /// The SDK's features that it has.
    features: &'static [&'static str],
}

macro_rules! source {
    ($plugin:literal: $($file:literal),+) => {
        &[$(($file, include_str!(concat!("../../../plugins/", $plugin, "/src/", $file)))),+]
    };
}

fn shipped(kind: Kind) -> Shipped {
    match kind {
        Kind::Scorer => Shipped {
            name: "output",
            source: source!("output": "lib.rs", "rounding.rs"),
            features: &["allocator", "lanes"],
        },
        Kind::Validator => {
            Shipped { name: "telemetry", source: source!("telemetry": "lib.rs"), features: &["allocator"] }
        }
        Kind::Aggregator => {
            Shipped { name: "best-output", source: source!("best-output": "lib.rs"), features: &["allocator"] }
        }
    }
}

/// A plugin of this version can't be built here.
#[derive(Debug, thiserror::Error)]
pub enum ShippedError {
    /// Its project can't be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// It can't be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A file can't be read or written.
    #[error("{0}: it can't be read or written")]
    File(PathBuf, #[source] io::Error),
}

/// The name of the plugin of this kind.
pub fn name(kind: Kind) -> &'static str {
    shipped(kind).name
}

/// The plugin of this kind, built once into a folder.
pub fn component(kind: Kind, folder: &Path) -> Result<PathBuf, ShippedError> {
    let Shipped { name, source, .. } = shipped(kind);
    let source: String = source.iter().map(|(_, text)| *text).collect();
    let digest = Digest::of(format!("{}\n{source}", env!("CARGO_PKG_VERSION")).as_bytes()).hex();
    let file = folder.join(format!("{name}-{}.wasm", &digest[..16]));
    if file.is_file() {
        return Ok(file);
    }
    // Another process may build it at the same time.
    let parent = folder.join(format!("{name}-{}", std::process::id()));
    let built = in_folder(&parent, kind).and_then(|built| {
        std::fs::rename(&built, &file).map_err(|error| ShippedError::File(file.clone(), error))?;
        Ok(file)
    });
    // What is left behind costs room and nothing else.
    let _ = std::fs::remove_dir_all(&parent);
    built
}

/// The SDK in the manifest of a new project.
const SDK: &str = r#"paceline-plugin = { path = "paceline/sdk" }"#;

/// serde in the manifest of a new aggregator, and without its standard library.
const SERDE: [&str; 2] = [
    r#"serde = { version = "1", features = ["derive"] }"#,
    r#"serde = { version = "1", default-features = false, features = ["alloc", "derive"] }"#,
];

/// Builds the plugin in a folder of its own.
fn in_folder(parent: &Path, kind: Kind) -> Result<PathBuf, ShippedError> {
    let Shipped { name, source, features } = shipped(kind);
    std::fs::create_dir_all(parent).map_err(|error| ShippedError::File(parent.to_owned(), error))?;
    let project = NewProject { name, kind, language: Language::Rust, parent }.write()?;
    let write =
        |file: PathBuf, text: &str| std::fs::write(&file, text).map_err(|error| ShippedError::File(file, error));
    for (file, text) in source {
        write(project.join("src").join(file), text)?;
    }
    // Shipped plugins have no standard library.
    let manifest = project.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).map_err(|error| ShippedError::File(manifest.clone(), error))?;
    let sdk =
        format!(r#"paceline-plugin = {{ path = "paceline/sdk", default-features = false, features = {features:?} }}"#);
    write(manifest, &text.replace(SDK, &sdk).replace(SERDE[0], SERDE[1]))?;
    Ok(build(&project, None)?.file)
}
