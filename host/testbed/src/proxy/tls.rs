//! A self-signed certificate, generated when the proxy starts.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A certificate for this machine's loopback addresses, and its key.
pub(super) struct Certificate {
    config: Arc<ServerConfig>,
    file: NamedTempFile,
}

impl Certificate {
    pub(super) fn generate() -> Self {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a self-signed certificate");
        let mut file = tempfile::Builder::new().suffix(".pem").tempfile().expect("a temporary file");
        file.write_all(cert.pem().as_bytes()).expect("a temporary file that can be written");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key in PKCS #8");
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("a provider of the default TLS versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("the key of the certificate");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { config: Arc::new(config), file }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    /// The certificate in PEM.
    pub(super) fn file(&self) -> &Path {
        self.file.path()
    }
}
