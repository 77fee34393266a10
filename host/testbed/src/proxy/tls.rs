//! A certificate of the proxy's own, made at its start, and what it takes to speak TLS with it.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::NamedTempFile;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A certificate that says of itself that it is good for this machine.
pub(super) struct Certificate {
    config: Arc<ServerConfig>,
    file: NamedTempFile,
}

impl Certificate {
    pub(super) fn new() -> Self {
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).expect("a certificate can be made");
        let mut file = tempfile::Builder::new().suffix(".pem").tempfile().expect("a temporary file");
        file.write_all(cert.pem().as_bytes()).expect("the temporary file can be written");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key in the usual form");
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows the usual versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("the key is the certificate's");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { config: Arc::new(config), file }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.clone())
    }

    pub(super) fn file(&self) -> &Path {
        self.file.path()
    }
}
