//! Compiled code that came with the program, in a package or an image.
//!
//! ```text
//! <sha256 of the plugin>/<name of the code>.elf
//! ```
//!
//! It is machine code, it is not signed, and the host runs it as it runs itself. So it has to be as trustworthy as the
//! program: only files within the package are used, and only if nobody but the program's owner can write them. Lambda
//! mounts packages read-only.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use wasmtime::component::Component;

use crate::digest::Digest;
use crate::exclusive;

/// How the names of files end. What compilers write for Linux is in this format.
const SUFFIX: &str = ".elf";

/// The system's administrator, who can write everything.
const ROOT: u32 = 0;

/// A folder of compiled code that came with the program.
#[derive(Clone, Debug)]
pub struct PackagedCode {
    folder: PathBuf,
}

impl PackagedCode {
    /// The compiled code in `folder`, which is within the folder `package`. `None` if there is none, and, with a warning,
    /// if others than the program's owner could have written it.
    pub fn find(package: &Path, folder: &Path) -> Option<Self> {
        if !folder.is_dir() {
            return None;
        }
        let unused = |error: &io::Error| {
            tracing::warn!("the package's compiled code in {} is not used: {error}", folder.display());
        };
        Self::open(package, folder).inspect_err(unused).ok()
    }

    fn open(package: &Path, folder: &Path) -> io::Result<Self> {
        let (package, folder) = (fs::canonicalize(package)?, fs::canonicalize(folder)?);
        if !folder.starts_with(&package) {
            return Err(io::Error::other(format!("it is not within {}, the package", package.display())));
        }
        folder.ancestors().take_while(|ancestor| ancestor.starts_with(&package)).try_for_each(check)?;
        Ok(Self { folder })
    }

    /// The file of the code of this name.
    pub(crate) fn file(&self, digest: Digest, name: &str) -> PathBuf {
        self.folder.join(digest.hex()).join(Self::file_name(name))
    }

    /// The file's name of the code of this name.
    pub fn file_name(name: &str) -> String {
        format!("{name}{SUFFIX}")
    }

    /// Whether a file of this name has a package's code.
    pub fn is_file_name(name: &str) -> bool {
        name.ends_with(SUFFIX)
    }

    /// The component of this plugin. `None` if there is none for this engine: that the package has another one is logged.
    pub(crate) fn get(&self, engine: &wasmtime::Engine, digest: Digest, name: &str) -> Option<Component> {
        let file = self.file(digest, name);
        let unused = |why: String| {
            tracing::warn!("the package's compiled code of plugin {digest} is not used; compiling the plugin: {why}");
        };
        let Some(folder) = file.parent().filter(|folder| folder.is_dir()) else {
            tracing::debug!("plugin {digest}: the package has no compiled code of it");
            return None;
        };
        if !file.exists() {
            unused("it is for another architecture or of another version of paceline".to_owned());
            return None;
        }
        if let Err(error) = check(folder).and_then(|()| check(&file)) {
            unused(error.to_string());
            return None;
        }
        // SAFETY: whoever can write the file can write the program, too: it is within the package, and `check` shows of
        // every folder from there on, and of the file, that nobody but the program's owner, this process's user and the
        // administrator can write it. So it is what the package was made with: what wasmtime's compiler made from this
        // plugin, for an engine of this name. The name has wasmtime's full version and settings, of which wasmtime
        // compares some again; it also checks that this machine's processor has what the code assumes. The file is mapped
        // and must not change while it is: packages are replaced as a whole, and `rules bundle` renames what it writes.
        #[expect(unsafe_code, reason = "machine code that came with the program, see the safety argument")]
        let component = unsafe { Component::deserialize_file(engine, &file) };
        let component = component.map_err(|error| unused(format!("{error:#}"))).ok()?;
        tracing::debug!("plugin {digest}: compiled code of the package is used");
        Some(component)
    }
}

/// That nobody can write this file or folder who can't write the program.
fn check(path: &Path) -> io::Result<()> {
    let owner_of_program = fs::metadata("/proc/self/exe")?.uid();
    exclusive::check(path, &fs::symlink_metadata(path)?, &[ROOT, exclusive::user()?, owner_of_program])
}
