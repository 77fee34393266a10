//! Plugins of OCI registries that rulebooks name: they are fetched before a rulebook is prepared.

use std::collections::BTreeSet;

use paceline_pipeline::rules::operator::RemotePlugins;

use super::Session;

/// Fetches the plugins that these references name, but those that the registry of the rules has already.
#[cfg(feature = "oci")]
pub(super) fn fetch(session: &Session, references: BTreeSet<String>) -> anyhow::Result<RemotePlugins> {
    let mut fetched = RemotePlugins::new();
    for text in references {
        let reference: paceline_oci::Reference = text.parse()?;
        let Some(digest) = reference.digest() else {
            anyhow::bail!(
                "a rulebook names the plugin of a registry by a digest, and `{text}` has none: add @sha256:…, as \
                 `paceline plugin push` printed it"
            );
        };
        let bytes = session.runtime.block_on(async {
            match session.registry.plugin(digest).await {
                Ok(known) => Ok(known),
                Err(_) => paceline_oci::pull(&reference, paceline_oci::Access::default()).await,
            }
        })?;
        fetched.insert(text, bytes);
    }
    Ok(fetched)
}

/// Fetches nothing: the rulebook is refused with the reason.
#[cfg(not(feature = "oci"))]
pub(super) fn fetch(_: &Session, _: BTreeSet<String>) -> anyhow::Result<RemotePlugins> {
    Ok(RemotePlugins::new())
}
