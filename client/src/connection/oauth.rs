//! Tokens for OAUTHBEARER from where `sasl.oauthbearer.token.endpoint.url` points: a server that gives them for a
//! client's id and secret (RFC 6749, 4.4), or a file (Java: `ClientCredentialsJwtRetriever`, `FileJwtRetriever`).
//!
//! Set up by `config/security.rs`, asked by `sasl.rs` for each connection. A token is used again until its life is over;
//! when four fifths of it are (Java: `sasl.login.refresh.window.factor`), the next one is asked for beside the connections,
//! so that a server that is away for a while stops nobody (Java: `ExpiringCredentialRefreshingLogin`). What a server says
//! besides errors is never printed.
//!
//! Not done: assertions signed by the client (jwt-bearer), redirects, proxies.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use millstream_base_env::Clock;
use millstream_base_env::clock::Moment;
use millstream_base_env::{net, task};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::backoff;
use super::sasl::{Secret, Token, TokenError, TokenProvider};
use super::tls::{Tls, TlsOptions};
use crate::error::ClientError;

/// More than any token takes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Java: `HttpJwtRetriever.UNRETRYABLE_HTTP_CODES`.
const FOR_GOOD: [u16; 15] = [400, 401, 402, 403, 404, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415];
/// Of 501 and 505 likewise.
const NOT_SERVED: [u16; 2] = [501, 505];
/// A token that says it is good for longer is taken for this long.
const LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// A due token's successor is waited for this long, as it spares every broker a login by the old one.
const PATIENCE: Duration = Duration::from_secs(1);
/// The last of so many parts of a token's life is not made use of, nor more than [`RESERVE_MAX`].
const RESERVED: u32 = 20;
const RESERVE_MAX: Duration = Duration::from_secs(30);
/// Of its life, when the next one is asked for.
const REFRESHED_AT: f64 = 0.8;

/// Whether id, secret and scope are encoded as in an address (`sasl.oauthbearer.header.urlencode`).
///
/// ```
/// use client::connection::oauth::Encoding;
///
/// assert_ne!(Encoding::Plain, Encoding::Url);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Plain,
    /// As RFC 6749 has it.
    Url,
}

/// A server that gives tokens.
///
/// ```
/// use client::connection::oauth::{Credentials, Encoding, TokenEndpoint};
/// use client::connection::sasl::{Sasl, Secret};
///
/// let credentials = Credentials { id: "billing".to_owned(), secret: Secret::new("open sesame"), scope: None, encoding: Encoding::Plain };
/// let endpoint = TokenEndpoint::new("https://login.example/token", credentials, None)?;
/// assert_eq!(Sasl::OauthBearer(std::sync::Arc::new(endpoint)).mechanism(), "OAUTHBEARER");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone)]
pub struct TokenEndpoint {
    uri: Uri,
    authorization: String,
    body: String,
    tls: Option<Tls>,
    /// `sasl.login.connect.timeout.ms` and `sasl.login.read.timeout.ms` together.
    pub limit: Duration,
    /// `sasl.login.retry.backoff.ms`
    pub retry_backoff: Duration,
    /// `sasl.login.retry.backoff.max.ms`; no attempt begins later than this after the first (Java: `Retry`).
    pub retry_backoff_max: Duration,
    /// Sent to the broker beside each token.
    pub extensions: BTreeMap<String, String>,
    /// The last token.
    known: Arc<parking_lot::Mutex<Option<Kept>>>,
    /// When the next one did not come last, and why.
    failed: Arc<parking_lot::Mutex<Option<(Moment, TokenError)>>>,
    /// Held by who asks for the next one.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct Kept {
    text: Secret,
    /// From then on the next one is asked for.
    refresh_at: Moment,
    /// From then on it is shown to no broker: it would be over, or nearly, when it is read there, by its clock.
    good_until: Moment,
}

/// Who asks for tokens.
///
/// ```
/// use client::connection::oauth::{Credentials, Encoding};
/// use client::connection::sasl::Secret;
///
/// let own = Credentials { id: "billing".to_owned(), secret: Secret::new("open sesame"), scope: None, encoding: Encoding::Url };
/// assert!(!format!("{own:?}").contains("sesame"));
/// ```
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
    /// What it asks to be allowed.
    pub scope: Option<String>,
    /// How these are written.
    pub encoding: Encoding,
}

