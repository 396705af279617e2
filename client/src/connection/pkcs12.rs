//! PKCS12 stores as keytool (since Java 16 and 8u301) and openssl (since 3.0) make them: RFC 7292 with the ciphers of
//! PBES2, AES in CBC mode under PBKDF2.
//!
//! Called by `store.rs`. No length in a file reserves memory, and nothing of it is trusted: what is cut short or
//! damaged is an error. Never writes a store.
//!
//! Not done: stores encrypted by 3DES or RC2, sums by PBMAC1 (RFC 9579), stores in BER (lengths that are left open).

use std::num::NonZeroU32;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, KeyIvInit};
use ring::digest::{self, Algorithm, Context};
use ring::{hmac, pbkdf2};

/// 1.2.840.113549.1.7.1
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// 1.2.840.113549.1.7.6
const ENCRYPTED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x06];
/// 1.2.840.113549.1.5.13
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
/// 1.2.840.113549.1.5.12
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];
/// 1.2.840.113549.1.12.1, before the number of an old cipher.
const OLD_CIPHERS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x01];
/// 1.2.840.113549.2, before the number of an HMAC.
const HMACS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02];
/// 2.16.840.1.101.3.4.1, before the number of an AES cipher.
const AES: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01];
/// 1.3.14.3.2.26
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a];
/// 2.16.840.1.101.3.4.2, before the number of a digest of the second family.
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
/// 1.2.840.113549.1.12.10.1, before the number of a kind of bag.
const BAGS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01];
/// 1.2.840.113549.1.9.21
const LOCAL_KEY_ID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x15];
/// 2.16.840.1.113894.746875.1.1, which keytool puts beside a certificate that is to be trusted.
const TRUSTED_KEY_USAGE: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];

const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// The first field of its kind, whole and as a plain value.
const FIRST: u8 = 0xa0;
const FIRST_PLAIN: u8 = 0x80;

/// Java: `PKCS12KeyStore.MAX_ITERATION_COUNT`
const ROUNDS_MAX: u32 = 5_000_000;

const MALFORMED: &str = "the PKCS12 store is damaged";

pub(super) type Found<T> = Result<T, String>;

/// What TLS needs of a store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Keys (PKCS8), each with its certificates, its own first.
    pub keys: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    /// Certificates that are to be trusted.
    pub trusted: Vec<Vec<u8>>,
}

/// Values one behind the other, each with its tag and length (X.690, DER).
#[derive(Clone, Copy)]
pub(super) struct Values<'a>(pub(super) &'a [u8]);

