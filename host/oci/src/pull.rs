//! From an artifact to a plugin's bytes, verified.

use oci_client::RegistryOperation;
use oci_client::manifest::OciImageManifest;
use paceline_engine::Digest;

use crate::error::OciError;
use crate::reference::Reference;
use crate::session::Session;
use crate::{Access, LAYER_TYPE, WASM_MAGIC};

/// Fetches the plugin that a reference names: by the plugin's digest, by that of its manifest, or by a tag. The bytes have
/// the digest of the reference or, if that is the manifest's, the digest that the manifest names.
///
/// # Errors
///
/// If the registry can't be used, has no such plugin, or returns other bytes.
pub async fn pull(reference: &Reference, access: Access) -> Result<Vec<u8>, OciError> {
    let session = Session::open(reference, access, RegistryOperation::Pull).await?;
    let missing = || OciError::Missing { reference: reference.to_string() };
    // A registry has a layer by the layer's digest, and a manifest by the manifest's. Some have manifests as blobs, too.
    let blob = match reference.digest() {
        Some(digest) => session.blob(digest, access.most_bytes).await?,
        None => None,
    };
    let manifest = match blob {
        Some(bytes) if bytes.starts_with(WASM_MAGIC) => return Ok(bytes),
        Some(bytes) => bytes,
        None => session.manifest().await?.ok_or_else(missing)?,
    };
    let (digest, size) = layer(reference, &manifest)?;
    if size > access.most_bytes {
        return Err(OciError::TooLarge { what: reference.at(digest).to_string(), most: access.most_bytes });
    }
    let bytes = session.blob(digest, access.most_bytes).await?.ok_or_else(missing)?;
    match bytes.starts_with(WASM_MAGIC) {
        true => Ok(bytes),
        false => Err(not_a_plugin(reference, "its layer is not WebAssembly".to_owned())),
    }
}

fn not_a_plugin(reference: &Reference, why: String) -> OciError {
    OciError::NotAPlugin { reference: reference.to_string(), why }
}

/// Digest and size of a manifest's only layer, which has to be a component's file.
fn layer(reference: &Reference, manifest: &[u8]) -> Result<(Digest, u64), OciError> {
    let invalid = |why| not_a_plugin(reference, why);
    let manifest: OciImageManifest = serde_json::from_slice(manifest)
        .map_err(|error| invalid(format!("its manifest is not that of an artifact: {error}")))?;
    match &*manifest.layers {
        [layer] if layer.media_type == LAYER_TYPE => {
            let digest =
                layer.digest.parse().map_err(|error| invalid(format!("its layer is {}: {error}", layer.digest)))?;
            let size =
                u64::try_from(layer.size).map_err(|_| invalid("the size of its layer is negative".to_owned()))?;
            Ok((digest, size))
        }
        layers => {
            let types: Vec<&str> = layers.iter().map(|layer| &*layer.media_type).collect();
            let types = types.join(", ");
            Err(invalid(format!("it has {} layers ({types}), not one of the type {LAYER_TYPE}", layers.len())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_of_images_are_no_plugins() {
        let reference: Reference = "oci://127.0.0.1:5000/plugins/climb:1".parse().unwrap();
        let layer = |manifest: &[u8]| layer(&reference, manifest).map_err(|error| error.to_string());
        let manifest = |layers: &str| {
            let config = r#"{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:00","size":2}"#;
            layer(format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layers}]}}"#).as_bytes())
        };
        let digest = Digest::of(b"\0asm");
        let wasm = format!(r#"{{"mediaType":"application/wasm","digest":"{digest}","size":4}}"#);
        assert_eq!(manifest(&wasm), Ok((digest, 4)));
        assert!(manifest(&format!("{wasm},{wasm}")).unwrap_err().contains("it has 2 layers"));
        let tar = wasm.replace("application/wasm", "application/vnd.oci.image.layer.v1.tar+gzip");
        assert!(manifest(&tar).unwrap_err().contains("1 layers (application/vnd.oci.image.layer.v1.tar+gzip)"));
        assert!(layer(b"[]").unwrap_err().contains("its manifest is not that of an artifact"));
    }
}