impl TokenEndpoint {
    /// The server at `url`, over HTTP or HTTPS; `tls` is whom to trust over HTTPS, what the web trusts for None.
    ///
    /// # Errors
    /// When it is no such address, or `tls` is given for one of HTTP.
    pub fn new(url: &str, credentials: Credentials, tls: Option<Tls>) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err(format!("{url} is no address of http or https"));
        }
        let tls = match (uri.scheme_str(), tls) {
            (Some("https"), Some(tls)) => Some(tls),
            (Some("https"), None) => Some(Tls::new(&TlsOptions::default()).map_err(|error| error.to_string())?),
            (_, Some(_)) => return Err(format!("{url} is no address of https, whose certificates would be trusted")),
            (_, None) => None,
        };
        let write = |text: &str| match credentials.encoding {
            Encoding::Plain => text.trim().to_owned(),
            Encoding::Url => encoded(text.trim()),
        };
        let pair = format!("{}:{}", write(&credentials.id), write(credentials.secret.expose()));
        let scope = credentials.scope.as_deref().map(write).filter(|scope| !scope.is_empty());
        let scope = scope.map_or_else(String::new, |scope| format!("&scope={scope}"));
        Ok(TokenEndpoint {
            uri,
            authorization: format!("Basic {}", STANDARD.encode(pair)),
            body: format!("grant_type=client_credentials{scope}"),
            tls,
            limit: Duration::from_secs(20),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(10),
            extensions: BTreeMap::new(),
            known: Arc::default(),
            failed: Arc::default(),
            turn: Arc::default(),
        })
    }

    fn address(&self) -> String {
        let port = self.uri.port_u16().unwrap_or(if self.uri.scheme_str() == Some("https") { 443 } else { 80 });
        format!("{}:{port}", self.uri.host().unwrap_or_default())
    }

    async fn get(&self) -> Result<String, TokenError> {
        let started = Moment::now();
        for failures in 1.. {
            let asked = tokio::time::timeout(self.limit, self.ask()).await;
            let late = || (format!("no answer within {} ms", self.limit.as_millis()), Again::MayDo);
            match asked.unwrap_or_else(|_| Err(late())) {
                Ok(token) => return Ok(token),
                Err((why, Again::MayDo)) if started.elapsed() < self.retry_backoff_max => {
                    tracing::debug!(url = %self.uri, why, "asking for a token again");
                    task::sleep(backoff(failures, self.retry_backoff, self.retry_backoff_max)).await;
                }
                Err((why, Again::MayDo)) => return Err(TokenError::Unreachable(format!("{}: {why}", self.uri))),
                Err((why, Again::Useless)) => return Err(TokenError::Refused(format!("{}: {why}", self.uri))),
            }
        }
        Err(TokenError::Unreachable("no attempt left".to_owned()))
    }

    /// The token that is good still, or the one after it when it is time for that and its server answers soon.
    async fn kept(&self) -> Option<Secret> {
        let now = Moment::now();
        let (text, is_due) = {
            let mut known = self.known.lock();
            let kept = known.as_mut().filter(|kept| now < kept.good_until)?;
            let is_due = now >= kept.refresh_at;
            if is_due {
                // Not for each connection.
                kept.refresh_at = now.after(self.retry_backoff_max.min(LIFE_MAX));
            }
            (kept.text.clone(), is_due)
        };
        if is_due {
            let own = self.clone();
            // It goes on when nobody waits for it any longer.
            let refresh = task::spawn("token refresh", async move {
                let _turn = own.turn.try_lock().ok()?;
                let renewed = own.renew().await;
                renewed
                    .inspect_err(
                        |error| tracing::warn!(%error, "no new token; the last one is used as long as it is good"),
                    )
                    .ok()
            });
            if let Ok(Ok(Some(next))) = tokio::time::timeout(PATIENCE, refresh).await {
                return Some(next);
            }
        }
        Some(text)
    }

    async fn renew(&self) -> Result<Secret, TokenError> {
        let text = self.get().await.inspect_err(|error| *self.failed.lock() = Some((Moment::now(), error.clone())))?;
        let text_of = Secret::new(&text);
        let (life, now) = (life_of(&text, Clock::Real.now_ms()), Moment::now());
        *self.known.lock() = life.map(|life| Kept {
            text: text_of.clone(),
            refresh_at: now.after(life.mul_f64(REFRESHED_AT)),
            good_until: now.after(life.saturating_sub((life / RESERVED).min(RESERVE_MAX))),
        });
        Ok(text_of)
    }

    /// A connection to the first of the server's addresses that takes one; each has its share of the time.
    async fn connect(&self, address: &str) -> Result<TcpStream, (String, Again)> {
        let resolved = tokio::net::lookup_host(address).await.map_err(|error| (error.to_string(), Again::MayDo))?;
        let resolved: Vec<_> = resolved.collect();
        let share = self.limit / u32::try_from(resolved.len().max(1)).unwrap_or(u32::MAX);
        let mut last = "the name has no address".to_owned();
        for at in resolved {
            match tokio::time::timeout(share, net::connect(at)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = format!("{at}: {error}"),
                Err(_) => last = format!("{at} does not answer"),
            }
        }
        Err((last, Again::MayDo))
    }

    async fn ask(&self) -> Result<String, (String, Again)> {
        let address = self.address();
        let stream = self.connect(&address).await?;
        let (status, body) = match &self.tls {
            Some(tls) => {
                let stream = tls.connect(stream, &address).await.map_err(|error| match error {
                    // No waiting makes a certificate trusted.
                    ClientError::Authentication { reason, .. } => (reason, Again::Useless),
                    other => (other.to_string(), Again::MayDo),
                })?;
                self.post(stream).await
            }
            None => self.post(stream).await,
        }
        .map_err(|why| (why, Again::MayDo))?;
        if status != StatusCode::OK && status != StatusCode::CREATED {
            let final_ = FOR_GOOD.contains(&status.as_u16()) || NOT_SERVED.contains(&status.as_u16());
            let reason = format!("{status} {}", said(&body));
            return Err((reason.trim_end().to_owned(), if final_ { Again::Useless } else { Again::MayDo }));
        }
        token_in(&body).map_err(|why| (why, Again::Useless))
    }

    async fn post(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) -> Result<(StatusCode, Bytes), String> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, self.uri.authority().map_or("", |authority| authority.as_str()))
            .header(header::ACCEPT, "application/json")
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::CONNECTION, "close")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(self.body.clone())))
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let asked = async move {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        // The connection's own failure shows in the answer's.
        tokio::join!(asked, connection).0
    }
}

