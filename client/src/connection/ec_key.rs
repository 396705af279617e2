//! EC keys as Java writes them, without the public half that ring wants beside the private one: it is taken from the
//! certificate.
//!
//! Called by `tls.rs` for the client's own key, whatever kind of store it came from.

use pkcs8::PrivateKeyInfoRef;
use sec1::EcPrivateKey;
use x509_cert::Certificate;
use x509_cert::der::asn1::OctetStringRef;
use x509_cert::der::{Decode, Encode};

/// The key (PKCS8) with its public half; None for a key that has it, that is no EC key, or that nothing is known of.
pub(super) fn completed(key: &[u8], certificate: &[u8]) -> Option<Vec<u8>> {
    let info = PrivateKeyInfoRef::from_der(key).ok()?;
    if info.algorithm.oid != sec1::ALGORITHM_OID {
        return None;
    }
    let own = EcPrivateKey::from_der(info.private_key.as_bytes()).ok()?;
    if own.public_key.is_some() {
        return None;
    }
    let certificate = Certificate::from_der(certificate).ok()?;
    let public = certificate.tbs_certificate().subject_public_key_info().subject_public_key.as_bytes()?;
    // ring refuses a curve that is named twice.
    let whole = EcPrivateKey { parameters: None, public_key: Some(public), ..own }.to_der().ok()?;
    PrivateKeyInfoRef::new(info.algorithm, OctetStringRef::new(&whole).ok()?).to_der().ok()
}