impl<'a> Values<'a> {
    /// The next value: tag, contents and the whole of it.
    pub(super) fn next(&mut self) -> Found<(u8, &'a [u8], &'a [u8])> {
        let all = self.0;
        let [tag, first, ..] = *all else { return Err(MALFORMED.to_owned()) };
        let (header, size) = match first {
            0..=0x7f => (2, usize::from(first)),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let digits = all.get(2..2 + count).ok_or(MALFORMED)?;
                (2 + count, digits.iter().fold(0, |size, digit| size << 8 | usize::from(*digit)))
            }
            _ => return Err(MALFORMED.to_owned()),
        };
        let end = size.checked_add(header).ok_or(MALFORMED)?;
        let (whole, rest) = all.split_at_checked(end).ok_or(MALFORMED)?;
        self.0 = rest;
        Ok((tag, &whole[header..], whole))
    }

    /// The contents of the next value, which has to have this tag.
    pub(super) fn take(&mut self, wanted: u8) -> Found<&'a [u8]> {
        match self.next()? {
            (tag, contents, _) if tag == wanted => Ok(contents),
            _ => Err(MALFORMED.to_owned()),
        }
    }

    pub(super) fn inside(&mut self, wanted: u8) -> Found<Values<'a>> {
        self.take(wanted).map(Values)
    }

    /// The contents of the next value, if it has this tag.
    pub(super) fn take_if(&mut self, wanted: u8) -> Found<Option<&'a [u8]>> {
        if self.0.first() == Some(&wanted) { self.take(wanted).map(Some) } else { Ok(None) }
    }

    fn number(&mut self) -> Found<NonZeroU32> {
        let digits = self.take(INTEGER)?;
        let known = digits.len() <= 5 && digits.first().is_some_and(|first| *first < 0x80);
        let number = digits.iter().fold(0_u64, |number, digit| number << 8 | u64::from(*digit));
        u32::try_from(number).ok().filter(|_| known).and_then(NonZeroU32::new).ok_or_else(|| MALFORMED.to_owned())
    }

    /// How often a password is hashed; what would take minutes is no store's.
    fn rounds(&mut self) -> Found<NonZeroU32> {
        let rounds = self.number()?;
        if rounds.get() > ROUNDS_MAX {
            return Err(format!("the PKCS12 store has its password hashed {rounds} times, more than {ROUNDS_MAX}"));
        }
        Ok(rounds)
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// A certificate and what the store says of it.
struct Bagged {
    certificate: Vec<u8>,
    key_id: Option<Vec<u8>>,
    is_trusted: bool,
}

/// Opens a store.
///
/// # Errors
/// When the password is wrong, or the bytes are no such store.
pub(super) fn open(bytes: &[u8], password: &str) -> Found<Contents> {
    let mut store = Values(bytes).inside(SEQUENCE)?;
    store.number()?;
    let mut safe = store.inside(SEQUENCE)?;
    if safe.take(OID)? != DATA {
        return Err("the PKCS12 store is sealed by a certificate, not by a password".to_owned());
    }
    let safe = safe.inside(FIRST)?.take(OCTETS)?;
    if !store.is_over() {
        check_sum(store.inside(SEQUENCE)?, safe, password)?;
    }
    let (mut keys, mut certificates) = (Vec::new(), Vec::new());
    let mut parts = Values(safe).inside(SEQUENCE)?;
    while !parts.is_over() {
        let mut part = parts.inside(SEQUENCE)?;
        let kind = part.take(OID)?;
        let mut content = part.inside(FIRST)?;
        let plain = match kind {
            DATA => content.take(OCTETS)?.to_vec(),
            ENCRYPTED_DATA => {
                let mut sealed = content.inside(SEQUENCE)?;
                sealed.take(INTEGER)?;
                let mut sealed = sealed.inside(SEQUENCE)?;
                sealed.take(OID)?;
                let cipher = sealed.inside(SEQUENCE)?;
                decrypted(cipher, sealed.take(FIRST_PLAIN)?, password)?
            }
            _ => continue,
        };
        let mut bags = Values(&plain).inside(SEQUENCE)?;
        while !bags.is_over() {
            take_bag(bags.inside(SEQUENCE)?, password, &mut keys, &mut certificates)?;
        }
    }
    Ok(joined(keys, &certificates))
}

/// A key and its id.
type Key = (Vec<u8>, Option<Vec<u8>>);

fn take_bag(mut bag: Values<'_>, password: &str, keys: &mut Vec<Key>, certificates: &mut Vec<Bagged>) -> Found<()> {
    let kind = bag.take(OID)?.strip_prefix(BAGS);
    let mut value = bag.inside(FIRST)?;
    let (mut key_id, mut is_trusted) = (None, false);
    let mut attributes = Values(bag.take_if(SET)?.unwrap_or_default());
    while !attributes.is_over() {
        let mut attribute = attributes.inside(SEQUENCE)?;
        match attribute.take(OID)? {
            LOCAL_KEY_ID => key_id = Some(attribute.inside(SET)?.take(OCTETS)?.to_vec()),
            TRUSTED_KEY_USAGE => is_trusted = true,
            _ => {}
        }
    }
    match kind {
        Some([1]) => keys.push((value.next()?.2.to_vec(), key_id)),
        Some([2]) => {
            let mut sealed = value.inside(SEQUENCE)?;
            let cipher = sealed.inside(SEQUENCE)?;
            keys.push((decrypted(cipher, sealed.take(OCTETS)?, password)?, key_id));
        }
        Some([3]) => {
            let mut own = value.inside(SEQUENCE)?;
            own.take(OID)?;
            let certificate = own.inside(FIRST)?.take(OCTETS)?.to_vec();
            certificates.push(Bagged { certificate, key_id, is_trusted });
        }
        // Secrets, lists of what was revoked.
        _ => {}
    }
    Ok(())
}

/// Each key with its certificate and those that signed it.
fn joined(keys: Vec<Key>, certificates: &[Bagged]) -> Contents {
    let chain = |key_id: Option<Vec<u8>>| {
        let own = certificates.iter().find(|bagged| key_id.is_some() && bagged.key_id == key_id);
        let mut chain: Vec<&Bagged> = own.into_iter().collect();
        while let Some((_, issuer)) = chain.last().and_then(|last| names(&last.certificate)) {
            let is_next = |bagged: &&Bagged| names(&bagged.certificate).is_some_and(|(subject, _)| subject == issuer);
            let new = |bagged: &&Bagged| chain.iter().all(|known| known.certificate != bagged.certificate);
            let Some(next) = certificates.iter().filter(|bagged| !bagged.is_trusted).filter(is_next).find(new) else { break };
            chain.push(next);
        }
        chain.into_iter().map(|bagged| bagged.certificate.clone()).collect()
    };
    let trusted = certificates.iter().filter(|bagged| bagged.is_trusted);
    Contents {
        keys: keys.into_iter().map(|(key, key_id)| (key, chain(key_id))).collect(),
        trusted: trusted.map(|bagged| bagged.certificate.clone()).collect(),
    }
}

/// Subject and issuer of a certificate.
fn names(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Values(certificate).inside(SEQUENCE).ok()?.inside(SEQUENCE).ok()?;
    fields.take_if(FIRST).ok()?;
    fields.take(INTEGER).ok()?;
    fields.take(SEQUENCE).ok()?;
    let issuer = fields.take(SEQUENCE).ok()?;
    fields.take(SEQUENCE).ok()?;
    Some((fields.take(SEQUENCE).ok()?, issuer))
}

/// Whether the store is as it was written, and by this password (RFC 7292, appendix B).
fn check_sum(mut sum: Values<'_>, safe: &[u8], password: &str) -> Found<()> {
    let mut own = sum.inside(SEQUENCE)?;
    let oid = own.inside(SEQUENCE)?.take(OID)?;
    let (digest, signed, block): (&'static Algorithm, hmac::Algorithm, usize) = match (oid, oid.strip_prefix(SHA2)) {
        (SHA1, _) => (&digest::SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, 64),
        (_, Some([1])) => (&digest::SHA256, hmac::HMAC_SHA256, 64),
        (_, Some([2])) => (&digest::SHA384, hmac::HMAC_SHA384, 128),
        (_, Some([3])) => (&digest::SHA512, hmac::HMAC_SHA512, 128),
        _ => return Err("the sum of the PKCS12 store is of a kind that is not taken".to_owned()),
    };
    let expected = own.take(OCTETS)?;
    let salt = sum.take(OCTETS)?;
    let rounds = if sum.is_over() { NonZeroU32::MIN } else { sum.rounds()? };
    let text: Vec<u8> = password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
    let filled = |bytes: &[u8]| -> Vec<u8> {
        let size = bytes.len().next_multiple_of(block);
        bytes.iter().copied().cycle().take(size).collect()
    };
    // 3 stands for a key of a sum.
    let mut context = Context::new(digest);
    [&vec![3; block], &filled(salt), &filled(&text)].into_iter().for_each(|part| context.update(part));
    let mut key = context.finish();
    for _ in 1..rounds.get() {
        key = digest::digest(digest, key.as_ref());
    }
    let wrong = |_| "the password of the PKCS12 store is wrong, or the store is damaged".to_owned();
    hmac::verify(&hmac::Key::new(signed, key.as_ref()), safe, expected).map_err(wrong)
}

/// Undoes PBES2 (RFC 8018).
fn decrypted(mut cipher: Values<'_>, sealed: &[u8], password: &str) -> Found<Vec<u8>> {
    match cipher.take(OID)? {
        PBES2 => {}
        old if old.starts_with(OLD_CIPHERS) => {
            return Err("the PKCS12 store is encrypted by 3DES or RC2, which are not taken (keytool -importkeystore writes it anew)".to_owned());
        }
        _ => return Err("the cipher of the PKCS12 store is not taken".to_owned()),
    }
    let mut parameters = cipher.inside(SEQUENCE)?;
    let (mut derivation, mut scheme) = (parameters.inside(SEQUENCE)?, parameters.inside(SEQUENCE)?);
    if derivation.take(OID)? != PBKDF2 {
        return Err("the key of the PKCS12 store is derived in a way that is not taken".to_owned());
    }
    let mut derivation = derivation.inside(SEQUENCE)?;
    let (salt, rounds) = (derivation.take(OCTETS)?, derivation.rounds()?);
    derivation.take_if(INTEGER)?;
    let by = match derivation.take_if(SEQUENCE)? {
        None => pbkdf2::PBKDF2_HMAC_SHA1,
        Some(by) => match Values(by).take(OID)?.strip_prefix(HMACS) {
            Some([7]) => pbkdf2::PBKDF2_HMAC_SHA1,
            Some([9]) => pbkdf2::PBKDF2_HMAC_SHA256,
            Some([10]) => pbkdf2::PBKDF2_HMAC_SHA384,
            Some([11]) => pbkdf2::PBKDF2_HMAC_SHA512,
            _ => return Err("the key of the PKCS12 store is derived by an HMAC that is not taken".to_owned()),
        },
    };
    let mut key = [0; 32];
    let (size, aes) = match scheme.take(OID)?.strip_prefix(AES) {
        Some([0x02]) => (16, plain_of::<cbc::Decryptor<aes::Aes128>> as fn(&[u8], &[u8], &[u8]) -> Option<Vec<u8>>),
        Some([0x16]) => (24, plain_of::<cbc::Decryptor<aes::Aes192>> as _),
        Some([0x2a]) => (32, plain_of::<cbc::Decryptor<aes::Aes256>> as _),
        _ => return Err("the cipher of the PKCS12 store is not taken".to_owned()),
    };
    pbkdf2::derive(by, rounds, salt, password.as_bytes(), &mut key[..size]);
    let plain = aes(&key[..size], scheme.take(OCTETS)?, sealed);
    plain.ok_or_else(|| "the password of the PKCS12 store is wrong, or the store is damaged".to_owned())
}

fn plain_of<C: KeyIvInit + BlockDecryptMut>(key: &[u8], start: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    C::new_from_slices(key, start).ok()?.decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::connection::ec_key::{self, value};

    /// `keytool -genkeypair -keyalg EC -dname CN=k -alias k -storetype PKCS12 -storepass secret` of Java 17.
    const OWN: &str = "MIIDxgIBAzCCA3AGCSqGSIb3DQEHAaCCA2EEggNdMIIDWTCCASAGCSqGSIb3DQEHAaCCAREEggENMIIBCTCCAQUGCyqGSIb3DQEMCgECoIG9MIG6\
        MGYGCSqGSIb3DQEFDTBZMDgGCSqGSIb3DQEFDDArBBS/8rxJnfYVqSqhSC3o1+RS+X0zsgICJxACASAwDAYIKoZIhvcNAgkFADAdBglghkgBZQME\
        ASoEEPg88PuQkMsWCz09lq+vtTUEUBeGaHJwoFFXHEdwLbrolL3VL9swAuBkMkdsd+wJyTqPEgFI8RsjIaFYjjlwyelluO4tm40qo+XQmoLJPMsE\
        2uRpWSP1gU4xjsKBofciSCUxMTYwEQYJKoZIhvcNAQkUMQQeAgBrMCEGCSqGSIb3DQEJFTEUBBJUaW1lIDE3OTUyODgzNDE0MDcwggIxBgkqhkiG\
        9w0BBwagggIiMIICHgIBADCCAhcGCSqGSIb3DQEHATBmBgkqhkiG9w0BBQ0wWTA4BgkqhkiG9w0BBQwwKwQU72gwe8G6Ix+aC4qhn682JuV9BWwC\
        AicQAgEgMAwGCCqGSIb3DQIJBQAwHQYJYIZIAWUDBAEqBBBs7zVYCN3Z3dV5vCvjFbnAgIIBoH6Tu0qPsmaPyMTgpkUgL4NVPfQ3rBHKeF8VgBBD\
        KZhucQPThh+lrADggoqDXg0UzfCsRJKaDsifylktz/YSPm6Be0Uc/H2IHiouYEDo1ulyMYdDEc6A7BnBZLf2MVsHNNt69aeJZ/6IsLXzId92zTgD\
        kSHP4l9Z6/n680wBVDCgQ8GYa9jCknO2MqaCXA0CCHv+Se7qRNgWo1ifax3l9YBCP8ZxbV2EzeusjmpTFWDlARvBiq+Dhd0cT/0Ch+5Lk3OHr/zp\
        /ZA8jCTJUvc6b2Of+UWDJyX2UOqzlgLoQloVbwQia8wEolQ6GXzfdlOLsZWTfbTy656Owh0dE36sa0mdPyFZOEI9iTGFFFnjN6WUwW4hzAPJBxJi\
        KtxCtZILmsYPi/Y68O+9bbRYVyZXHwEM9pY7cpw2vMLKCXwCOHIF5NMU+WC+ZwDjl/OkiJa1iIlV2xn1lsxPkJf7nXLJ8o5WkuDanlUHs3wZLbDH\
        EGG6azyqbwUZw7YB0V45M9iQV2Qm73wXqkD3yijFjwPWFvw2Afd8WjtR3gnVuNzWzVJrME0wMTANBglghkgBZQMEAgEFAAQgdUFvzqnGGzNV2SDX\
        XABtkthhrSbQHY44R5auovEnDjYEFDI++RFqTMnKoSKmnc1Gc7Y/y+gDAgInEA==";
    /// `keytool -importcert -alias t -storetype PKCS12 -storepass secret` of its certificate.
    const TRUST: &str = "MIICogIBAzCCAkwGCSqGSIb3DQEHAaCCAj0EggI5MIICNTCCAjEGCSqGSIb3DQEHBqCCAiIwggIeAgEAMIICFwYJKoZIhvcNAQcBMGYGCSqGSIb3\
        DQEFDTBZMDgGCSqGSIb3DQEFDDArBBT2Keprdzo8z8racDqg9CjsZS8pGQICJxACASAwDAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEELsIpqM4\
        HQj9UHIF555U+MWAggGgfN8Kopyd175ENN4eieIv8TrqiDoCD2FmZkqC3jQGp5JOQ+4L03oGtaoU3bF0sYuqOaJs0GzG9xF9eNEsYIf9ZN5OKPpW\
        aYcavipsvrUSLYTAZmKFOBJqZCouIvlMruF9eoqpjMD8D31/CvOT5xoDBCM4hGRM5pReNne/SbGY15yT/z9KH1lFMDejg6eN0k6ME5K7YnrvEQO0\
        3UnklwKnOUWyTAB/nV3VWgk1j8EZiUg5+iobfQaVpZiAkLvPi5lBWFbJzHWGEJacakafyj/5HD7QWxaqDKcoVUeMkaqL3HdJaCLXaJjugn1oI/RD\
        UyoSq6mgfpECdqs4Ik3aTVd3yqf2XQTAtFWU0h023m8r1tRBDhmGTOSWKlM/fgGSZMDM1LHEgyPOk85Z7JTNtR5Ay04J9tc0FKMMW9raetfHOZhX\
        lqU4nJIFuxjoHi9GdbECg8R4xBrbcNCgmbYj7XejPmI10gHgYbzOZ469S4wTwCuhQ9Fk9EJ1QkFUVdMtFqEJx5k7Q+vsQJq1YqPHiV/TDdRFSfPf\
        9d3km8b5ID8YH20wTTAxMA0GCWCGSAFlAwQCAQUABCDRCdgNdZIjuo7WCgYi0nRiDAY6aU47tejOEuA31jTpAgQUHwGA4mrtpsn1xl37BvVLFFZH\
        koACAicQ";
    /// The certificate.
    const CERTIFICATE: &str = "MIIBLjCB1qADAgECAgkAibigvAbCq0kwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAxMBazAeFw0yNjExMjExOTEyMjBaFw0zNjExMTgxOTEyMjBaMAwx\
        CjAIBgNVBAMTAWswWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ5a+Os2TqyVkb4C72yAPeHnL2S3//nnToXynS752rcRsnZccmhrTOdrkDf1imm\
        Sz5cpBhGy1mKeLPfNthVXXeIoyEwHzAdBgNVHQ4EFgQUG2zYbgFd+eN7We5zKyAz9tqgWH8wCgYIKoZIzj0EAwIDRwAwRAIgHU9stmyXUgKRRwKo\
        BY0+h12IG10n/tmNhk5LDztUCNACIAKWHiaS6BoMHKk/GouxrOCN9Vzp2BMfZsbnlGTjpf75";

    fn bytes(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    #[test]
    fn stores_of_keytool_open_with_their_password_only() {
        let own = open(&bytes(OWN), "secret").unwrap();
        let [(key, chain)] = &own.keys[..] else { panic!("one key") };
        assert_eq!((chain, &own.trusted), (&vec![bytes(CERTIFICATE)], &vec![]));
        assert!(key.starts_with(&[SEQUENCE]) && Values(key).next().unwrap().2.len() == key.len());
        let whole = ec_key::completed(key, &chain[0]).expect("Java leaves the public half out");
        assert_eq!(ec_key::completed(&whole, &chain[0]), None, "it is there");
        let random = ring::rand::SystemRandom::new();
        let (kind, refused) = (&ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING, "ring takes it");
        ring::signature::EcdsaKeyPair::from_pkcs8(kind, &whole, &random).expect(refused);
        let trust = open(&bytes(TRUST), "secret").unwrap();
        assert_eq!(trust, Contents { keys: vec![], trusted: vec![bytes(CERTIFICATE)] });
        for store in [OWN, TRUST] {
            assert!(open(&bytes(store), "other").unwrap_err().contains("password of the PKCS12 store is wrong"));
        }
    }

    /// Every place of `bytes` in turn with other bits, and cut there.
    fn damages(bytes: &[u8], step: usize) -> impl Iterator<Item = Vec<u8>> {
        (0..bytes.len()).step_by(step).flat_map(move |at| {
            let flipped = [0x01, 0x55, 0x80, 0xff].map(|bits| {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= bits;
                damaged
            });
            flipped.into_iter().chain([bytes[..at].to_vec()])
        })
    }

    /// The store without its sum, which no damage gets past.
    fn unsummed(store: &[u8]) -> Vec<u8> {
        let mut parts = Values(store).inside(SEQUENCE).unwrap();
        let (version, safe) = (parts.next().unwrap().2, parts.next().unwrap().2);
        value(SEQUENCE, &[version, safe])
    }

    #[test]
    fn a_damaged_store_is_an_error() {
        let store = bytes(TRUST);
        for cut in (0..store.len()).step_by(7) {
            assert!(open(&store[..cut], "secret").is_err(), "cut at {cut}");
        }
        for at in (0..store.len()).step_by(23) {
            let mut damaged = store.clone();
            damaged[at] ^= 0x55;
            assert!(open(&damaged, "secret").is_err(), "damaged at {at}");
        }
    }

    #[test]
    fn damage_that_no_sum_shows_never_panics() {
        for store in [OWN, TRUST].map(|store| unsummed(&bytes(store))) {
            let whole = open(&store, "secret").expect("a store may go without a sum");
            let damaged = damages(&store, 11).filter(|damaged| open(damaged, "secret").as_ref() != Ok(&whole)).count();
            assert!(damaged > 0, "some of it shows");
        }
    }

    #[test]
    fn damaged_bags_and_certificates_never_panic() {
        let (certificate, own) = (bytes(CERTIFICATE), open(&bytes(OWN), "secret").unwrap());
        let attribute = |oid: &[u8], set: &[u8]| value(SEQUENCE, &[&value(OID, &[oid]), &value(SET, &[set])]);
        let held = value(FIRST, &[&value(OCTETS, &[&certificate])]);
        let of_key = attribute(LOCAL_KEY_ID, &value(OCTETS, &[b"id"]));
        let held = value(FIRST, &[&value(SEQUENCE, &[&value(OID, &[b"x509"]), &held])]);
        let bag = [&value(OID, &[BAGS, &[3]])[..], &held, &value(SET, &[&of_key, &attribute(TRUSTED_KEY_USAGE, &[])])].concat();
        let taken = |bag: &[u8]| {
            let (mut keys, mut certificates) = (vec![(own.keys[0].0.clone(), Some(b"id".to_vec()))], Vec::new());
            take_bag(Values(bag), "secret", &mut keys, &mut certificates).map(|()| joined(keys, &certificates))
        };
        let found = taken(&bag).expect("it is whole");
        assert_eq!((&found.keys[0].1, &found.trusted), (&vec![certificate.clone()], &vec![certificate.clone()]));
        let told = damages(&bag, 1).filter(|damaged| taken(damaged).is_err()).count();
        assert!(told > 0, "some of it is told");
        let key = &own.keys[0].0;
        for damaged in damages(&certificate, 1) {
            let _ = (names(&damaged), ec_key::completed(key, &damaged));
        }
        for damaged in damages(key, 1) {
            let _ = ec_key::completed(&damaged, &certificate);
        }
    }

    #[test]
    fn a_password_that_is_to_be_hashed_for_hours_is_refused_at_once() {
        let rounds = |count: &[u8]| Values(&value(INTEGER, &[count])).rounds();
        assert_eq!(rounds(&[0x4c, 0x4b, 0x40]).unwrap().get(), ROUNDS_MAX);
        assert!(rounds(&[0x4c, 0x4b, 0x41]).unwrap_err().contains("hashed 5000001 times"));
        assert!(rounds(&[0x7f, 0xff, 0xff, 0xff]).is_err());
        // Of a sum, and of a cipher.
        let algorithm = |oid: &[u8]| value(SEQUENCE, &[&value(OID, &[oid])]);
        let (salt, many) = (value(OCTETS, &[b"salt"]), value(INTEGER, &[&[0x7f, 0xff, 0xff, 0xff]]));
        let sum = [value(SEQUENCE, &[&algorithm(SHA1), &value(OCTETS, &[&[0; 20]])]), salt.clone(), many.clone()].concat();
        assert!(check_sum(Values(&sum), b"", "p").unwrap_err().contains("hashed"));
        let derivation = value(SEQUENCE, &[&value(OID, &[PBKDF2]), &value(SEQUENCE, &[&salt, &many])]);
        let cipher = [value(OID, &[PBES2]), value(SEQUENCE, &[&derivation, &algorithm(AES)])].concat();
        assert!(decrypted(Values(&cipher), b"", "p").unwrap_err().contains("hashed"));
    }
}
