//! Addresses to listen on and to advertise: `NAME://host:port`, IPv6 hosts in brackets.

use std::collections::BTreeMap;

use crate::parse::ConfigError;

/// One address under a listener's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Name, in capitals.
    pub name: String,
    /// Host without brackets; empty for every interface.
    pub host: String,
    /// Port; 0 takes any free one.
    pub port: u16,
    /// What is spoken on it.
    pub protocol: SecurityProtocol,
}

/// What is spoken on a listener (Java: `SecurityProtocol`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum SecurityProtocol {
    /// No TLS, no authentication.
    Plaintext = 0,
    /// TLS.
    Ssl = 1,
    /// SASL without TLS.
    SaslPlaintext = 2,
    /// SASL over TLS.
    SaslSsl = 3,
}

impl SecurityProtocol {
    /// By its name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => SecurityProtocol::Plaintext,
            "SSL" => SecurityProtocol::Ssl,
            "SASL_PLAINTEXT" => SecurityProtocol::SaslPlaintext,
            "SASL_SSL" => SecurityProtocol::SaslSsl,
            _ => return None,
        })
    }
}

/// Parses `listener.security.protocol.map`.
pub fn parse_protocols(text: &str) -> Result<BTreeMap<String, SecurityProtocol>, ConfigError> {
    let mut map = BTreeMap::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let pair =
            item.split_once(':').and_then(|(name, protocol)| Some((name, SecurityProtocol::parse(protocol.trim())?)));
        let Some((name, protocol)) = pair else {
            return Err(ConfigError::Inconsistent(format!(
                "listener.security.protocol.map: \"{item}\" is not NAME:PROTOCOL with one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
            )));
        };
        map.insert(name.trim().to_ascii_uppercase(), protocol);
    }
    Ok(map)
}

/// Parses `listeners` or `advertised.listeners`; `key` is for messages.
pub fn parse_listeners(
    key: &str,
    text: &str,
    protocols: &BTreeMap<String, SecurityProtocol>,
) -> Result<Vec<Listener>, ConfigError> {
    let mut listeners: Vec<Listener> = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let refuse = |reason: String| ConfigError::Inconsistent(format!("{key}: \"{item}\" {reason}"));
        let (name, address) = item.split_once("://").ok_or_else(|| refuse("is not NAME://host:port".to_owned()))?;
        let (host, port) = address.rsplit_once(':').ok_or_else(|| refuse("has no port".to_owned()))?;
        let port = port.parse().map_err(|_| refuse(format!("has a port that is no number up to 65535: {port}")))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = name.to_ascii_uppercase();
        let protocol = *protocols
            .get(&name)
            .ok_or_else(|| refuse(format!("names {name}, which listener.security.protocol.map does not have")))?;
        if listeners.iter().any(|other| other.name == name) {
            return Err(refuse(format!("uses the name {name} a second time; each listener needs a name of its own")));
        }
        listeners.push(Listener { name, host: host.to_owned(), port, protocol });
    }
    if listeners.is_empty() {
        return Err(ConfigError::Inconsistent(format!("{key} names no listener; give at least PLAINTEXT://:9092")));
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families() {
        let map = parse_protocols("PLAINTEXT:PLAINTEXT, INNER:PLAINTEXT").expect("legal");
        let found = parse_listeners("listeners", "PLAINTEXT://:9092,inner://[::1]:0", &map).expect("legal");
        assert_eq!((found[0].host.as_str(), found[0].port), ("", 9092));
        assert_eq!((found[1].name.as_str(), found[1].host.as_str(), found[1].port), ("INNER", "::1", 0));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let map = parse_protocols("PLAINTEXT:PLAINTEXT").expect("legal");
        for (text, part) in [
            ("PLAINTEXT:9092", "is not NAME://host:port"),
            ("PLAINTEXT://host", "port"),
            ("PLAINTEXT://host:99999", "no number up to 65535"),
            ("OTHER://host:1", "listener.security.protocol.map does not have"),
            ("PLAINTEXT://a:1,PLAINTEXT://b:2", "a second time"),
            ("", "names no listener"),
        ] {
            let error = parse_listeners("listeners", text, &map).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
