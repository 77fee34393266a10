//! From a component's bytes to an artifact.

use oci_client::RegistryOperation;
use oci_client::client::{Config, ImageLayer};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciImageManifest};
use paceline_engine::Digest;
use serde_json::{Value, json};
use wit_component::DecodedWasm;

use crate::error::OciError;
use crate::reference::Reference;
use crate::session::Session;
use crate::{Access, CONFIG_TYPE, LAYER_TYPE};

/// When an artifact was created, as it says: always then, so that the same plugin gives the same manifest.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// A plugin in a registry. Its tag may come to name another one; what is named by a digest is the same for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The plugin by its own digest.
    pub plugin: Reference,
    /// The artifact by its manifest's digest, as other programs name it.
    pub manifest: Reference,
}

/// Adds a component to a repository, and lets the reference's tag name it.
///
/// # Errors
///
/// If the registry can't be used or refuses it.
pub async fn push(reference: &Reference, wasm: Vec<u8>, access: Access) -> Result<Pushed, OciError> {
    if reference.digest().is_some() {
        let why = "a plugin gets a tag when it is pushed, and its digest is that of its bytes".to_owned();
        return Err(OciError::Reference { reference: reference.to_string(), why });
    }
    let digest = Digest::of(&wasm);
    let config = config(&wasm, digest)?;
    let session = Session::open(reference, access, RegistryOperation::Push).await?;
    let layers = [ImageLayer::new(wasm, LAYER_TYPE.to_owned(), None)];
    let config = Config::new(config.to_string().into_bytes(), CONFIG_TYPE.to_owned(), None);
    let mut manifest = OciImageManifest::build(&layers, &config, None);
    manifest.media_type = Some(OCI_IMAGE_MEDIA_TYPE.to_owned());
    let image = &reference.image;
    let pushed = session.client.push(image, &layers, config, &session.auth, Some(manifest)).await;
    pushed.map_err(|error| session.explain(error))?;
    let manifest = session.client.fetch_manifest_digest(image, &session.auth).await;
    let manifest = manifest.map_err(|error| session.explain(error))?;
    let manifest = manifest.parse().map_err(|error| session.unusable(error))?;
    Ok(Pushed { plugin: reference.at(digest), manifest: reference.at(manifest) })
}

/// What describes a component in its artifact: <https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>.
fn config(wasm: &[u8], digest: Digest) -> Result<Value, OciError> {
    let not_a_plugin = |why| OciError::NotAPlugin { reference: "what is pushed".to_owned(), why };
    let decoded = wit_component::decode(wasm).map_err(|error| not_a_plugin(format!("{error:#}")))?;
    let DecodedWasm::Component(types, world) = decoded else {
        return Err(not_a_plugin("it is a WIT package, the contract and not a plugin".to_owned()));
    };
    let world = &types.worlds[world];
    let exports: Vec<String> = world.exports.keys().map(|key| types.name_world_key(key)).collect();
    let imports: Vec<String> = world.imports.keys().map(|key| types.name_world_key(key)).collect();
    Ok(json!({
        "created": CREATED,
        "architecture": "wasm",
        // The name for components, also of those without WASI.
        "os": "wasip2",
        "layerDigests": [digest.to_string()],
        "component": { "exports": exports, "imports": imports },
    }))
}
