//! The password for a registry, from Docker's configuration: `config.json` in the folder `DOCKER_CONFIG`, or in
//! `~/.docker`. Entries are matched by the registry's whole host and port.

use docker_credential::{CredentialRetrievalError as NotFound, DockerCredential, get_credential};
use oci_client::secrets::RegistryAuth;

use crate::error::OciError;

/// What `docker login` calls Docker's own registry.
const DOCKER_HUB: (&str, &str) = ("index.docker.io", "https://index.docker.io/v1/");

/// What a helper answers, by convention, if it has no credentials for a registry.
const NONE_IN_HELPER: &str = "credentials not found";

/// The credentials for a registry, or none.
pub(crate) fn credentials(registry: &str) -> Result<RegistryAuth, OciError> {
    let refused = |why: String| OciError::Credentials { registry: registry.to_owned(), why };
    let (hub, its_name) = DOCKER_HUB;
    match get_credential(if registry == hub { its_name } else { registry }) {
        Ok(DockerCredential::UsernamePassword(user, password)) => Ok(RegistryAuth::Basic(user, password)),
        Ok(DockerCredential::IdentityToken(_)) => Err(refused(
            "they are an identity token. Log in with a password or an access token: `docker login --username NAME`"
                .to_owned(),
        )),
        Err(NotFound::NoCredentialConfigured | NotFound::ConfigNotFound) => Ok(RegistryAuth::Anonymous),
        Err(NotFound::HelperFailure { stdout, .. }) if stdout.contains(NONE_IN_HELPER) => Ok(RegistryAuth::Anonymous),
        Err(NotFound::ConfigReadError) if !is_there() => Ok(RegistryAuth::Anonymous),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Whether there is a configuration of Docker's at all.
fn is_there() -> bool {
    let folder = std::env::var_os("DOCKER_CONFIG").map(std::path::PathBuf::from);
    let folder = folder.or_else(|| Some(std::path::Path::new(&std::env::var_os("HOME")?).join(".docker")));
    folder.is_some_and(|folder| folder.join("config.json").exists())
}
