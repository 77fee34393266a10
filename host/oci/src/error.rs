//! Why a plugin can't be pushed or pulled.

use std::error::Error;

use paceline_engine::Digest;

/// A plugin can't be pushed or pulled.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The text is no reference.
    #[error(
        "`{reference}` is no reference to a plugin: {why}. Write oci://REGISTRY/REPOSITORY:TAG, or \
         oci://REGISTRY/REPOSITORY@sha256:…"
    )]
    Reference {
        /// The text.
        reference: String,
        /// What is wrong with it.
        why: String,
    },
    /// The credentials for a registry can't be read or used.
    #[error("the credentials for {registry} in Docker's configuration can't be used: {why}")]
    Credentials {
        /// The registry.
        registry: String,
        /// What is wrong with them, and what to do.
        why: String,
    },
    /// The registry asks for the password to be sent to somebody else.
    #[error(
        "{registry} asks for its password to be sent to {realm}, which is neither the registry nor of its domain: \
         nothing was sent. Remove the registry's credentials from Docker's configuration, or use another registry"
    )]
    ForeignRealm {
        /// The registry.
        registry: String,
        /// Where the password would go.
        realm: String,
    },
    /// The registry wants other credentials, or these lack a right.
    #[error("{registry} refuses to let {} {what}: {}", user.as_deref().unwrap_or("anybody without credentials"), advice(registry, user.is_some()))]
    Denied {
        /// The registry.
        registry: String,
        /// The user, if there are credentials.
        user: Option<String>,
        /// What was to be done.
        what: String,
    },
    /// There is nothing of that name or digest.
    #[error("the registry has no {reference}: check repository, tag and digest; `paceline plugin push` adds a plugin")]
    Missing {
        /// The reference.
        reference: String,
    },
    /// The plugin, or what describes it, is larger than is allowed.
    #[error("{what} has more than {most} bytes, the most that is read: `paceline plugin pull --max-bytes` reads more")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The bound.
        most: u64,
    },
    /// What the reference names is something else.
    #[error("{reference} is no plugin: {why}")]
    NotAPlugin {
        /// The reference.
        reference: String,
        /// What it is.
        why: String,
    },
    /// The registry's bytes do not have the digest by which they are named.
    #[error("the registry returned other bytes for {reference}: their digest is {found}. Nothing of them is used")]
    Altered {
        /// The reference.
        reference: String,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The registry can't be reached, or does not answer as a registry does.
    #[error("{registry} can't be used as a registry")]
    Unusable {
        /// The registry, with the scheme of its URLs.
        registry: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
}

fn advice(registry: &str, with_credentials: bool) -> String {
    match with_credentials {
        true => format!("check the user's rights, or log in again with `docker login {registry}`"),
        false => format!("`docker login {registry}` writes credentials to Docker's configuration, DOCKER_CONFIG"),
    }
}
