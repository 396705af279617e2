//! EC keys as Java writes them, without the public half that ring wants beside the private one: it is taken from the
//! certificate.
//!
//! Called by `tls.rs` for the client's own key, whatever kind of store it came from.

use super::pkcs12::{OCTETS, OID, SEQUENCE, Values};

/// 1.2.840.10045.2.1
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const BITS: u8 = 0x03;
/// The fields of an ECPrivateKey that may be missing (RFC 5915).
const CURVE: u8 = 0xa0;
const PUBLIC: u8 = 0xa1;

/// The key (PKCS8) with its public half; None for a key that has it, that is no EC key, or that nothing is known of.
pub(super) fn completed(key: &[u8], certificate: &[u8]) -> Option<Vec<u8>> {
    let mut info = Values(key).inside(SEQUENCE).ok()?;
    let (_, _, version) = info.next().ok()?;
    let (_, algorithm, whole_algorithm) = info.next().ok()?;
    if Values(algorithm).take(OID).ok()? != EC {
        return None;
    }
    let mut own = Values(info.take(OCTETS).ok()?).inside(SEQUENCE).ok()?;
    let ((_, _, own_version), (_, _, secret)) = (own.next().ok()?, own.next().ok()?);
    own.take_if(CURVE).ok()?;
    if own.take_if(PUBLIC).ok()?.is_some() {
        return None;
    }
    let public = value(PUBLIC, &[point_of(certificate)?]);
    let own = value(SEQUENCE, &[own_version, secret, &public]);
    Some(value(SEQUENCE, &[version, whole_algorithm, &value(OCTETS, &[&own])]))
}

/// The public key of a certificate, as a value of bits.
fn point_of(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = Values(certificate).inside(SEQUENCE).ok()?.inside(SEQUENCE).ok()?;
    fields.take_if(CURVE).ok()?;
    // Its number, algorithm, issuer, time and subject.
    for _ in 0..5 {
        fields.next().ok()?;
    }
    let mut public = fields.inside(SEQUENCE).ok()?;
    public.take(SEQUENCE).ok()?;
    public.next().ok().filter(|(tag, ..)| *tag == BITS).map(|(_, _, whole)| whole)
}

/// A value of these parts, with its tag and length (X.690, DER).
pub(super) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let size: usize = parts.iter().map(|part| part.len()).sum();
    let digits = size.to_be_bytes();
    let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
    let mut value = vec![tag];
    match size {
        0..=0x7f => value.push(size as u8),
        _ => {
            value.push(0x80 | digits.len() as u8);
            value.extend_from_slice(digits);
        }
    }
    parts.iter().for_each(|part| value.extend_from_slice(part));
    value
}
