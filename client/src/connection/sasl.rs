//! Who this client is: SASL PLAIN, SCRAM and OAUTHBEARER, and the line of `sasl.jaas.config` that says so.
//!
//! Called by `connection.rs` once the versions are known: SaslHandshake names the mechanism, SaslAuthenticate carries its
//! messages (KIP-152). Secrets are never printed.
//!
//! Not done: GSSAPI; delegation tokens (tokenauth); OAUTHBEARER's jwt-bearer grant, for which a program gives a
//! [`TokenProvider`] of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use millstream_base_env::Clock;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest, StrBytes};
use thiserror::Error;

use super::Connection;
use super::scram::{Exchange, ScramHash};
use crate::error::{ClientError, check};

/// SaslHandshake 1 has the messages carried by SaslAuthenticate; 0 had them go bare.
const HANDSHAKE: i16 = 1;

/// A text that is not printed.
///
/// ```
/// use client::connection::sasl::Secret;
///
/// assert_eq!(format!("{:?}", Secret::new("open sesame")), "[hidden]");
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text`.
    pub fn new(text: &str) -> Self {
        Secret(text.to_owned())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A token for OAUTHBEARER.
///
/// ```
/// use client::connection::sasl::{Secret, Token};
///
/// let token = Token { text: Secret::new("eyJhbGciOi..."), extensions: [("tenant".to_owned(), "7".to_owned())].into() };
/// assert!(!format!("{token:?}").contains("eyJ"));
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// As it goes to the broker.
    pub text: Secret,
    /// Extensions beside it (KIP-342).
    pub extensions: BTreeMap<String, String>,
}

/// Why there is no token.
///
/// ```
/// use client::connection::sasl::TokenError;
///
/// let error = TokenError::from("no such client".to_owned());
/// assert_eq!(error, TokenError::Refused("no such client".to_owned()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// Asking again changes nothing.
    #[error("{0}")]
    Refused(String),
    /// Whoever gives them is away or busy: the connection is tried again.
    #[error("{0}")]
    Unreachable(String),
}

impl From<String> for TokenError {
    fn from(why: String) -> Self {
        TokenError::Refused(why)
    }
}

/// Gets tokens for OAUTHBEARER; asked for each connection.
///
/// ```
/// use client::connection::sasl::{Secret, Token, TokenError, TokenProvider};
/// use futures_util::future::BoxFuture;
///
/// struct File(std::path::PathBuf);
///
/// impl TokenProvider for File {
///     fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>> {
///         let read = std::fs::read_to_string(&self.0).map_err(|error| error.to_string());
///         Box::pin(async { Ok(Token { text: Secret::new(read?.trim()), extensions: Default::default() }) })
///     }
/// }
/// ```
pub trait TokenProvider: Send + Sync {
    /// A token that is valid now.
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>>;
}

/// Tokens without a signature, for trying out (Java: `OAuthBearerUnsecuredLoginCallbackHandler`).
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use client::connection::sasl::{Sasl, UnsecuredTokens};
///
/// let lifetime = Duration::from_secs(600);
/// let tokens = UnsecuredTokens { subject: "alice".to_owned(), lifetime, extensions: Default::default() };
/// assert_eq!(Sasl::OauthBearer(Arc::new(tokens)).mechanism(), "OAUTHBEARER");
/// ```
#[derive(Clone, Debug)]
pub struct UnsecuredTokens {
    /// Whose they are: the claim "sub".
    pub subject: String,
    /// How long each is valid.
    pub lifetime: Duration,
    /// Extensions beside them.
    pub extensions: BTreeMap<String, String>,
}

impl TokenProvider for UnsecuredTokens {
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>> {
        let now = Clock::Real.now_ms() / 1000;
        let until = now.saturating_add(i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX));
        let subject: String = self.subject.chars().flat_map(char::escape_default).collect();
        let claims = format!("{{\"sub\":\"{subject}\",\"iat\":{now},\"exp\":{until}}}");
        let text = format!("{}.{}.", URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}"), URL_SAFE_NO_PAD.encode(claims));
        let token = Token { text: Secret(text), extensions: self.extensions.clone() };
        Box::pin(std::future::ready(Ok(token)))
    }
}

/// How this client shows who it is.
///
/// ```
/// use client::connection::sasl::{Sasl, Secret};
///
/// let alice = Sasl::Plain { user: "alice".to_owned(), password: Secret::new("open sesame") };
/// assert_eq!(alice.mechanism(), "PLAIN");
/// let line = r#"org.example.Module required username="alice" password="open sesame";"#;
/// assert_eq!(Sasl::from_jaas("SCRAM-SHA-512", Some(line))?.mechanism(), "SCRAM-SHA-512");
/// # Ok::<(), client::error::ClientError>(())
/// ```
#[derive(Clone)]
pub enum Sasl {
    /// By name and password as they are; only for connections under TLS.
    Plain {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// By a proof of knowing the password.
    Scram {
        /// With this hash.
        hash: ScramHash,
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// By a token.
    OauthBearer(Arc<dyn TokenProvider>),
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mechanism())
    }
}

