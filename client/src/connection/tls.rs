//! TLS towards brokers, by rustls: whom the client trusts, who it is itself, whether the host's name must be the
//! certificate's.
//!
//! Set up from Java's `ssl.` keys by `config/security.rs`, used by `connection.rs`. Never reads a key or certificate that is not
//! PEM (KIP-651): `store.rs` makes it that.
//!
//! Not done: ssl.cipher.suites, engine factories.

use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::ec_key;
use crate::error::ClientError;

/// Whether the name of the host must be in the broker's certificate (`ssl.endpoint.identification.algorithm`).
///
/// ```
/// use client::connection::tls::{EndpointIdentification, TlsOptions};
///
/// assert_eq!(TlsOptions::default().identification, EndpointIdentification::Https);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointIdentification {
    /// It must: "https".
    #[default]
    Https,
    /// Any name will do: empty.
    Off,
}

/// What TLS is set up from; everything is PEM text.
///
/// ```
/// use client::connection::tls::{Tls, TlsOptions};
///
/// let options = TlsOptions { trusted: Some(b"no certificate".to_vec()), ..TlsOptions::default() };
/// assert!(Tls::new(&options).is_err());
/// ```
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// Certificates of who may sign a broker's; None for those of the web.
    pub trusted: Option<Vec<u8>>,
    /// This client's certificate and those behind it.
    pub chain: Option<Vec<u8>>,
    /// The key of the first.
    pub key: Option<Vec<u8>>,
    /// Whether the host's name counts.
    pub identification: EndpointIdentification,
}

/// TLS that is set up.
///
/// ```
/// use client::config::{ConnectionConfig, Security};
/// use client::connection::tls::{Tls, TlsOptions};
///
/// let tls = Some(Tls::new(&TlsOptions::default())?);
/// let config = ConnectionConfig { security: Security { tls, sasl: None }, ..ConnectionConfig::default() };
/// assert!(config.security.tls.is_some());
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

fn refused(what: &str, why: impl std::fmt::Display) -> ClientError {
    ClientError::Config(format!("{what}: {why}"))
}

impl Tls {
    /// Sets TLS up.
    ///
    /// # Errors
    /// When a certificate or key is no PEM, or they do not fit together.
    pub fn new(options: &TlsOptions) -> Result<Self, ClientError> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(trusted(options)?);
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| refused("TLS", error))?;
        let builder = match options.identification {
            EndpointIdentification::Https => builder.with_root_certificates(roots),
            EndpointIdentification::Off => {
                let checked = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
                let checked = checked.map_err(|error| refused("ssl.truststore", error))?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { checked, provider }))
            }
        };
        let config = match (&options.chain, &options.key) {
            (Some(chain), Some(key)) => {
                let chain = certificates("ssl.keystore", chain)?;
                let mut key = PrivateKeyDer::from_pem_slice(key).map_err(|error| refused("ssl.keystore.key", error))?;
                let whole = chain.first().and_then(|own| ec_key::completed(key.secret_der(), own));
                if let Some(whole) = whole {
                    key = PrivateKeyDer::Pkcs8(whole.into());
                }
                builder.with_client_auth_cert(chain, key).map_err(|error| refused("ssl.keystore", error))?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(refused("ssl.keystore", "a certificate and its key go together")),
        };
        Ok(Tls { config: Arc::new(config) })
    }

    /// Shakes hands with the broker at `address`.
    pub(crate) async fn connect(&self, stream: TcpStream, address: &str) -> Result<TlsStream<TcpStream>, ClientError> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(host, error))?;
        let failed = |error: std::io::Error| match error.kind() {
            // Java: SslAuthenticationException, which trying again does not change.
            std::io::ErrorKind::InvalidData => {
                ClientError::Authentication { address: address.to_owned(), reason: format!("TLS: {error}") }
            }
            _ => ClientError::Connect { address: address.to_owned(), source: Arc::new(error) },
        };
        TlsConnector::from(self.config.clone()).connect(name, stream).await.map_err(failed)
    }
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| refused(what, error))?;
    if found.is_empty() { Err(refused(what, "no certificate in PEM form")) } else { Ok(found) }
}

fn trusted(options: &TlsOptions) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    match &options.trusted {
        Some(pem) => {
            for certificate in certificates("ssl.truststore", pem)? {
                roots.add(certificate).map_err(|error| refused("ssl.truststore", error))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    Ok(roots)
}

/// Checks everything of a certificate but the name.
#[derive(Debug)]
struct AnyName {
    checked: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.checked.verify_server_cert(certificate, chain, name, ocsp, now) {
            // The name is the last that is checked.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checked.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checked.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