impl TokenProvider for TokenEndpoint {
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>> {
        let extensions = self.extensions.clone();
        Box::pin(async {
            if let Some(text) = self.kept().await {
                return Ok(Token { text, extensions });
            }
            let came = Moment::now();
            let _turn = self.turn.lock().await;
            // While this connection waited for its turn the token may have come, or not come.
            if let Some((_, error)) = self.failed.lock().as_ref().filter(|(at, _)| *at >= came) {
                return Err(error.clone());
            }
            let known =
                self.known.lock().as_ref().filter(|kept| Moment::now() < kept.good_until).map(|kept| kept.text.clone());
            let text = match known {
                Some(text) => text,
                None => self.renew().await?,
            };
            Ok(Token { text, extensions })
        })
    }
}

/// A file with a token, read for each connection, as something else may write it anew.
///
/// ```
/// use client::connection::oauth::TokenFile;
///
/// let tokens = TokenFile { path: "/run/token.jwt".into(), extensions: Default::default() };
/// assert!(tokens.path.ends_with("token.jwt"));
/// ```
#[derive(Clone, Debug)]
pub struct TokenFile {
    /// Where it is.
    pub path: PathBuf,
    /// Sent to the broker beside each token.
    pub extensions: BTreeMap<String, String>,
}

impl TokenProvider for TokenFile {
    fn token(&self) -> BoxFuture<'_, Result<Token, TokenError>> {
        let refused = |error| TokenError::Refused(format!("{}: {error}", self.path.display()));
        let read = std::fs::read_to_string(&self.path).map_err(refused);
        let token = read.map(|text| Token { text: Secret::new(text.trim()), extensions: self.extensions.clone() });
        Box::pin(std::future::ready(token))
    }
}

/// Whether asking again may help.
enum Again {
    MayDo,
    Useless,
}

