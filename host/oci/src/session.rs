//! A registry that is spoken to: who may do what, and requests with a bound on what they return.

use std::time::Duration;

use futures_util::StreamExt;
use http_auth::parse_challenges;
use oci_client::RegistryOperation;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use paceline_engine::Digest;
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use reqwest::{StatusCode, Url};
use tokio_rustls::rustls::crypto::ring;

use crate::Access;
use crate::credentials::credentials;
use crate::error::OciError;
use crate::reference::Reference;

/// The time to connect, and that between two pieces of a response.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of a manifest: registries must accept 4 MiB, and that of a plugin has a thousand bytes.
const MOST_MANIFEST_BYTES: u64 = 4 << 20;

const USER_AGENT: &str = concat!("paceline/", env!("CARGO_PKG_VERSION"));

/// The types of manifests that are understood.
const MANIFEST_TYPES: &str =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// A registry, with what its requests need.
pub(crate) struct Session<'a> {
    pub(crate) client: Client,
    pub(crate) auth: RegistryAuth,
    reference: &'a Reference,
    http: reqwest::Client,
    /// `https://HOST:PORT`.
    base: String,
    /// What the registry gave for the credentials, if it gives such.
    token: Option<String>,
    operation: RegistryOperation,
}

impl<'a> Session<'a> {
    /// Authorizes what is to be done with the reference's repository.
    pub(crate) async fn open(
        reference: &'a Reference,
        access: Access,
        operation: RegistryOperation,
    ) -> Result<Self, OciError> {
        let auth = credentials(reference.registry())?;
        let scheme = reference.scheme(access.plain_http);
        let base = format!("{scheme}://{}", reference.registry());
        let unusable = |source| OciError::Unusable { registry: base.clone(), source };
        // An error says that there is one already.
        let _ = ring::default_provider().install_default();
        let builder = reqwest::Client::builder().user_agent(USER_AGENT);
        let http = builder.connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
        let http = http.map_err(|error| unusable(error.into()))?;
        let registry = reference.registry().to_owned();
        let client = Client::try_from(ClientConfig {
            protocol: match scheme {
                "http" => ClientProtocol::HttpsExcept(vec![registry]),
                _ => ClientProtocol::Https,
            },
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        })
        .map_err(|error| unusable(error.into()))?;
        let mut session = Self { client, auth, reference, http, base, token: None, operation };
        if matches!(session.auth, RegistryAuth::Basic(..)) {
            session.check_realm().await?;
        }
        let token = session.client.auth(&reference.image, &session.auth, session.operation).await;
        session.token = token.map_err(|error| session.explain(error))?;
        Ok(session)
    }

    /// The password goes to the registry itself, or to a service for tokens of the same domain.
    async fn check_realm(&self) -> Result<(), OciError> {
        let url = format!("{}/v2/", self.base);
        let response = self.http.get(url).send().await.map_err(|error| self.unusable(error))?;
        let registry = Url::parse(&self.base).map_err(|error| self.unusable(error))?;
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        for challenge in challenges.filter_map(|text| parse_challenges(text).ok()).flatten() {
            let is_bearer = challenge.scheme.eq_ignore_ascii_case("bearer");
            let realm = challenge.params.iter().find(|(name, _)| is_bearer && name.eq_ignore_ascii_case("realm"));
            let Some(realm) = realm.map(|(_, realm)| realm.to_unescaped()) else { continue };
            if !Url::parse(&realm).is_ok_and(|realm| may_have_the_password(&registry, &realm)) {
                return Err(OciError::ForeignRealm { registry: self.reference.registry().to_owned(), realm });
            }
        }
        Ok(())
    }

    /// The bytes of a blob, if the repository has it.
    pub(crate) async fn blob(&self, digest: Digest, most: u64) -> Result<Option<Vec<u8>>, OciError> {
        let named = || self.reference.at(digest).to_string();
        let too_large = || OciError::TooLarge { what: named(), most };
        let mut stream = match self.client.pull_blob_stream(&self.reference.image, &*digest.to_string()).await {
            Ok(stream) => stream,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(self.explain(error)),
        };
        if stream.content_length.is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        while let Some(piece) = stream.stream.next().await {
            match piece {
                Ok(piece) if bytes.len() as u64 + piece.len() as u64 > most => return Err(too_large()),
                Ok(piece) => bytes.extend_from_slice(&piece),
                // The library's check of the digest, after the last byte, is one of these errors as well.
                Err(error) if error.get_ref().is_some_and(|error| error.is::<oci_client::errors::DigestError>()) => {
                    break;
                }
                Err(error) => return Err(self.unusable(error)),
            }
        }
        match Digest::of(&bytes) {
            found if found == digest => Ok(Some(bytes)),
            found => Err(OciError::Altered { reference: named(), found }),
        }
    }

