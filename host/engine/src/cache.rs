//! Compiled components on disk, so that a process that starts again need not compile again.
//!
//! What is compiled is machine code, and is trusted as such when it is read: so a cache is a folder that nobody but this
//! user can write. A file is named for the plugin's digest and for the exact compiler and settings; its first bytes are a
//! digest of the rest, by which one that was cut off or damaged is told.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::Digest;

/// A folder of compiled components.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The cache in this folder, which is made where there is none.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let found = fs::metadata(folder)?;
        // The owner of this process, without a call into the C library.
        let own = fs::metadata("/proc/self")?.uid();
        if found.uid() != own || found.mode() & 0o022 != 0 {
            return Err(io::Error::other("others can write it, and what it holds would be run"));
        }
        Ok(Self { folder: folder.to_owned() })
    }

    fn path(&self, engine: &Engine, digest: Digest) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.folder.join(format!("{}-{:016x}.compiled", digest.hex(), hasher.finish()))
    }

    /// A component that was compiled before; nothing where there is none, or none that can be used.
    pub(crate) fn get(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let path = self.path(engine, digest);
        let bytes = fs::read(&path).ok()?;
        let (sum, compiled) = bytes.split_at_checked(32)?;
        if Digest::of(compiled).as_bytes() != sum {
            tracing::warn!("the compiled plugin {} is damaged, it is compiled anew", path.display());
            return None;
        }
        // SAFETY: the bytes are what `put` wrote: the folder can be written by this user alone (checked by `open`), the
        // sum shows that they are whole, and the name says that the same compiler with the same settings made them,
        // which wasmtime checks once more.
        #[expect(unsafe_code, reason = "machine code that this host compiled itself, see the safety argument")]
        let component = unsafe { Component::deserialize(engine, compiled) };
        component.map_err(|error| tracing::warn!("the compiled plugin {}: {error:#}", path.display())).ok()
    }

    /// Keeps a compiled component. A cache that can't be written costs time, nothing else.
    pub(crate) fn put(&self, engine: &Engine, digest: Digest, component: &Component) {
        let path = self.path(engine, digest);
        let kept = component.serialize().map_err(io::Error::other).and_then(|compiled| {
            // Written beside and renamed, so that nobody reads half of it.
            let new = path.with_extension(format!("new-{}", std::process::id()));
            let mut file = File::create(&new)?;
            file.write_all(Digest::of(&compiled).as_bytes())?;
            file.write_all(&compiled)?;
            drop(file);
            fs::rename(&new, &path)
        });
        if let Err(error) = kept {
            tracing::warn!("the compiled plugin {} can't be kept: {error}", path.display());
        }
    }
}
