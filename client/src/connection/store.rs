//! Stores of keys and certificates of Java's types, turned into PEM: PKCS12, JKS, and PEM itself.
//!
//! Called by `config/security.rs` for `ssl.keystore.location` and `ssl.truststore.location`. As in Java, whose JKS and
//! PKCS12 stores each read the other's files too, what a file is shows in its first bytes. What is trusted beside a key is
//! no part of what this client shows of itself, and who signed a key's certificate is not trusted for that. Never writes a
//! store.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA1_OUTPUT_LEN};

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Decode, Reader, SecretDocument, SliceReader};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfoRef, ObjectIdentifier};

use super::pkcs12;

/// Java: `JavaKeyStore`, whose format is that of its `DataInputStream`.
const JKS_MAGIC: [u8; 4] = [0xfe, 0xed, 0xfe, 0xed];
/// Java: `KeyProtector`.
const JKS_PROTECTOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.42.2.17.1.1");
/// What a PKCS12 store begins with, in DER.
const SEQUENCE: u8 = 0x30;
/// What Java adds to the password before it takes the sum of a store.
const JKS_WHITENER: &[u8] = b"Mighty Aphrodite";

/// What opens a store.
#[derive(Clone, Copy, Default)]
pub(crate) struct Passwords<'a> {
    /// Of the store; without one its sum is not checked.
    pub store: Option<&'a str>,
    /// Of the key, when it is another.
    pub key: Option<&'a str>,
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// To show who this client is.
    Own,
    /// To know who others are, for which no key has to open (Java: `TrustManagerFactory` asks for none).
    Trust,
}

/// What TLS needs of a store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Keys (PKCS8), each with its certificates, its own first.
    pub keys: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    /// Certificates that are to be trusted.
    pub trusted: Vec<Vec<u8>>,
}

/// What is in a store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// Certificates and a key, whose meaning is that of the setting.
    Pem(Vec<u8>),
    /// Keys, each with its chain, and what is to be trusted.
    Entries(Contents),
}

impl Store {
    /// The first key's chain, its own certificate first, and the key, both in PEM.
    ///
    /// # Errors
    /// When there is no key, or it does not open.
    pub fn own(self, key_password: Option<&str>) -> Result<(Vec<u8>, Vec<u8>), String> {
        match self {
            Store::Pem(pem) => Ok((pem.clone(), opened_key(pem, key_password)?)),
            Store::Entries(Contents { keys, .. }) => {
                let (key, chain) = keys.into_iter().next().ok_or("the store has no key")?;
                Ok((in_pem("CERTIFICATE", &chain), in_pem("PRIVATE KEY", &[key])))
            }
        }
    }

    /// Who is trusted, in PEM (Java: `TrustManagerFactory`, which takes of a key its own certificate and none behind it).
    ///
    /// # Errors
    /// When there is nobody.
    pub fn trusted(self) -> Result<Vec<u8>, String> {
        match self {
            Store::Pem(pem) => Ok(pem),
            Store::Entries(Contents { keys, mut trusted }) => {
                trusted.extend(keys.into_iter().filter_map(|(_, chain)| chain.into_iter().next()));
                if trusted.is_empty() {
                    Err("the store has no certificate to trust".to_owned())
                } else {
                    Ok(in_pem("CERTIFICATE", &trusted))
                }
            }
        }
    }
}

/// Opens a store. `kind` is the type that was set, if one was.
///
/// # Errors
/// When the type is not taken, the password is wrong, or the bytes are no such store.
pub(crate) fn open(kind: Option<&str>, bytes: Vec<u8>, passwords: Passwords<'_>, used: Use) -> Result<Store, String> {
    if let Some(other) =
        kind.filter(|kind| !["PEM", "PKCS12", "JKS"].iter().any(|known| kind.eq_ignore_ascii_case(known)))
    {
        return Err(format!("stores of type {other} are not taken; PEM, PKCS12 and JKS are"));
    }
    if bytes.starts_with(&JKS_MAGIC) {
        return jks(&bytes, passwords, used).map(Store::Entries);
    }
    if bytes.first() == Some(&SEQUENCE) {
        let password = passwords.store.ok_or("the PKCS12 store needs a password")?;
        return pkcs12::open(&bytes, password).map(Store::Entries);
    }
    if bytes.starts_with(b"-----BEGIN") || bytes.windows(11).any(|part| part == b"\n-----BEGIN") {
        return Ok(Store::Pem(bytes));
    }
    Err("the file is no store of type PEM, PKCS12 or JKS".to_owned())
}

