//! What AlterConfigs and IncrementalAlterConfigs share: the checks that a broker makes before it asks the
//! controller (Java: `ConfigAdminManager.preprocess`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use millstream_base_config::dynamic::{self, Scope};
use millstream_base_config::resolve::Layers;
use millstream_broker_controller::{ConfigResourceType, Image, Refusal};
use millstream_protocol::error_code::ErrorCode;

use crate::node::Node;

/// What is set for a resource.
pub type Set = BTreeMap<String, String>;

/// INVALID_REQUEST with a message.
pub fn invalid_request(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, message)
}

/// INVALID_CONFIG with a message.
pub fn invalid_config(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::InvalidConfig, message)
}

/// Refuses every resource that a request names more than once.
pub fn refuse_repeated<K: Eq + Hash>(resources: &[K]) -> Vec<Result<(), Refusal>> {
    let mut times: HashMap<&K, usize> = HashMap::new();
    for one in resources {
        *times.entry(one).or_default() += 1;
    }
    let check = |one: &K| {
        if times[one] == 1 { Ok(()) } else { Err(invalid_request("Each resource must appear at most once.")) }
    };
    resources.iter().map(check).collect()
}

/// Refuses keys that come twice, and keys that are to be set to null.
pub fn check_keys<'a>(
    names: impl Iterator<Item = &'a str>,
    nulls: impl Iterator<Item = &'a str>,
) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(invalid_request("Error due to duplicate config keys"));
        }
    }
    let nulls: Vec<&str> = nulls.collect();
    if nulls.is_empty() {
        return Ok(());
    }
    Err(invalid_request(format!("Null value not supported for : {}", nulls.join(", "))))
}

/// Refuses the configuration of another broker than this one.
pub fn check_broker_name(node: &Node, name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Ok(());
    }
    match name.parse::<i32>() {
        Ok(id) if id == node.id() => Ok(()),
        Ok(_) => Err(invalid_request(format!("Unexpected broker id, expected {}, but received {name}", node.id()))),
        Err(_) => Err(invalid_request(format!("Node id must be an integer, but it is: {name}"))),
    }
}

/// What counts of the dynamic configuration of a broker, or of all by default when `name` is empty.
pub fn current_broker_set(image: &Image, name: &str) -> Set {
    let set = image.configs(ConfigResourceType::Broker, name);
    set.map(|set| dynamic::usable(set, scope(name))).unwrap_or_default()
}

/// Whether the broker can run with `set` as the dynamic configuration of the resource `name`.
pub fn check_broker_set(node: &Node, image: &Image, name: &str, set: &Set) -> Result<(), Refusal> {
    let broker = current_broker_set(image, &node.id().to_string());
    let cluster = current_broker_set(image, "");
    let layers = Layers { broker: Some(&broker), cluster: Some(&cluster), file: node.config.set_values() };
    dynamic::validate(set, scope(name), layers).map_err(invalid_request)
}

fn scope(name: &str) -> Scope {
    if name.is_empty() { Scope::ClusterDefault } else { Scope::OneBroker }
}

/// Puts the answers of the controller where the broker found nothing to refuse.
pub fn merge(
    checked: Vec<Result<(), Refusal>>,
    decided: Result<Vec<Result<(), Refusal>>, Refusal>,
) -> Vec<Result<(), Refusal>> {
    let mut decided = match decided {
        Ok(answers) => answers.into_iter(),
        Err(refusal) => {
            let refused = |one: Result<(), Refusal>| one.and_then(|()| Err(refusal.clone()));
            return checked.into_iter().map(refused).collect();
        }
    };
    let unknown = || Refusal { code: ErrorCode::UnknownServerError, message: None };
    let next = |one: Result<(), Refusal>| one.and_then(|()| decided.next().unwrap_or_else(|| Err(unknown())));
    checked.into_iter().map(next).collect()
}