impl Sasl {
    /// The mechanism's name.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Sasl::Plain { .. } => "PLAIN",
            Sasl::Scram { hash, .. } => hash.mechanism(),
            Sasl::OauthBearer(_) => "OAUTHBEARER",
        }
    }

    /// The options of a line of `sasl.jaas.config`.
    ///
    /// # Errors
    /// When it is no such line.
    pub(crate) fn options(jaas: &str) -> Result<BTreeMap<String, String>, ClientError> {
        jaas_options(jaas).map_err(|why| ClientError::Config(format!("sasl.jaas.config: {why}")))
    }

    /// From `sasl.mechanism` and `sasl.jaas.config`.
    ///
    /// # Errors
    /// When the mechanism is not spoken, or the line does not say what it needs.
    pub fn from_jaas(mechanism: &str, jaas: Option<&str>) -> Result<Self, ClientError> {
        let refuse = |what: String| ClientError::Config(what);
        let jaas = jaas.ok_or_else(|| refuse(format!("sasl.jaas.config is not set, which {mechanism} needs")))?;
        let mut options = Self::options(jaas)?;
        let mut take = |name: &str| {
            let found = options.remove(name);
            found.ok_or_else(|| refuse(format!("sasl.jaas.config: {mechanism} needs {name}")))
        };
        Ok(match mechanism {
            "PLAIN" => Sasl::Plain { user: take("username")?, password: Secret(take("password")?) },
            "SCRAM-SHA-256" | "SCRAM-SHA-512" => {
                let hash = if mechanism == "SCRAM-SHA-256" { ScramHash::Sha256 } else { ScramHash::Sha512 };
                Sasl::Scram { hash, user: take("username")?, password: Secret(take("password")?) }
            }
            "OAUTHBEARER" => {
                let subject = take("unsecuredLoginStringClaim_sub")?;
                let seconds =
                    options.get("unsecuredLoginLifetimeSeconds").and_then(|text| text.parse().ok()).unwrap_or(3600);
                let extension = |(name, value): (String, String)| {
                    Some((name.strip_prefix("unsecuredLoginExtension_")?.to_owned(), value))
                };
                let extensions = options.into_iter().filter_map(extension).collect();
                let lifetime = Duration::from_secs(seconds);
                Sasl::OauthBearer(Arc::new(UnsecuredTokens { subject, lifetime, extensions }))
            }
            other => return Err(refuse(format!("sasl.mechanism={other} is not spoken"))),
        })
    }

    /// Shows who this client is over a connection on which nothing else was said; how long that holds, where the broker
    /// bounds it (KIP-368).
    pub(super) async fn authenticate(&self, connection: &Connection) -> Result<Option<Duration>, ClientError> {
        let refused = |reason: String| ClientError::Authentication { address: connection.address().to_owned(), reason };
        let hello = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(self.mechanism()));
        let answer = connection.call_at_most(HANDSHAKE, &hello).await?;
        if answer.error_code != 0 {
            let offered: Vec<&str> = answer.mechanisms.iter().map(|name| &**name).collect();
            return Err(refused(format!("it does not take {} but {}", self.mechanism(), offered.join(", "))));
        }
        let (_, lifetime) = match self {
            Sasl::Plain { user, password } => {
                send(connection, format!("\0{user}\0{}", password.expose()).into_bytes()).await?
            }
            Sasl::Scram { hash, user, password } => {
                let nonce = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
                let (mut exchange, first) = Exchange::begin(*hash, user, nonce);
                let (said, _) = send(connection, first).await?;
                let proof = exchange.prove(&said, password).map_err(&refused)?;
                let (said, lifetime) = send(connection, proof).await?;
                exchange.verify(&said).map_err(&refused)?;
                (said, lifetime)
            }
            Sasl::OauthBearer(provider) => {
                let token = provider.token().await.map_err(|error| without_token(connection.address(), &error))?;
                let (said, lifetime) = send(connection, bearer(&token)).await?;
                if !said.is_empty() {
                    // RFC 7628: what is wrong comes as JSON; the broker says no once it is acknowledged.
                    send(connection, vec![1]).await?;
                    return Err(refused(String::from_utf8_lossy(&said).into_owned()));
                }
                (said, lifetime)
            }
        };
        Ok(u64::try_from(lifetime).ok().filter(|ms| *ms > 0).map(Duration::from_millis))
    }
}

/// What a connection without a token ends with: who gives tokens may be there again later.
fn without_token(address: &str, error: &TokenError) -> ClientError {
    let (address, reason) = (address.to_owned(), format!("no token: {error}"));
    match error {
        TokenError::Refused(_) => ClientError::Authentication { address, reason },
        TokenError::Unreachable(_) => ClientError::Connect { address, source: Arc::new(std::io::Error::other(reason)) },
    }
}