const ENCRYPTED_KEY: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----"];

/// The key of a PEM text with what encrypts it undone; other keys as they are (Java: `DefaultSslEngineFactory.PemStore`).
///
/// # Errors
/// When it is encrypted and the password is wrong or missing, or by a cipher that is not taken.
pub(crate) fn opened_key(pem: Vec<u8>, password: Option<&str>) -> Result<Vec<u8>, String> {
    let text = String::from_utf8_lossy(&pem);
    let [begin, end] = ENCRYPTED_KEY.map(|mark| text.find(mark));
    let Some((begin, end)) = begin.zip(end).filter(|(begin, end)| begin < end) else { return Ok(pem) };
    let password = password.ok_or("the key is encrypted, and ssl.key.password is not set")?;
    let (_, sealed) =
        SecretDocument::from_pem(&text[begin..end + ENCRYPTED_KEY[1].len()]).map_err(|_| "the key is no PEM")?;
    let info = EncryptedPrivateKeyInfoRef::from_der(sealed.as_bytes());
    let info = info.map_err(
        |_| "the key is encrypted in a way that is not taken (openssl pkcs8 -topk8 -v2 aes-256-cbc writes it anew)",
    )?;
    let key = info.decrypt(password).map_err(|_| "ssl.key.password is wrong, or the key is damaged")?;
    Ok(in_pem("PRIVATE KEY", &[key.as_bytes().to_vec()]))
}

