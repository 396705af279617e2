//! PKCS12 stores as keytool and openssl make them.
//!
//! Called by `store.rs`. What is cut short or damaged, or is to be hashed for minutes, is an error. Never writes a store.
//!
//! Not done: sums by PBMAC1 (RFC 9579), stores in BER (lengths that are left open), keys that no certificate belongs to.

use p12_keystore::error::Error;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};

use super::store::Contents;

/// Opens a store. As in Java, a certificate without a key is trusted only when the store says so, as keytool's do.
///
/// # Errors
/// When the password is wrong, or the bytes are no such store.
pub(super) fn open(bytes: &[u8], password: &str) -> Result<Contents, String> {
    let store = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict).map_err(|error| told(&error))?;
    let mut found = Contents::default();
    for (_, entry) in store.entries() {
        match entry {
            KeyStoreEntry::PrivateKeyChain(own) => {
                let chain = own.certs().iter().map(|certificate| certificate.as_der().to_vec()).collect();
                found.keys.push((own.key().as_der().to_vec(), chain));
            }
            KeyStoreEntry::Certificate(certificate) => found.trusted.push(certificate.as_der().to_vec()),
            KeyStoreEntry::Secret(_) => {}
        }
    }
    Ok(found)
}

fn told(error: &Error) -> String {
    match error {
        // Without a sum, a wrong password shows in what it opens.
        Error::MacError(_) | Error::Pkcs5Error(_) | Error::UnpadError => {
            "the password of the PKCS12 store is wrong, or the store is damaged".to_owned()
        }
        Error::UnsupportedEncryptionScheme => "the cipher of the PKCS12 store is not taken".to_owned(),
        Error::UnsupportedMacAlgorithm => "the sum of the PKCS12 store is of a kind that is not taken".to_owned(),
        Error::InvalidParameters => {
            "the PKCS12 store has its password hashed too often (more than a million times)".to_owned()
        }
        _ => "the PKCS12 store is damaged".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::connection::ec_key;

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
    /// `openssl pkcs12 -export -legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-RC2-40 -macalg sha1`, as keytool wrote before Java 16.
    const OLD: &str = "MIIDmAIBAzCCA14GCSqGSIb3DQEHAaCCA08EggNLMIIDRzCCAicGCSqGSIb3DQEHBqCCAhgwggIUAgEAMIICDQYJKoZIhvcNAQcBMBwGCiqGSIb3\
        DQEMAQYwDgQIEhl2lp+F7WUCAggAgIIB4KZPKvDYl4AynK0zkUpKYYM5wKb7pprjU2f49x1C++BgRIAkaP9dYC7AT9y3NFE7sOFC9SurcSLM4NbG\
        hf3hjzYJME/nm9sjuganP+g+YzzdGR4AJHnTh9+GGen+y+Zi0LkSfe1XyAXd4PZq/c9FWVf7XsLqMKX1bcyOUqxkGHbP9KbBwDL28H5xLZWVvsWd\
        BjIBv+TAgBtmfTrY3hQK4ycJ2ksCWYbRexn5ROc+dgT6i04r/Dz7DR3zaJ10FtOWUZXkGfYCZlWkR1Q7cBQ7wBiZ66HhD1G7NGosKq0531OOfyc8\
        ljfS87tiB2Sqmm10YdnkI7LqoeXXmoK1XrVJ8YdVTNHd0whyo+ldGsGy3hLj8Q8Uie684C6dl3BM/9dA72VYHraikVRHR/gzZT9stKWEB7+qtKwm\
        d4mrDcbNyNssBvcW/tsZu717/Gpec+mm31E/u0VGYv0z+nRE2rdfgvV1YdqFWLaRs/cUGeu42hgg5hlpoAOdkqA9ja5JvDKyytHtM57vFJ0k1vn+\
        I7tpwmwqEBYLRmz08iaFPwgWT2S4c3N83nrk86zmJaKnZUXTwHCdBWJRAC/yv7OKRJjuJIehKOuaHy/38CzUYy37RuBxy1e2YasbI0raYW5xv/1n\
        ozCCARgGCSqGSIb3DQEHAaCCAQkEggEFMIIBATCB/gYLKoZIhvcNAQwKAQKggbQwgbEwHAYKKoZIhvcNAQwBAzAOBAhBQAQtfGmhRwICCAAEgZC1\
        555Pd+fbWQTOuF2lcESSZAJ/lQg8moOmfP9aA8Upbn2xSi7y9BVrQ2MmsGdviNdPTzyLj4J5SejxORwvgwi7C7r4vHB/CaWacP2IagABPQJODT0+\
        KuRjbRCVQSU/c/0AtjsqOfZhqinJkidptTXo9dYivW649Sj19FO8LZI/NkVkEbgZp6h1XjxUOmcRDvYxODARBgkqhkiG9w0BCRQxBB4CAGswIwYJ\
        KoZIhvcNAQkVMRYEFKTF3mhEKgloT0gV9vNDkHKmr0I9MDEwITAJBgUrDgMCGgUABBSI4VJuaUtteIZJ6e8MwXGJt9AhFgQIDonqovMAc1YCAggA";

    fn bytes(text: &str) -> Vec<u8> {
        STANDARD.decode(text).unwrap()
    }

    #[test]
    fn stores_of_keytool_open_with_their_password_only() {
        let own = open(&bytes(OWN), "secret").unwrap();
        let [(key, chain)] = &own.keys[..] else { panic!("one key") };
        assert_eq!((chain, &own.trusted), (&vec![bytes(CERTIFICATE)], &vec![]));
        let whole = ec_key::completed(key, &chain[0]).expect("Java leaves the public half out");
        assert_eq!(ec_key::completed(&whole, &chain[0]), None, "it is there");
        let random = ring::rand::SystemRandom::new();
        let (kind, refused) = (&ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING, "ring takes it");
        ring::signature::EcdsaKeyPair::from_pkcs8(kind, &whole, &random).expect(refused);
        let old = open(&bytes(OLD), "secret").unwrap();
        assert_eq!((old.keys.len(), old.keys[0].1.len(), old.trusted.len()), (1, 1, 0), "old ciphers open too");
        assert!(ec_key::completed(&old.keys[0].0, &old.keys[0].1[0]).is_none(), "openssl writes both halves");
        let trust = open(&bytes(TRUST), "secret").unwrap();
        assert_eq!(trust, Contents { keys: vec![], trusted: vec![bytes(CERTIFICATE)] });
        for store in [OWN, OLD, TRUST] {
            assert!(open(&bytes(store), "other").unwrap_err().contains("password of the PKCS12 store is wrong"));
        }
    }

    #[test]
    fn a_damaged_store_is_an_error() {
        let store = bytes(TRUST);
        let whole = open(&store, "secret");
        let mut unseen = 0;
        for at in (0..store.len()).step_by(7) {
            assert!(open(&store[..at], "secret").is_err(), "cut at {at}");
            let mut damaged = store.clone();
            damaged[at] ^= 0x55;
            // What parameters an algorithm has that has none is no part of the sum.
            let opened = open(&damaged, "secret");
            assert!(opened.is_err() || opened == whole, "damaged at {at}");
            unseen += usize::from(opened.is_ok());
        }
        assert!(unseen < 5, "{unseen}");
    }

    #[test]
    fn damaged_keys_and_certificates_never_panic() {
        let (certificate, own) = (bytes(CERTIFICATE), open(&bytes(OWN), "secret").unwrap());
        let key = &own.keys[0].0;
        let damages = |bytes: &[u8]| -> Vec<Vec<u8>> {
            let flipped = (0..bytes.len()).map(|at| [&bytes[..at], &[bytes[at] ^ 0x81], &bytes[at + 1..]].concat());
            flipped.chain((0..bytes.len()).map(|cut| bytes[..cut].to_vec())).collect()
        };
        let of_certificates =
            damages(&certificate).into_iter().filter(|damaged| ec_key::completed(key, damaged).is_none());
        assert!(of_certificates.count() > certificate.len(), "cuts show, and some of the others");
        let of_keys = damages(key).into_iter().filter(|damaged| ec_key::completed(damaged, &certificate).is_none());
        assert!(of_keys.count() > key.len(), "cuts show, and some of the others");
    }
}
