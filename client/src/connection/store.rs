//! Stores of keys and certificates of Java's types, turned into PEM: PKCS12, JKS, and PEM itself.
//!
//! Called by `config.rs` for `ssl.keystore.location` and `ssl.truststore.location`. As in Java, whose JKS and PKCS12
//! stores each read the other's files too, what a file is shows in its first bytes. Never writes a store.
//!
//! Not done: encrypted keys in PEM files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};

use super::pkcs12;

/// Java: `JavaKeyStore`, whose format is that of its `DataInputStream`.
const JKS_MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// Java: `KeyProtector`, OID 1.3.6.1.4.1.42.2.17.1.1 as it stands in DER.
const JKS_PROTECTOR: [u8; 12] = [0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];
/// What Java adds to the password before it takes the sum of a store.
const JKS_WHITENER: &[u8] = b"Mighty Aphrodite";
const DER_SEQUENCE: u8 = 0x30;

/// What opens a store.
#[derive(Clone, Copy, Default)]
pub(crate) struct Passwords<'a> {
    /// Of the store; without one its sum is not checked.
    pub store: Option<&'a str>,
    /// Of the key, when it is another.
    pub key: Option<&'a str>,
}

/// The certificates and the key of a store in PEM. `kind` is the type that was set, if one was.
///
/// # Errors
/// When the type is not taken, the password is wrong, or the bytes are no such store.
pub(crate) fn pem(kind: Option<&str>, bytes: Vec<u8>, passwords: Passwords<'_>) -> Result<Vec<u8>, String> {
    if let Some(other) = kind.filter(|kind| !["PEM", "PKCS12", "JKS"].iter().any(|known| kind.eq_ignore_ascii_case(known))) {
        return Err(format!("stores of type {other} are not taken; PEM, PKCS12 and JKS are"));
    }
    if bytes.starts_with(&JKS_MAGIC) {
        return jks(&bytes, passwords);
    }
    if bytes.first() == Some(&DER_SEQUENCE) {
        return from_pkcs12(&bytes, passwords);
    }
    if bytes.starts_with(b"-----BEGIN") || bytes.windows(11).any(|part| part == b"\n-----BEGIN") {
        return Ok(bytes);
    }
    Err("the file is no store of type PEM, PKCS12 or JKS".to_owned())
}

/// As in Java, a certificate without a key is trusted only when the store says so, as keytool's do.
fn from_pkcs12(bytes: &[u8], passwords: Passwords<'_>) -> Result<Vec<u8>, String> {
    let password = passwords.store.ok_or("the PKCS12 store needs a password")?;
    let store = pkcs12::open(bytes, password)?;
    let mut pem = Vec::new();
    for (key, chain) in &store.keys {
        put_pem(&mut pem, "PRIVATE KEY", key);
        chain.iter().for_each(|certificate| put_pem(&mut pem, "CERTIFICATE", certificate));
    }
    store.trusted.iter().for_each(|certificate| put_pem(&mut pem, "CERTIFICATE", certificate));
    if pem.is_empty() { Err("the PKCS12 store has neither a key nor a trusted certificate".to_owned()) } else { Ok(pem) }
}

fn put_pem(into: &mut Vec<u8>, label: &str, der: &[u8]) {
    into.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        into.extend_from_slice(line);
        into.push(b'\n');
    }
    into.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
}

/// The fields of a JKS store, one behind the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (field, rest) = self.0.split_at_checked(count).ok_or("the JKS store is cut short")?;
        self.0 = rest;
        Ok(field)
    }

    fn number(&mut self) -> Result<usize, String> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    fn sized(&mut self) -> Result<&'a [u8], String> {
        let size = self.number()?;
        self.take(size)
    }

    fn text(&mut self) -> Result<&'a [u8], String> {
        let size = self.take(2)?.iter().fold(0, |size, byte| size << 8 | usize::from(*byte));
        self.take(size)
    }

    fn certificate(&mut self, version: usize) -> Result<&'a [u8], String> {
        // Version 1 knew no certificates but those of X.509.
        if version > 1 && self.text()? != b"X.509" {
            return Err("the JKS store has a certificate that is not X.509".to_owned());
        }
        self.sized()
    }
}

