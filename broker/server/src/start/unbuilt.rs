//! Refuses what a configuration may ask for and this broker does not do, where doing something else in silence would
//! be worse: clear text for TLS, everybody for the few, a cluster of its own for a part of another.
//!
//! Called first by the node's start. Pure.
//!
//! Not done: TLS, SASL and authorizers; a broker that joins controllers on other nodes, a controller without a broker.

use millstream_base_config::BrokerConfig;
use millstream_base_config::listener::{Listener, SecurityProtocol};

/// What `config` asks for and is not there, in one line.
pub(super) fn asked_for(config: &BrokerConfig) -> Option<String> {
    let listeners = config.listeners.iter().chain(&config.controller_listeners);
    let secured = listeners.filter(|listener| listener.protocol != SecurityProtocol::Plaintext).map(unspoken).next();
    secured.or_else(|| authorizer(config)).or_else(|| other_nodes(config))
}

fn unspoken(listener: &Listener) -> String {
    let protocol = match listener.protocol {
        SecurityProtocol::Plaintext => "PLAINTEXT",
        SecurityProtocol::Ssl => "SSL",
        SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
        SecurityProtocol::SaslSsl => "SASL_SSL",
    };
    format!(
        "listener {}: {protocol} is not there yet; map it to PLAINTEXT in listener.security.protocol.map or leave it out of listeners",
        listener.name
    )
}

fn authorizer(config: &BrokerConfig) -> Option<String> {
    let class = config.text("authorizer.class.name").filter(|class| !class.trim().is_empty())?;
    Some(format!(
        "authorizer.class.name={class}: authorization is not there yet; leave the key out to let every client do everything"
    ))
}

fn other_nodes(config: &BrokerConfig) -> Option<String> {
    let roles = config.list("process.roles");
    if !roles.is_empty() && !["broker", "controller"].iter().all(|role| roles.iter().any(|one| one == role)) {
        return Some(format!(
            "process.roles={}: a node of several is not there yet; set process.roles=broker,controller to run a cluster of this one node",
            roles.join(",")
        ));
    }
    let voters = config.list("controller.quorum.voters");
    let is_other =
        |voter: &&String| voter.split('@').next().and_then(|id| id.trim().parse().ok()) != Some(config.node_id);
    if let Some(other) = voters.iter().find(is_other) {
        return Some(format!(
            "controller.quorum.voters names {other}, which is not this node ({}): a quorum of several is not there yet; name this node alone",
            config.node_id
        ));
    }
    let servers = config.list("controller.quorum.bootstrap.servers");
    if servers.len() > 1 {
        return Some(format!(
            "controller.quorum.bootstrap.servers names {} controllers: a quorum of several is not there yet; name this node alone",
            servers.len()
        ));
    }
    None
}
