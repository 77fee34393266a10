//! The registry: plugins, rulebooks and the log of changes, as objects in a folder or a bucket.
//!
//! ```text
//! plugins/<sha256>.wasm
//! compiled/<sha256 of the plugin>/<name of the code>, signed, or <name of the code>.elf in a package
//! rulebooks/<sha256>.toml
//! log/00000000000000000017.json
//! head
//! ```
//!
//! Objects never change, except `head`, which is a hint, and compiled code, which is signed, or trusted with its package.
//! Plugins and rulebooks are verified against their digests whenever they are read.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use paceline_engine::{Digest, PackagedCode, SignedCode};

use self::object::{COMPILED, ObjectError, compiled_path, entry_path, plugin_path, rulebook_path};
pub(super) use self::rulebook_bytes::RulebookBytes;
use super::document::Rulebook;
use super::error::RegistryError;
use super::signature::PublicKey;

mod copy;
mod object;
mod rulebook_bytes;

/// The hint at the newest revision.
const HEAD: &str = "head";

/// The registry, in a folder or a bucket.
#[derive(Clone, Debug)]
pub struct Registry {
    objects: Arc<dyn ObjectStore>,
    /// The folder's path or the bucket's URL, for messages.
    location: Arc<str>,
    /// The keys of which one has to sign each log entry. None: entries need no signature.
    trusted: Arc<[PublicKey]>,
}

/// How a conditional write of a log entry ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    /// The entry is written: now, or by an earlier attempt whose answer was lost.
    Done,
    /// Another entry has this revision.
    Taken,
}

impl Registry {
    /// A registry in this store. `location` names it in messages.
    pub fn new(objects: Arc<dyn ObjectStore>, location: &str) -> Self {
        Self { objects, location: location.into(), trusted: Arc::default() }
    }

    /// Trusts only log entries that one of these keys has signed.
    pub fn trusting(self, keys: &[PublicKey]) -> Self {
        Self { trusted: keys.into(), ..self }
    }

    pub(super) fn trusted(&self) -> &[PublicKey] {
        &self.trusted
    }

    /// The registry in a folder, which is created if it does not exist.
    pub fn create_folder(path: &Path) -> Result<Self, RegistryError> {
        if !path.is_dir() {
            fs::create_dir_all(path).map_err(|source| RegistryError::Folder { path: path.to_owned(), source })?;
        }
        Self::folder(path)
    }

    /// The registry in a folder.
    pub fn folder(path: &Path) -> Result<Self, RegistryError> {
        let refused = |source: io::Error| RegistryError::Folder { path: path.to_owned(), source };
        let objects = LocalFileSystem::new_with_prefix(path)
            .map_err(|source| refused(io::Error::other(source)))?
            // A rulebook that a race is pinned to must outlive a crash of the machine.
            .with_fsync(true);
        Ok(Self::new(Arc::new(objects), &path.display().to_string()))
    }

    /// The compiled code in a folder's registry that came with the program, in the folder `package`.
    pub fn packaged_code(package: &Path, folder: &Path) -> Option<PackagedCode> {
        PackagedCode::find(package, &folder.join(COMPILED))
    }

    /// A registry in the process's memory.
    pub fn memory() -> Self {
        Self::new(Arc::new(InMemory::new()), "memory")
    }

    /// The folder or the URL.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// A plugin's bytes, verified against their digest.
    pub async fn plugin(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        self.verified(&plugin_path(digest), digest).await
    }

    /// Adds a plugin.
    pub async fn add_plugin(&self, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let digest = Digest::of(bytes);
        self.add(&plugin_path(digest), bytes).await?;
        Ok(digest)
    }

    /// The compiled code of a plugin that has this name, if there is some and a key is trusted that may have signed it.
    pub(super) async fn compiled(&self, plugin: Digest, name: &str) -> Result<Option<SignedCode>, RegistryError> {
        if self.trusted.is_empty() {
            return Ok(None);
        }
        let bytes = self.get(&compiled_path(plugin).join(name)).await?;
        let trusted = || self.trusted.iter().map(|key| key.to_bytes()).collect();
        Ok(bytes.map(|bytes| SignedCode { bytes, trusted: trusted() }))
    }

    /// Adds the compiled code of a plugin, in the place of what was there.
    pub(super) async fn put_compiled(&self, plugin: Digest, name: &str, bytes: Vec<u8>) -> Result<(), RegistryError> {
        let path = compiled_path(plugin).join(name);
        let put = self.objects.put(&path, PutPayload::from(bytes)).await;
        put.map(drop).map_err(|source| self.error(&path).unavailable("write", source))
    }

    /// A rulebook, verified against its digest.
    pub async fn rulebook(&self, digest: Digest) -> Result<Rulebook, RegistryError> {
        self.rulebook_bytes(digest).await?.parse()
    }

