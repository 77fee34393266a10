//! Copies a registry to another one.

use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use paceline_engine::{Digest, PackagedCode};
use serde::Deserialize;

use super::object::{compiled_path, entry_path, plugin_path, rulebook_path};
use super::{Created, Registry};
use crate::rules::error::RegistryError;
use crate::rules::routing::Rules;

/// The objects that a log entry names.
#[derive(Deserialize)]
struct NamedBlobs {
    rules: Rules,
}

impl Registry {
    /// Copies the log, and every rulebook and plugin that it names with its signed code, to another registry.
    pub async fn copy_to(&self, other: &Self) -> Result<(), RegistryError> {
        // A copy that ends at a missing entry would lack what is published after it.
        let revisions = self.revisions().await?;
        if let Some((missing, _)) = (1..).zip(&revisions).find(|(expected, revision)| expected != *revision) {
            return Err(self.error(&entry_path(missing)).missing());
        }
        for revision in 1.. {
            let Some(bytes) = self.entry(revision).await? else { break };
            let mut parts = serde_json::Deserializer::from_slice(&bytes).into_iter::<NamedBlobs>();
            let named = parts.next().and_then(Result::ok);
            for (rulebook, published) in named.iter().flat_map(|entry| &entry.rules.rulebooks) {
                other.copy(self, &rulebook_path(*rulebook)).await?;
                for plugin in &published.plugins {
                    other.copy(self, &plugin_path(*plugin)).await?;
                    other.copy_compiled(self, *plugin).await?;
                }
            }
            if other.create_entry(revision, &bytes).await? == Created::Taken {
                return Err(other
                    .error(&entry_path(revision))
                    .invalid(format!("it is not that of {}: the two registries are different ones", self.location)));
            }
            other.put_head(revision).await?;
        }
        Ok(())
    }

    /// Copies all signed code of a plugin. What is not signed is for the package that it is in.
    async fn copy_compiled(&self, from: &Self, plugin: Digest) -> Result<(), RegistryError> {
        let path = compiled_path(plugin);
        let listed = from.objects.list_with_delimiter(Some(&path)).await;
        for object in listed.map_err(|source| from.error(&path).unavailable("list", source))?.objects {
            if !object.location.filename().is_some_and(PackagedCode::is_file_name) {
                self.copy(from, &object.location).await?;
            }
        }
        Ok(())
    }

    /// Copies an object, unless it is there.
    async fn copy(&self, from: &Self, path: &ObjectPath) -> Result<(), RegistryError> {
        if self.objects.head(path).await.is_ok() {
            return Ok(());
        }
        let bytes = from.get(path).await?.ok_or_else(|| from.error(path).missing())?;
        self.create(path, &bytes).await.map(drop)
    }
}