/// The password as Java hashes it.
fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn sha1(parts: &[&[u8]]) -> [u8; SHA1_OUTPUT_LEN] {
    let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    parts.iter().for_each(|part| context.update(part));
    let mut sum = [0; SHA1_OUTPUT_LEN];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

fn jks(bytes: &[u8], passwords: Passwords<'_>) -> Result<Vec<u8>, String> {
    let body = bytes.len().checked_sub(SHA1_OUTPUT_LEN).ok_or("the JKS store is cut short")?;
    if let Some(password) = passwords.store
        && sha1(&[&utf16(password), JKS_WHITENER, &bytes[..body]]) != bytes[body..]
    {
        return Err("the password of the JKS store is wrong, or the store is damaged".to_owned());
    }
    let key_password = passwords.key.or(passwords.store);
    let mut fields = Fields(&bytes[JKS_MAGIC.len().min(body)..body]);
    let (version, count) = (fields.number()?, fields.number()?);
    let mut pem = Vec::new();
    for _ in 0..count {
        let kind = fields.number()?;
        fields.text()?;
        // When it was added, in milliseconds.
        fields.take(8)?;
        match kind {
            1 => {
                let key = fields.sized()?;
                let password = key_password.ok_or("the JKS store has a key, which needs a password")?;
                put_pem(&mut pem, "PRIVATE KEY", &unprotected(key, &utf16(password))?);
                for _ in 0..fields.number()? {
                    put_pem(&mut pem, "CERTIFICATE", fields.certificate(version)?);
                }
            }
            2 => put_pem(&mut pem, "CERTIFICATE", fields.certificate(version)?),
            other => return Err(format!("the JKS store has an entry of kind {other}")),
        }
    }
    Ok(pem)
}

/// The key inside an EncryptedPrivateKeyInfo: salt, key under a stream of sums, and the sum of password and key (Java:
/// `KeyProtector.recover`).
fn unprotected(info: &[u8], password: &[u8]) -> Result<Vec<u8>, String> {
    let unknown = || "the key in the JKS store is not protected as JKS does".to_owned();
    let at = info.windows(JKS_PROTECTOR.len()).position(|part| part == JKS_PROTECTOR).ok_or_else(unknown)?;
    // Behind the algorithm, with or without its NULL, an OCTET STRING takes the rest.
    let rest = &info[at + JKS_PROTECTOR.len()..];
    let rest = rest.strip_prefix(&[0x05, 0x00]).unwrap_or(rest);
    let (header, size) = match rest {
        [0x04, size @ 0..=0x7f, ..] => (2, usize::from(*size)),
        [0x04, 0x81, size, ..] => (3, usize::from(*size)),
        [0x04, 0x82, high, low, ..] => (4, usize::from(*high) << 8 | usize::from(*low)),
        _ => return Err(unknown()),
    };
    let octets = rest.get(header..header + size).filter(|octets| octets.len() >= 2 * SHA1_OUTPUT_LEN).ok_or_else(unknown)?;
    let (salt, rest) = octets.split_at(SHA1_OUTPUT_LEN);
    let (hidden, sum) = rest.split_at(rest.len() - SHA1_OUTPUT_LEN);
    let mut stream = sha1(&[password, salt]);
    let mut key = Vec::with_capacity(hidden.len());
    for chunk in hidden.chunks(SHA1_OUTPUT_LEN) {
        key.extend(chunk.iter().zip(stream).map(|(byte, mask)| byte ^ mask));
        stream = sha1(&[password, &stream]);
    }
    if sha1(&[password, &key]) == sum { Ok(key) } else { Err("the password of the key in the JKS store is wrong".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    /// A JKS store with one key, which is no real one, and a certificate that is none.
    fn store(password: &str, key_password: &str) -> Vec<u8> {
        let (password, key_password) = (utf16(password), utf16(key_password));
        let (key, salt) = (b"a key of more than twenty bytes", [7; SHA1_OUTPUT_LEN]);
        let (mut stream, mut hidden) = (sha1(&[&key_password, &salt]), Vec::new());
        for chunk in key.chunks(SHA1_OUTPUT_LEN) {
            hidden.extend(chunk.iter().zip(stream).map(|(byte, mask)| byte ^ mask));
            stream = sha1(&[&key_password, &stream]);
        }
        let octets = [&salt[..], &hidden, &sha1(&[&key_password, key])].concat();
        let algorithm = [&[0x30, 0x0e][..], &JKS_PROTECTOR, &[0x05, 0x00]].concat();
        let info = [&[0x30, 0x57][..], &algorithm, &[0x04, octets.len() as u8], &octets].concat();
        let certificate = [&[0, 5][..], b"X.509", &sized(b"certificate")].concat();
        let entry = [&[0, 0, 0, 1][..], &[0, 1, b'k'], &[0; 8], &sized(&info), &[0, 0, 0, 1], &certificate].concat();
        let body = [&JKS_MAGIC[..], &[0, 0, 0, 2], &[0, 0, 0, 1], &entry].concat();
        let sum = sha1(&[&password, JKS_WHITENER, &body]);
        [body, sum.to_vec()].concat()
    }

    #[test]
    fn a_jks_store_opens_with_its_passwords_only_and_never_panics() {
        let bytes = store("store", "key");
        let open = |bytes: &[u8], store: Option<&str>, key: Option<&str>| pem(None, bytes.to_vec(), Passwords { store, key });
        let mut expected = Vec::new();
        put_pem(&mut expected, "PRIVATE KEY", b"a key of more than twenty bytes");
        put_pem(&mut expected, "CERTIFICATE", b"certificate");
        assert_eq!(open(&bytes, Some("store"), Some("key")).as_ref(), Ok(&expected));
        assert_eq!(open(&bytes, None, Some("key")).as_ref(), Ok(&expected));
        assert!(open(&bytes, Some("other"), Some("key")).unwrap_err().contains("password of the JKS store"));
        assert!(open(&bytes, Some("store"), None).unwrap_err().contains("password of the key"));
        for cut in 0..bytes.len() {
            assert!(open(&bytes[..cut], None, Some("key")).is_err(), "{cut}");
            let mut damaged = bytes.clone();
            damaged[cut] ^= 0xff;
            assert!(open(&damaged, Some("store"), Some("key")).is_err(), "{cut}");
            let _ = open(&damaged, None, Some("key"));
        }
    }

    #[test]
    fn other_types_and_files_are_refused_by_name() {
        let refused = |kind, bytes: &[u8]| pem(kind, bytes.to_vec(), Passwords::default()).unwrap_err();
        assert_eq!(refused(Some("BCFKS"), b"x"), "stores of type BCFKS are not taken; PEM, PKCS12 and JKS are");
        assert_eq!(refused(None, b"x"), "the file is no store of type PEM, PKCS12 or JKS");
        assert_eq!(refused(Some("pkcs12"), &[0x30, 0x80, 0]), "the PKCS12 store needs a password");
        let passwords = Passwords { store: Some("p"), key: None };
        let damaged = pem(Some("PKCS12"), vec![0x30, 0x80, 0], passwords).unwrap_err();
        assert_eq!(damaged, "the PKCS12 store is damaged");
    }
}