    /// The bytes of the manifest that the reference names by its digest, or else by its tag; if there is one.
    pub(crate) async fn manifest(&self) -> Result<Option<Vec<u8>>, OciError> {
        let image = &self.reference.image;
        let name = image.digest().or(image.tag()).unwrap_or("latest");
        let request = self.http.get(format!("{}/v2/{}/manifests/{name}", self.base, image.repository()));
        let request = match (&self.token, &self.auth) {
            (Some(token), _) => request.bearer_auth(token),
            (None, RegistryAuth::Basic(user, password)) => request.basic_auth(user, Some(password)),
            (None, _) => request,
        };
        let mut response = request.header(ACCEPT, MANIFEST_TYPES).send().await.map_err(|error| self.unusable(error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.denied()),
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => return Ok(None),
            status => return Err(self.unusable(format!("it answers {status} to the request of a manifest"))),
        }
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.unusable(error))? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > MOST_MANIFEST_BYTES {
                let what = format!("the manifest of {}", self.reference);
                return Err(OciError::TooLarge { what, most: MOST_MANIFEST_BYTES });
            }
        }
        let found = Digest::of(&bytes);
        match self.reference.digest().is_none_or(|digest| digest == found) {
            true => Ok(Some(bytes)),
            false => Err(OciError::Altered { reference: self.reference.to_string(), found }),
        }
    }

    /// An error of the library's, by what the caller should do.
    pub(crate) fn explain(&self, error: OciDistributionError) -> OciError {
        let is_denial = match &error {
            OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => true,
            OciDistributionError::RegistryError { envelope, .. } => {
                let codes = [OciErrorCode::Denied, OciErrorCode::Unauthorized];
                envelope.errors.iter().any(|error| codes.contains(&error.code))
            }
            OciDistributionError::ServerError { code: 401 | 403, .. } => true,
            _ => false,
        };
        if is_denial { self.denied() } else { self.unusable(error) }
    }

    fn denied(&self) -> OciError {
        let user = match &self.auth {
            RegistryAuth::Basic(user, _) => Some(user.clone()),
            _ => None,
        };
        let verb = match self.operation {
            RegistryOperation::Push => "push to",
            RegistryOperation::Pull => "pull from",
        };
        let what = format!("{verb} {}", self.reference.image.repository());
        OciError::Denied { registry: self.reference.registry().to_owned(), user, what }
    }

    pub(crate) fn unusable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> OciError {
        OciError::Unusable { registry: self.base.clone(), source: source.into() }
    }
}

/// Whether the registry has answered that it has nothing of that digest.
fn is_missing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            let codes = [OciErrorCode::BlobUnknown, OciErrorCode::ManifestUnknown, OciErrorCode::NotFound];
            envelope.errors.iter().any(|error| codes.contains(&error.code))
        }
        OciDistributionError::ServerError { code, .. } => *code == 404,
        _ => false,
    }
}

/// Whether the password of a registry may be sent to this service for tokens: to the registry itself, or by TLS to a host
/// of the same domain, such as auth.docker.io of index.docker.io.
fn may_have_the_password(registry: &Url, realm: &Url) -> bool {
    let same_server = realm.scheme() == registry.scheme()
        && realm.host_str() == registry.host_str()
        && realm.port_or_known_default() == registry.port_or_known_default();
    let domain = |url: &Url| {
        let host = url.domain()?.to_owned();
        let labels: Vec<&str> = host.rsplit('.').take(2).collect();
        (labels.len() == 2).then(|| labels.join("."))
    };
    let same_domain = domain(registry).is_some() && domain(registry) == domain(realm);
    same_server || realm.scheme() == "https" && same_domain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_stays_with_the_registry_and_its_domain() {
        let may = |registry: &str, realm: &str| {
            may_have_the_password(&Url::parse(registry).unwrap(), &Url::parse(realm).unwrap())
        };
        assert!(may("https://ghcr.io", "https://ghcr.io/token"));
        assert!(may("https://index.docker.io", "https://auth.docker.io/token"));
        assert!(may("http://127.0.0.1:5000", "http://127.0.0.1:5000/token"));
        for (registry, realm) in [
            ("https://index.docker.io", "http://auth.docker.io/token"),
            ("https://index.docker.io", "https://docker.io.example/token"),
            ("https://registry.example", "https://other.example2/token"),
            ("https://registry", "https://other/token"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token"),
            ("http://127.0.0.1:5000", "https://127.0.0.2/token"),
            ("https://10.0.0.1", "https://11.0.0.1/token"),
        ] {
            assert!(!may(registry, realm), "{registry} {realm}");
        }
    }
}