/// Java: `JwtResponseParser`.
fn token_in(body: &[u8]) -> Result<String, String> {
    let answer: Value = serde_json::from_slice(body).map_err(|error| format!("the answer is no JSON: {error}"))?;
    let token = ["access_token", "id_token"].iter().find_map(|name| answer.get(name)?.as_str());
    let token = token.map(str::trim).filter(|token| !token.is_empty());
    token.map(str::to_owned).ok_or_else(|| "the answer has no access_token".to_owned())
}

/// What an error says of itself (RFC 6749, 5.2).
fn said(body: &[u8]) -> String {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let part = |name: &str| answer.get(name).and_then(Value::as_str);
    let parts = [part("error").or(part("errorCode")), part("error_description").or(part("errorSummary"))];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" - ")
}

/// How long a token is good from now on, if it says so; never longer than a moment can be told.
fn life_of(token: &str, now_ms: i64) -> Option<Duration> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let until = serde_json::from_slice::<Value>(&claims).ok()?.get("exp")?.as_f64()?;
    let left = until - now_ms as f64 / 1000.0;
    (left >= 0.0).then(|| Duration::try_from_secs_f64(left).map_or(LIFE_MAX, |life| life.min(LIFE_MAX)))
}

/// As `java.net.URLEncoder` writes it.
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A token that is good until `until`, without a signature.
    fn jwt(until: i64) -> String {
        format!("e30.{}.", URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{until}}}")))
    }

    /// A server that answers each request with the next of `answers`; what was asked comes back.
    async fn server(answers: Vec<(&'static str, String)>) -> (String, Arc<parking_lot::Mutex<Vec<String>>>) {
        let listener = net::listen(([127, 0, 0, 1], 0).into()).expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let heard = asked.clone();
        task::spawn("token server", async move {
            for (status, body) in answers {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let mut request = Vec::new();
                while !String::from_utf8_lossy(&request).contains("grant_type=client_credentials&scope=a+b") {
                    let mut bytes = [0; 4096];
                    let count = stream.read(&mut bytes).await.expect("a request");
                    assert!(count > 0, "cut short: {request:?}");
                    request.extend_from_slice(&bytes[..count]);
                }
                heard.lock().push(String::from_utf8(request).expect("text"));
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(answer.as_bytes()).await.expect("written");
            }
        });
        (format!("http://{address}/token?x=1"), asked)
    }

    fn endpoint(url: &str) -> TokenEndpoint {
        let (id, secret) = ("bill:ing".to_owned(), Secret::new("p w"));
        let credentials = Credentials { id, secret, scope: Some("a b".to_owned()), encoding: Encoding::Url };
        let mut endpoint = TokenEndpoint::new(url, credentials, None).expect("an address");
        endpoint.retry_backoff = Duration::from_millis(1);
        endpoint
    }

    #[tokio::test]
    async fn a_token_is_asked_for_again_after_trouble_and_kept_while_it_is_good() {
        let good = jwt(Clock::Real.now_ms() / 1000 + 3600);
        let answers = vec![("503 Busy", String::new()), ("200 OK", format!("{{\"access_token\":\"{good}\"}}"))];
        let (url, asked) = server(answers).await;
        let endpoint = endpoint(&url);
        for _ in 0..2 {
            assert_eq!(endpoint.token().await.expect("a token").text.expose(), good);
        }
        let asked = asked.lock();
        assert_eq!(asked.len(), 2, "the second token is the first");
        let request = asked[1].to_lowercase();
        // base64 of bill%3Aing:p+w
        assert!(asked[1].contains("Basic YmlsbCUzQWluZzpwK3c="), "{}", asked[1]);
        assert!(request.starts_with("post /token?x=1 http/1.1") && request.contains("host: 127.0.0.1:"), "{request}");
    }

    #[tokio::test]
    async fn what_is_refused_for_good_is_not_asked_for_again() {
        let refusal = "{\"error\":\"invalid_client\",\"error_description\":\"unknown\"}".to_owned();
        let (url, asked) = server(vec![("401 Unauthorized", refusal)]).await;
        let error = endpoint(&url).token().await.expect_err("refused");
        assert_eq!(error, TokenError::Refused(format!("{url}: 401 Unauthorized invalid_client - unknown")));
        assert_eq!(asked.lock().len(), 1);
        let (url, _) = server(vec![("200 OK", "{}".to_owned())]).await;
        let nothing = endpoint(&url).token().await.expect_err("nothing");
        assert!(
            matches!(&nothing, TokenError::Refused(why) if why.ends_with("the answer has no access_token")),
            "{nothing}"
        );
        let credentials =
            Credentials { id: String::new(), secret: Secret::new(""), scope: None, encoding: Encoding::Plain };
        assert!(TokenEndpoint::new("ftp://h/", credentials, None).is_err());
    }

    #[test]
    fn the_life_of_a_token_is_what_it_says() {
        assert_eq!(life_of(&jwt(100), 40_000), Some(Duration::from_secs(60)));
        assert_eq!((life_of(&jwt(10), 40_000), life_of("opaque", 0)), (None, None));
        let endless = format!("e30.{}.", URL_SAFE_NO_PAD.encode("{\"exp\":1.0e300}"));
        for token in [endless, jwt(i64::MAX)] {
            let life = life_of(&token, 0).expect("it says one");
            assert!(
                Moment::now().after(life.mul_f64(REFRESHED_AT)) < Moment::now().after(life),
                "told without a panic"
            );
        }
    }

    #[tokio::test]
    async fn nothing_is_said_in_the_clear_to_an_address_of_https() {
        let listener = net::listen(([127, 0, 0, 1], 0).into()).expect("a port");
        let url = format!("https://{}/token", listener.local_addr().expect("an address"));
        let mut endpoint = endpoint(&url);
        endpoint.retry_backoff_max = Duration::ZERO;
        let first = async {
            let (mut stream, _) = listener.accept().await.expect("it connects");
            let mut said = vec![0; 4096];
            let count = stream.read(&mut said).await.expect("it speaks");
            said.truncate(count);
            said
        };
        let (said, token) = tokio::join!(first, endpoint.token());
        assert_eq!(said.first(), Some(&0x16), "a handshake of TLS");
        assert!(!String::from_utf8_lossy(&said).contains("Basic"));
        assert!(token.is_err());
    }

    #[test]
    fn whom_to_trust_is_nothing_to_an_address_of_http() {
        let credentials =
            Credentials { id: String::new(), secret: Secret::new(""), scope: None, encoding: Encoding::Plain };
        let tls = Tls::new(&TlsOptions::default()).expect("TLS");
        assert!(TokenEndpoint::new("http://h/", credentials, Some(tls)).is_err());
    }

    #[tokio::test]
    async fn the_last_token_is_used_while_the_server_is_away_and_it_is_good() {
        let nobody = {
            let listener = net::listen(([127, 0, 0, 1], 0).into()).expect("a port");
            format!("http://{}/", listener.local_addr().expect("an address"))
        };
        let mut endpoint = endpoint(&nobody);
        endpoint.retry_backoff_max = Duration::ZERO;
        let now = Moment::now();
        let kept = |good_until| Kept { text: Secret::new("old"), refresh_at: now, good_until };
        *endpoint.known.lock() = Some(kept(now.after(Duration::from_secs(3600))));
        for _ in 0..3 {
            assert_eq!(endpoint.token().await.expect("it is good").text.expose(), "old");
        }
        *endpoint.known.lock() = Some(kept(now));
        let error = endpoint.token().await.expect_err("its life is over");
        assert!(matches!(error, TokenError::Unreachable(_)), "{error}");
    }

    #[tokio::test]
    async fn the_next_token_is_shown_as_soon_as_it_is_time_for_it() {
        let good = jwt(Clock::Real.now_ms() / 1000 + 3600);
        let (url, asked) = server(vec![("200 OK", format!("{{\"access_token\":\"{good}\"}}"))]).await;
        let endpoint = endpoint(&url);
        let now = Moment::now();
        let kept = Kept { text: Secret::new("old"), refresh_at: now, good_until: now.after(Duration::from_secs(3600)) };
        *endpoint.known.lock() = Some(kept);
        let next = async {
            while endpoint.token().await.expect("a token").text.expose() == "old" {
                task::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), next).await.expect("it comes");
        assert_eq!(asked.lock().len(), 1);
    }

    #[tokio::test]
    async fn a_file_is_read_each_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = TokenFile { path: folder.path().join("t"), extensions: BTreeMap::new() };
        assert!(tokens.token().await.is_err());
        std::fs::write(&tokens.path, "one\n").expect("written");
        assert_eq!(tokens.token().await.expect("a token").text.expose(), "one");
    }
}