fn in_pem(label: &str, all: &[Vec<u8>]) -> Vec<u8> {
    let mut pem = Vec::new();
    for der in all {
        pem.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
        for line in STANDARD.encode(der).as_bytes().chunks(64) {
            pem.extend_from_slice(line);
            pem.push(b'\n');
        }
        pem.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    }
    pem
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

fn jks(bytes: &[u8], passwords: Passwords<'_>, used: Use) -> Result<Contents, String> {
    let body = bytes.len().checked_sub(SHA1_OUTPUT_LEN).ok_or("the JKS store is cut short")?;
    if let Some(password) = passwords.store
        && sha1(&[&utf16(password), JKS_WHITENER, &bytes[..body]]) != bytes[body..]
    {
        return Err("the password of the JKS store is wrong, or the store is damaged".to_owned());
    }
    let key_password = passwords.key.or(passwords.store);
    let mut fields = Fields(&bytes[JKS_MAGIC.len().min(body)..body]);
    let (version, count) = (fields.number()?, fields.number()?);
    let mut found = Contents::default();
    for _ in 0..count {
        let kind = fields.number()?;
        fields.text()?;
        // When it was added, in milliseconds.
        fields.take(8)?;
        match kind {
            1 => {
                let key = fields.sized()?;
                let key = match used {
                    Use::Own => {
                        let password = key_password.ok_or("the JKS store has a key, which needs a password")?;
                        unprotected(key, &utf16(password))?
                    }
                    Use::Trust => Vec::new(),
                };
                let mut chain = Vec::new();
                for _ in 0..fields.number()? {
                    chain.push(fields.certificate(version)?.to_vec());
                }
                found.keys.push((key, chain));
            }
            2 => found.trusted.push(fields.certificate(version)?.to_vec()),
            other => return Err(format!("the JKS store has an entry of kind {other}")),
        }
    }
    Ok(found)
}

/// The key inside an EncryptedPrivateKeyInfo: salt, key under a stream of sums, and the sum of password and key (Java:
/// `KeyProtector.recover`).
fn unprotected(info: &[u8], password: &[u8]) -> Result<Vec<u8>, String> {
    let octets = protected(info).filter(|octets| octets.len() >= 2 * SHA1_OUTPUT_LEN);
    let octets = octets.ok_or("the key in the JKS store is not protected as JKS does")?;
    let (salt, rest) = octets.split_at(SHA1_OUTPUT_LEN);
    let (hidden, sum) = rest.split_at(rest.len() - SHA1_OUTPUT_LEN);
    let mut stream = sha1(&[password, salt]);
    let mut key = Vec::with_capacity(hidden.len());
    for chunk in hidden.chunks(SHA1_OUTPUT_LEN) {
        key.extend(chunk.iter().zip(stream).map(|(byte, mask)| byte ^ mask));
        stream = sha1(&[password, &stream]);
    }
    if sha1(&[password, &key]) == sum {
        Ok(key)
    } else {
        Err("the password of the key in the JKS store is wrong".to_owned())
    }
}

fn protected(info: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(info).ok()?;
    let read = reader.sequence(|inside| {
        Ok::<_, pkcs8::der::Error>((AlgorithmIdentifierRef::decode(inside)?, <&OctetStringRef>::decode(inside)?))
    });
    read.ok().filter(|(algorithm, _)| algorithm.oid == JKS_PROTECTOR).map(|(_, octets)| octets.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    /// A JKS store with a key, which is no real one, its chain, and one to trust; certificates that are none.
    fn store(password: &str, key_password: &str) -> Vec<u8> {
        let (password, key_password) = (utf16(password), utf16(key_password));
        let (key, salt) = (b"a key of more than twenty bytes", [7; SHA1_OUTPUT_LEN]);
        let (mut stream, mut hidden) = (sha1(&[&key_password, &salt]), Vec::new());
        for chunk in key.chunks(SHA1_OUTPUT_LEN) {
            hidden.extend(chunk.iter().zip(stream).map(|(byte, mask)| byte ^ mask));
            stream = sha1(&[&key_password, &stream]);
        }
        let octets = [&salt[..], &hidden, &sha1(&[&key_password, key])].concat();
        let value = |tag: u8, contents: &[u8]| [&[tag, contents.len() as u8], contents].concat();
        let algorithm = value(SEQUENCE, &[value(0x06, JKS_PROTECTOR.as_bytes()), vec![0x05, 0x00]].concat());
        let info = value(SEQUENCE, &[algorithm, value(0x04, &octets)].concat());
        let certificate = |name: &[u8]| [&[0, 5][..], b"X.509", &sized(name)].concat();
        // As keytool's recipe for brokers has it: who signed the key's certificate stands beside it, here before it.
        let root = [&[0, 0, 0, 2][..], &[0, 1, b'r'], &[0; 8], &certificate(b"root")].concat();
        let key = [&[0, 0, 0, 1][..], &[0, 1, b'k'], &[0; 8], &sized(&info), &[0, 0, 0, 2]].concat();
        let body =
            [&JKS_MAGIC[..], &[0, 0, 0, 2], &[0, 0, 0, 2], &root, &key, &certificate(b"own"), &certificate(b"issuer")]
                .concat();
        let sum = sha1(&[&password, JKS_WHITENER, &body]);
        [body, sum.to_vec()].concat()
    }

    #[test]
    fn a_jks_store_opens_with_its_passwords_only_and_never_panics() {
        let bytes = store("store", "key");
        let open = |bytes: &[u8], store: Option<&str>, key: Option<&str>| {
            open(None, bytes.to_vec(), Passwords { store, key }, Use::Own)
        };
        let keys = vec![(b"a key of more than twenty bytes".to_vec(), vec![b"own".to_vec(), b"issuer".to_vec()])];
        let expected = Store::Entries(Contents { keys, trusted: vec![b"root".to_vec()] });
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
    fn a_key_goes_with_its_own_chain_and_is_trusted_for_itself_alone() {
        let opened = || open(None, store("p", "p"), Passwords { store: Some("p"), key: None }, Use::Own).unwrap();
        let trust = open(None, store("p", "other"), Passwords::default(), Use::Trust).unwrap();
        assert_eq!(trust.trusted().unwrap(), opened().trusted().unwrap(), "without any password");
        let certificates =
            |names: &[&[u8]]| in_pem("CERTIFICATE", &names.iter().map(|name| name.to_vec()).collect::<Vec<_>>());
        let (chain, key) = opened().own(None).unwrap();
        assert_eq!(chain, certificates(&[b"own", b"issuer"]), "who is trusted is no part of it");
        assert_eq!(key, in_pem("PRIVATE KEY", &[b"a key of more than twenty bytes".to_vec()]));
        assert_eq!(opened().trusted().unwrap(), certificates(&[b"root", b"own"]), "the issuer is not trusted for that");
        let empty = || Store::Entries(Contents::default());
        assert!(empty().own(None).is_err() && empty().trusted().is_err());
    }

    #[test]
    fn other_types_and_files_are_refused_by_name() {
        let refused = |kind, bytes: &[u8]| open(kind, bytes.to_vec(), Passwords::default(), Use::Trust).unwrap_err();
        assert_eq!(refused(Some("BCFKS"), b"x"), "stores of type BCFKS are not taken; PEM, PKCS12 and JKS are");
        assert_eq!(refused(None, b"x"), "the file is no store of type PEM, PKCS12 or JKS");
        assert_eq!(refused(Some("pkcs12"), &[0x30, 0x80, 0]), "the PKCS12 store needs a password");
        let passwords = Passwords { store: Some("p"), key: None };
        let damaged = open(Some("PKCS12"), vec![0x30, 0x80, 0], passwords, Use::Own).unwrap_err();
        assert_eq!(damaged, "the PKCS12 store is damaged");
    }

    /// A key by `openssl pkcs8 -topk8`, without a password and with one (`-v2 aes-256-cbc`).
    const KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgMBIwSyJnRbx43tje\n\
O8DjF4aWYMGhmSUSqawW/q/pE/ShRANCAASy9gG3xC17O9Uy1QbtdUWUSCxQrQ8k\n\
LDYuXlleFacuf/dvsr+ttMw18noY3PfWnXNi12aNNn5/l6hLyJqUa/mP\n\
-----END PRIVATE KEY-----\n";
    const SEALED_KEY: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhh5V1LU2sW5QICCAAw\n\
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEMlm+C4z3eTrI4S2UnYSsHwEgZB0\n\
2TLiZP1Igeq+zl2Eu+8eFIR1kjfywo6NsDxLzyIgCbZoto2o3iLcLcua1I8yhwXU\n\
pDE2UneNISw+cpUOiy+sXm8ZGsGr7+pEncHRBH8SmpD4UFsQo9e1kD0ObfG8uSf/\n\
3NMZw+2ItVahiuzMZMjVYr+smxnj01+YpwTBRbfslWkOZGsSBEIMGodGbLhy5R4=\n\
-----END ENCRYPTED PRIVATE KEY-----\n";

    #[test]
    fn a_key_under_a_password_opens_with_it_only() {
        let opened = |pem: &str, password| opened_key(pem.as_bytes().to_vec(), password);
        assert_eq!(opened(KEY, None).unwrap(), KEY.as_bytes());
        let beside = format!("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n{SEALED_KEY}");
        for pem in [SEALED_KEY, &beside] {
            assert_eq!(String::from_utf8(opened(pem, Some("secret")).unwrap()).unwrap(), KEY);
            assert_eq!(opened(pem, None).unwrap_err(), "the key is encrypted, and ssl.key.password is not set");
            assert_eq!(opened(pem, Some("other")).unwrap_err(), "ssl.key.password is wrong, or the key is damaged");
        }
        assert!(opened(&SEALED_KEY.replace("MIHs", "MIHr"), Some("secret")).is_err());
    }
}
