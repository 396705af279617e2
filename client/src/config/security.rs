//! Who is trusted and who this client is: the keys of `security.protocol`, `ssl.` and `sasl.`.
//!
//! The part of `config.rs` that reads stores and says where tokens come from. Never connects to anything.

use std::sync::Arc;

use super::{Security, Settings};
use crate::connection::oauth::{Credentials, Encoding, TokenEndpoint, TokenFile};
use crate::connection::sasl::{Sasl, Secret, TokenProvider};
use crate::connection::store::{self, Passwords, Store, Use};
use crate::connection::tls::{EndpointIdentification, Tls, TlsOptions};
use crate::error::ClientError;

impl Settings {
    pub(super) fn security(&self) -> Result<Security, ClientError> {
        let protocol = self.text("security.protocol").unwrap_or_else(|| "PLAINTEXT".to_owned());
        let (tls, sasl) = match protocol.as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            other => {
                return Err(ClientError::Config(format!("Invalid value {other} for configuration security.protocol")));
            }
        };
        let mechanism = self.text("sasl.mechanism").unwrap_or_default();
        let jaas = self.secret("sasl.jaas.config");
        let by_token = |url: &String| self.tokens(url, jaas.as_deref()).map(Sasl::OauthBearer);
        let own = || match self.set.get("sasl.oauthbearer.token.endpoint.url") {
            Some(url) if mechanism == "OAUTHBEARER" => by_token(url),
            _ => Sasl::from_jaas(&mechanism, jaas.as_deref()),
        };
        Ok(Security {
            tls: tls.then(|| tls_by(|key| self.secret(key))).transpose()?,
            sasl: sasl.then(own).transpose()?,
        })
    }

    /// Where tokens come from (Java: `DefaultJwtRetriever`); what the keys do not say may stand in `sasl.jaas.config`.
    fn tokens(&self, url: &str, jaas: Option<&str>) -> Result<Arc<dyn TokenProvider>, ClientError> {
        let options = jaas.map(Sasl::options).transpose()?.unwrap_or_default();
        let extension =
            |(name, value): (&String, &String)| Some((name.strip_prefix("extension_")?.to_owned(), value.clone()));
        let extensions = options.iter().filter_map(extension).collect();
        if let Some(path) = url.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path).into();
            return Ok(Arc::new(TokenFile { path, extensions }));
        }
        let either = |key: &str, option: &str| self.secret(key).or_else(|| options.get(option).cloned());
        let needed = |key: &str, option: &str| {
            let found = either(key, option).filter(|text| !text.trim().is_empty());
            found.ok_or_else(|| ClientError::Config(format!("{key} is not set, which OAUTHBEARER needs")))
        };
        let url_encoded = self.is_on("sasl.oauthbearer.header.urlencode");
        let credentials = Credentials {
            id: needed("sasl.oauthbearer.client.credentials.client.id", "clientId")?,
            secret: Secret::new(&needed("sasl.oauthbearer.client.credentials.client.secret", "clientSecret")?),
            scope: either("sasl.oauthbearer.scope", "scope"),
            encoding: if url_encoded { Encoding::Url } else { Encoding::Plain },
        };
        // Whom brokers are signed by says nothing of a server of tokens, nor is it shown who this client is to brokers
        // (Java: `JaasOptionsUtils.getSslClientConfig`).
        let is_https = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        let tls = is_https.then(|| tls_by(|key| options.get(key).cloned())).transpose();
        let refused = |why: String| ClientError::Config(format!("sasl.oauthbearer.token.endpoint.url: {why}"));
        let tls = tls.map_err(|error| refused(error.to_string()))?;
        let mut endpoint = TokenEndpoint::new(url, credentials, tls).map_err(refused)?;
        let limits = ["sasl.login.connect.timeout.ms", "sasl.login.read.timeout.ms"].map(|key| self.ms(key));
        // Without either a request may take as long as any other.
        endpoint.limit =
            Some(limits[0] + limits[1]).filter(|limit| !limit.is_zero()).unwrap_or(self.ms("request.timeout.ms"));
        endpoint.retry_backoff = self.ms("sasl.login.retry.backoff.ms");
        endpoint.retry_backoff_max = self.ms("sasl.login.retry.backoff.max.ms");
        endpoint.extensions = extensions;
        Ok(Arc::new(endpoint))
    }
}

/// TLS by the keys that `set` knows.
fn tls_by(set: impl Fn(&str) -> Option<String>) -> Result<Tls, ClientError> {
    let key_password = set("ssl.key.password");
    let opened =
        |location: &str, kind: &str, password: &str, used: Use| -> Result<Option<(String, Store)>, ClientError> {
            let Some(path) = set(location) else { return Ok(None) };
            let what = format!("{location}: {path}");
            let refused = |why: String| ClientError::Config(format!("{what}: {why}"));
            let read = std::fs::read(&path).map_err(|error| refused(error.to_string()))?;
            let password = set(password);
            let passwords = Passwords { store: password.as_deref(), key: key_password.as_deref() };
            let store = store::open(set(kind).as_deref(), read, passwords, used).map_err(refused)?;
            Ok(Some((what, store)))
        };
    let inline = |key: &str| set(key).map(String::into_bytes);
    let refused = |what: String| move |why: String| ClientError::Config(format!("{what}: {why}"));
    let (chain, key) = match opened("ssl.keystore.location", "ssl.keystore.type", "ssl.keystore.password", Use::Own)? {
        Some((what, store)) => {
            store.own(key_password.as_deref()).map(|(chain, key)| (Some(chain), Some(key))).map_err(refused(what))?
        }
        None => {
            let key = inline("ssl.keystore.key").map(|key| store::opened_key(key, key_password.as_deref())).transpose();
            (inline("ssl.keystore.certificate.chain"), key.map_err(refused("ssl.keystore.key".to_owned()))?)
        }
    };
    let trusted = match opened("ssl.truststore.location", "ssl.truststore.type", "ssl.truststore.password", Use::Trust)?
    {
        Some((what, store)) => Some(store.trusted().map_err(refused(what))?),
        None => inline("ssl.truststore.certificates"),
    };
    let off = set("ssl.endpoint.identification.algorithm").is_some_and(|name| name.is_empty());
    Tls::new(&TlsOptions {
        trusted,
        chain,
        key,
        identification: if off { EndpointIdentification::Off } else { EndpointIdentification::Https },
    })
}
