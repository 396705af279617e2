//! SCRAM-SHA-256 and SCRAM-SHA-512 from the client's side (RFC 5802, RFC 7677; Java: `ScramSaslClient`).
//!
//! Pure: each step takes what the broker said and gives what goes back. Called by `sasl.rs`, and by the admin call that
//! sets a user's password. Never normalises a name or password (Java does neither).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use super::sasl::Secret;

/// Java: `ScramMechanism.minIterations`; fewer make a password easy to guess.
const ITERATIONS_MIN: u32 = 4096;
/// More would only keep this client busy for whoever answers.
const ITERATIONS_MAX: u32 = 1 << 20;

/// The hash; the number is the protocol's (Java: `ScramMechanism`).
///
/// ```
/// use client::connection::scram::ScramHash;
///
/// assert_eq!(ScramHash::Sha256.mechanism(), "SCRAM-SHA-256");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ScramHash {
    /// SCRAM-SHA-256
    Sha256 = 1,
    /// SCRAM-SHA-512
    Sha512 = 2,
}

impl ScramHash {
    /// The mechanism's name.
    pub fn mechanism(self) -> &'static str {
        match self {
            ScramHash::Sha256 => "SCRAM-SHA-256",
            ScramHash::Sha512 => "SCRAM-SHA-512",
        }
    }

    fn hmac(self, key: &[u8], message: &[u8]) -> hmac::Tag {
        let algorithm = match self {
            ScramHash::Sha256 => hmac::HMAC_SHA256,
            ScramHash::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message)
    }

    fn digest(self, message: &[u8]) -> digest::Digest {
        match self {
            ScramHash::Sha256 => digest::digest(&digest::SHA256, message),
            ScramHash::Sha512 => digest::digest(&digest::SHA512, message),
        }
    }

    /// The password as it is kept, and as the protocol carries it when it is set.
    pub(crate) fn salted(self, password: &str, salt: &[u8], iterations: std::num::NonZeroU32) -> Vec<u8> {
        let (algorithm, size) = match self {
            ScramHash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN),
            ScramHash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, digest::SHA512_OUTPUT_LEN),
        };
        let mut salted = vec![0; size];
        pbkdf2::derive(algorithm, iterations, salt, password.as_bytes(), &mut salted);
        salted
    }
}

/// An exchange that was begun.
pub(super) struct Exchange {
    hash: ScramHash,
    nonce: String,
    first_bare: String,
    server_signature: Vec<u8>,
}

impl Exchange {
    /// Begins with `nonce`, which must be new each time; also the first message.
    pub fn begin(hash: ScramHash, user: &str, nonce: String) -> (Self, Vec<u8>) {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={nonce}");
        let first = format!("n,,{first_bare}").into_bytes();
        (Exchange { hash, nonce, first_bare, server_signature: Vec::new() }, first)
    }

    /// The proof, to what the broker said first.
    pub fn prove(&mut self, server_first: &[u8], password: &Secret) -> Result<Vec<u8>, String> {
        let server_first = std::str::from_utf8(server_first).map_err(|_| "its first message is no text")?;
        let part = |name: &str| {
            let mut parts = server_first.split(',');
            parts.find_map(|part| part.strip_prefix(name)).ok_or(format!("its first message has no {name}"))
        };
        let (nonce, salt, iterations) = (part("r=")?, part("s=")?, part("i=")?);
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err("its nonce does not begin with ours".to_owned());
        }
        let salt = STANDARD.decode(salt).map_err(|_| "its salt is not base64")?;
        let count: u32 = iterations.parse().map_err(|_| "its iterations are no number")?;
        let count =
            std::num::NonZeroU32::new(count).filter(|count| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&count.get()));
        let count = count.ok_or_else(|| format!("it asks for {iterations} iterations"))?;
        let salted = self.hash.salted(password.expose(), &salt, count);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let stored_key = self.hash.digest(client_key.as_ref());
        // "biws" is the base64 form of "n,,": no channel binding.
        let final_bare = format!("c=biws,r={nonce}");
        let message = format!("{},{server_first},{final_bare}", self.first_bare);
        let signature = self.hash.hmac(stored_key.as_ref(), message.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server_key = self.hash.hmac(&salted, b"Server Key");
        self.server_signature = self.hash.hmac(server_key.as_ref(), message.as_bytes()).as_ref().to_vec();
        Ok(format!("{final_bare},p={}", STANDARD.encode(proof)).into_bytes())
    }

    /// Whether the broker knows the password too.
    pub fn verify(&self, server_final: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(server_final).map_err(|_| "its last message is no text")?;
        let signature = text.strip_prefix("v=").ok_or_else(|| format!("it said {text}"))?;
        let signature = STANDARD.decode(signature.trim_end()).map_err(|_| "its signature is not base64")?;
        if !self.server_signature.is_empty() && signature == self.server_signature {
            Ok(())
        } else {
            Err("it does not know the password itself".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange that RFC 7677 gives as its example.
    #[test]
    fn the_example_of_the_rfc() {
        let (mut own, first) = Exchange::begin(ScramHash::Sha256, "user", "rOprNGfwEbeRWgbNEkqO".to_owned());
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server_first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = own.prove(server_first, &Secret::new("pencil")).unwrap();
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(String::from_utf8(proof).unwrap(), expected);
        own.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        assert!(own.verify(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").is_err());
        assert!(own.verify(b"e=invalid-proof").is_err());
    }

    #[test]
    fn an_answer_that_cannot_be_trusted_is_refused() {
        let secret = Secret::new("p");
        for answer in [
            "r=other,s=QQ==,i=4096",
            "r=mine,s=QQ==,i=4096",
            "r=mine1,s=QQ==,i=1",
            "r=mine1,s=?,i=4096",
            "r=mine1,i=4096",
            "\u{0}",
        ] {
            let (mut own, _) = Exchange::begin(ScramHash::Sha512, "a=b,c", "mine".to_owned());
            assert!(own.prove(answer.as_bytes(), &secret).is_err(), "{answer}");
        }
        let (_, first) = Exchange::begin(ScramHash::Sha512, "a=b,c", "mine".to_owned());
        assert_eq!(first, b"n,,n=a=3Db=2Cc,r=mine");
    }
}