/// RFC 7628's first message.
fn bearer(token: &Token) -> Vec<u8> {
    let mut message = format!("n,,\u{1}auth=Bearer {}\u{1}", token.text.expose());
    for (name, value) in &token.extensions {
        message.push_str(&format!("{name}={value}\u{1}"));
    }
    message.push('\u{1}');
    message.into_bytes()
}

async fn send(connection: &Connection, message: Vec<u8>) -> Result<(Bytes, i64), ClientError> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message));
    let answer = connection.call(&request).await?;
    match check(answer.error_code, answer.error_message.as_deref()) {
        Ok(()) => Ok((answer.auth_bytes, answer.session_lifetime_ms)),
        Err(error) if error.code() == Some(ErrorCode::SaslAuthenticationFailed) => {
            Err(ClientError::Authentication { address: connection.address().to_owned(), reason: error.to_string() })
        }
        Err(error) => Err(error.at(connection.address())),
    }
}

/// The options of the one login module that a line names: `Module flag name="value" ... ;`
fn jaas_options(line: &str) -> Result<BTreeMap<String, String>, String> {
    let mut rest = line.trim();
    let module = rest.split_once(char::is_whitespace).map(|(module, after)| {
        rest = after.trim_start();
        module
    });
    // A module without options has the semicolon behind its flag.
    let flag = match rest.find(|letter: char| letter.is_whitespace() || letter == ';') {
        Some(end) => {
            let (flag, after) = rest.split_at(end);
            rest = after;
            flag
        }
        None => "",
    };
    if module.is_none() || flag.is_empty() {
        return Err("no module and flag".to_owned());
    }
    if !["required", "requisite", "sufficient", "optional"].iter().any(|known| flag.eq_ignore_ascii_case(known)) {
        return Err(format!("{flag} is no flag"));
    }
    let mut options = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(';') {
            return if after.trim().is_empty() { Ok(options) } else { Err("more than one module".to_owned()) };
        }
        let (name, after) = rest.split_once('=').ok_or("it does not end with a semicolon")?;
        let (value, after) =
            jaas_value(after.trim_start()).ok_or_else(|| format!("the value of {} does not end", name.trim()))?;
        options.insert(name.trim().to_owned(), value);
        rest = after;
    }
}

/// A value in quotes, where a backslash takes the next letter as it is, or a bare word.
fn jaas_value(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|first| *first == '"' || *first == '\'');
    let Some(quote) = quote else {
        let end = text.find(|letter: char| letter.is_whitespace() || letter == ';')?;
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => {
                value.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            _ if letter == quote => return Some((value, &text[at + 1..])),
            _ => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jaas_line_is_read_as_java_reads_it() {
        let line =
            r#"org.apache.kafka.common.security.plain.PlainLoginModule required username="al ice" password='p"\\w;';"#;
        let options = jaas_options(line).unwrap();
        assert_eq!((options["username"].as_str(), options["password"].as_str()), ("al ice", "p\"\\w;"));
        assert!(jaas_options("Module required;").unwrap().is_empty());
        for line in [
            "",
            "Module",
            "Module required",
            "Module ;",
            "M required a=\"b\"",
            "M required a=\"b;",
            "M perhaps a=b;",
            "M required a=b; N required;",
        ] {
            assert!(jaas_options(line).is_err(), "{line}");
        }
        let sasl = Sasl::from_jaas("SCRAM-SHA-512", Some("M required username=u password=p;")).unwrap();
        assert_eq!((sasl.mechanism(), format!("{sasl:?}")), ("SCRAM-SHA-512", "SCRAM-SHA-512".to_owned()));
        assert!(Sasl::from_jaas("GSSAPI", Some("M required;")).is_err());
        let error = Sasl::from_jaas("PLAIN", Some("M required username=u;")).unwrap_err();
        assert_eq!(error.to_string(), "sasl.jaas.config: PLAIN needs password");
    }

    #[test]
    fn who_gives_no_token_now_is_asked_again() {
        let away = without_token("h:1", &TokenError::Unreachable("away".to_owned()));
        assert!(away.is_retriable() && away.to_string().ends_with("h:1: no token: away"), "{away}");
        let refused = without_token("h:1", &TokenError::Refused("unknown".to_owned()));
        assert!(!refused.is_retriable() && matches!(refused, ClientError::Authentication { .. }));
    }

    #[test]
    fn a_token_carries_its_subject_and_extensions() {
        let extensions = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        let tokens = UnsecuredTokens { subject: "alice".to_owned(), lifetime: Duration::from_secs(60), extensions };
        let token = futures_util::FutureExt::now_or_never(tokens.token()).unwrap().unwrap();
        let claims = token.text.expose().split('.').nth(1).unwrap();
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        assert!(claims.starts_with("{\"sub\":\"alice\",\"iat\":"), "{claims}");
        let message = String::from_utf8(bearer(&token)).unwrap();
        assert!(message.starts_with("n,,\u{1}auth=Bearer ") && message.ends_with("\u{1}team=a\u{1}\u{1}"));
        assert_eq!(format!("{token:?}").matches("hidden").count(), 1);
    }
}