    /// The same, before it is parsed.
    pub(super) async fn rulebook_bytes(&self, digest: Digest) -> Result<RulebookBytes, RegistryError> {
        let path = rulebook_path(digest);
        let bytes = self.verified(&path, digest).await?;
        Ok(RulebookBytes::new(bytes, Arc::clone(&self.location), path))
    }

    /// Adds a rulebook whose plugins are named by digests.
    pub async fn add_rulebook(&self, document: &Rulebook) -> Result<Digest, RegistryError> {
        let text = document.to_toml();
        let digest = Digest::of(text.as_bytes());
        self.add(&rulebook_path(digest), text.as_bytes()).await?;
        Ok(digest)
    }

    /// The bytes of the log entry of this revision, if there is one.
    pub(super) async fn entry(&self, revision: u64) -> Result<Option<Vec<u8>>, RegistryError> {
        self.get(&entry_path(revision)).await
    }

    /// Adds a log entry, unless another one has its revision.
    pub(super) async fn create_entry(&self, revision: u64, bytes: &[u8]) -> Result<Created, RegistryError> {
        let path = entry_path(revision);
        match self.create(&path, bytes).await {
            Ok(true) => Ok(Created::Done),
            // The answer to an earlier attempt of ours may have been lost: the entry is compared before it counts as
            // another operator's.
            Ok(false) => Ok(match self.get(&path).await? {
                Some(written) if written == bytes => Created::Done,
                _ => Created::Taken,
            }),
            Err(error) => match self.get(&path).await {
                Ok(Some(written)) if written == bytes => Ok(Created::Done),
                _ => Err(error),
            },
        }
    }

    /// The newest revision as far as the hint goes. It may be stale, and is `None` where there is no hint.
    pub(super) async fn head(&self) -> Result<Option<u64>, RegistryError> {
        let hint = self.get(&ObjectPath::from(HEAD)).await?;
        Ok(hint.and_then(|bytes| String::from_utf8(bytes).ok()?.trim().parse().ok()))
    }

    /// Writes the hint.
    pub(super) async fn put_head(&self, revision: u64) -> Result<(), RegistryError> {
        let path = ObjectPath::from(HEAD);
        let put = self.objects.put(&path, PutPayload::from(format!("{revision}\n"))).await;
        put.map(drop).map_err(|source| self.error(&path).unavailable("write", source))
    }

    /// The greatest revision among the names of log entries; 0 if there is none.
    pub(super) async fn greatest_revision(&self) -> Result<u64, RegistryError> {
        Ok(self.revisions().await?.last().copied().unwrap_or(0))
    }

    /// The revisions in the names of log entries.
    pub(super) async fn revisions(&self) -> Result<BTreeSet<u64>, RegistryError> {
        let path = ObjectPath::from("log");
        let listed = self.objects.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(|source| self.error(&path).unavailable("list", source))?;
        let revision = |name: &str| {
            let revision = name.strip_suffix(".json")?.parse().ok()?;
            // Under another name nobody reads it.
            (revision > 0 && entry_path(revision).filename() == Some(name)).then_some(revision)
        };
        Ok(listed.objects.iter().filter_map(|object| revision(object.location.filename()?)).collect())
    }

    async fn verified(&self, path: &ObjectPath, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        let bytes = self.get(path).await?.ok_or_else(|| self.error(path).missing())?;
        match Digest::of(&bytes) {
            found if found == digest => Ok(bytes),
            found => Err(self.error(path).altered(found)),
        }
    }

    /// Adds an object that has its digest in its name. One that is there already, whole, is left alone.
    async fn add(&self, path: &ObjectPath, bytes: &[u8]) -> Result<(), RegistryError> {
        if self.create(path, bytes).await? || self.get(path).await?.as_deref() == Some(bytes) {
            return Ok(());
        }
        // Whoever altered the object, these are the bytes that belong to its name.
        let put = self.objects.put(path, PutPayload::from(bytes.to_vec())).await;
        put.map(drop).map_err(|source| self.error(path).unavailable("write", source))
    }

    /// Creates an object. Returns false if it is there already.
    async fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<bool, RegistryError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(path, PutPayload::from(bytes.to_vec()), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(self.error(path).unavailable("write", source)),
        }
    }

    async fn get(&self, path: &ObjectPath) -> Result<Option<Vec<u8>>, RegistryError> {
        let got = match self.objects.get(path).await {
            Ok(got) => got.bytes().await,
            Err(error) => Err(error),
        };
        match got {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.error(path).unavailable("read", source)),
        }
    }

    fn error<'a>(&'a self, object: &'a ObjectPath) -> ObjectError<'a> {
        ObjectError { location: &self.location, object: object.as_ref() }
    }
}
