//! Where a plugin is: `oci://REGISTRY/REPOSITORY`, with a tag, a digest, or both.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use paceline_engine::Digest;

use crate::error::OciError;

/// How references begin.
pub const SCHEME: &str = "oci://";

/// A reference to a plugin in an OCI registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    pub(crate) image: oci_client::Reference,
    digest: Option<Digest>,
}

impl Reference {
    /// The digest that it names: the plugin's, or that of its manifest.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The registry's host, and its port if one is named.
    pub fn registry(&self) -> &str {
        self.image.resolve_registry()
    }

    /// The same repository with this digest, and without a tag.
    pub fn at(&self, digest: Digest) -> Self {
        let (registry, repository) = (self.image.registry().to_owned(), self.image.repository().to_owned());
        let image = oci_client::Reference::with_digest(registry, repository, digest.to_string());
        Self { image, digest: Some(digest) }
    }

    /// The scheme of the registry's URLs. Registries on this machine speak plain HTTP, others only if that is allowed.
    pub(crate) fn scheme(&self, plain_http: bool) -> &'static str {
        if plain_http || is_loopback(self.registry()) { "http" } else { "https" }
    }
}

/// Whether this host, with or without a port, is the machine itself. The host is parsed as it is for a request:
/// `127.0.0.1.example.com` and `localhost.example.com` are other machines.
fn is_loopback(registry: &str) -> bool {
    let url = reqwest::Url::parse(&format!("http://{registry}/"));
    url.is_ok_and(|url| {
        url.host_str().is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        })
    })
}

impl FromStr for Reference {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        let refused = |why: &str| OciError::Reference { reference: text.to_owned(), why: why.to_owned() };
        let place = text.strip_prefix(SCHEME).ok_or_else(|| refused("it does not begin with oci://"))?;
        let (registry, _) = place.split_once('/').ok_or_else(|| refused("it names no repository"))?;
        let image: oci_client::Reference = place.parse().map_err(|error| refused(&format!("{error}")))?;
        // Docker's own registry stands for names without one; here that would be a mistake.
        if image.registry() != registry {
            return Err(refused(&format!("`{registry}` is not the host of a registry")));
        }
        let digest = image.digest().map(str::parse).transpose();
        let digest = digest.map_err(|error: paceline_engine::NotADigest| refused(&error.to_string()))?;
        Ok(Self { image, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.image.whole())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Reference, String> {
        text.parse().map_err(|error: OciError| error.to_string())
    }

    #[test]
    fn a_reference_names_registry_repository_tag_and_digest() {
        let digest = Digest::of(b"");
        let reference = parse(&format!("oci://registry.example:5000/alleycat/power:1.0@{digest}")).unwrap();
        assert_eq!((reference.registry(), reference.digest()), ("registry.example:5000", Some(digest)));
        assert_eq!(reference.to_string(), format!("oci://registry.example:5000/alleycat/power:1.0@{digest}"));
        assert_eq!(parse("oci://registry.example/power").unwrap().digest(), None);
        let other = Digest::of(b"1");
        assert_eq!(reference.at(other).to_string(), format!("oci://registry.example:5000/alleycat/power@{other}"));
    }

    #[test]
    fn what_is_no_reference_is_explained() {
        for (text, why) in [
            ("registry.example/power", "does not begin with oci://"),
            ("oci://power", "names no repository"),
            ("oci://alleycat/power", "`alleycat` is not the host of a registry"),
            ("oci://user:secret@registry.example/power", "invalid reference format"),
            ("oci://registry.example/power@sha256:12", "invalid"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why) && error.contains("oci://REGISTRY/REPOSITORY"), "{error}");
        }
        let sha512 = format!("oci://registry.example/power@sha512:{}", "0".repeat(128));
        assert!(parse(&sha512).unwrap_err().contains("a digest is `sha256:`"));
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        let scheme = |registry: &str| parse(&format!("oci://{registry}/power")).unwrap().scheme(false);
        for registry in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9"] {
            assert_eq!(scheme(registry), "http", "{registry}");
        }
        for registry in [
            "registry.example",
            "localhost.example:5000",
            "127.0.0.1.example",
            "127.0.0.1x.example:80",
            "128.0.0.1:5000",
            "10.0.0.1:5000",
        ] {
            assert_eq!(scheme(registry), "https", "{registry}");
        }
        assert_eq!(parse("oci://registry.example/power").unwrap().scheme(true), "http");
        assert!(is_loopback("[::1]:5000") && !is_loopback("[::2]:5000") && !is_loopback("user@"));
    }
}
