//! Compiled components on disk, so that a process that restarts need not compile again.
//!
//! A compiled component is machine code, and the host runs what it reads back. So a cache is a folder that only this
//! user can write, and so is each file in it. A file's name holds the plugin's digest and a hash of the compiler, its
//! settings, and the version of what rewrites plugins for it. Its first bytes are a digest of the rest, which detects
//! truncation and damage.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::compiler::compatibility;
use crate::digest::Digest;
use crate::exclusive;

/// A folder of compiled components.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens the cache in this folder, and creates the folder where it is missing.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        exclusive::check(folder, &fs::metadata(folder)?, &[exclusive::user()?])?;
        Ok(Self { folder: folder.to_owned() })
    }

    #[expect(
        clippy::disallowed_types,
        reason = "it names a file of this machine's cache only: another hash is another file"
    )]
    fn path(&self, engine: &Engine, digest: Digest) -> PathBuf {
        let mut hasher = std::hash::DefaultHasher::new();
        compatibility(engine).hash(&mut hasher);
        self.folder.join(format!("{}-{:016x}.compiled", digest.hex(), hasher.finish()))
    }

    /// Whether there is a compiled component, usable or not.
    pub(crate) fn has(&self, engine: &Engine, digest: Digest) -> bool {
        self.path(engine, digest).is_file()
    }

    /// Reads a compiled component. `None` where the cache has no usable one.
    pub(crate) fn get(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let path = self.path(engine, digest);
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                // Once: `put` replaces the file.
                tracing::warn!("a compiled plugin of the cache is not used; compiling it again: {error}");
                return None;
            }
        };
        let (digest_of_rest, compiled) = bytes.split_at_checked(32)?;
        if Digest::of(compiled).as_bytes() != digest_of_rest {
            tracing::warn!("the compiled plugin {} is damaged; compiling it again", path.display());
            return None;
        }
        // SAFETY: the bytes are what `put` wrote. Only this user can write the folder (checked by `open`) and the file
        // (checked by `read`, of what it has opened), the digest shows that they are complete, and the name shows that the
        // same compiler with the same settings made them, which wasmtime checks again.
        #[expect(unsafe_code, reason = "machine code that this host compiled itself, see the safety argument")]
        let component = unsafe { Component::deserialize(engine, compiled) };
        let unusable = |error: &_| {
            tracing::warn!("the compiled plugin {} can't be used; compiling it again: {error:#}", path.display())
        };
        component.inspect_err(unusable).ok()
    }

    /// Writes a compiled component. A cache that can't be written costs time and nothing else.
    pub(crate) fn put(&self, engine: &Engine, digest: Digest, component: &Component) {
        let path = self.path(engine, digest);
        let written = component.serialize().map_err(io::Error::other).and_then(|compiled| {
            // Written under another name and renamed, so that no process reads half of it.
            let new = path.with_extension(format!("new-{}", std::process::id()));
            // Whoever left a file of this name, this process does not write into it.
            let _ = fs::remove_file(&new);
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(Digest::of(&compiled).as_bytes())?;
            file.write_all(&compiled)?;
            drop(file);
            fs::rename(&new, &path)
        });
        if let Err(error) = written {
            tracing::warn!("the compiled plugin {} can't be cached: {error}", path.display());
        }
    }
}

/// The contents of a file that only this user can write.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    exclusive::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
