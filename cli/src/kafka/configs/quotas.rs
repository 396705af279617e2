//! Quotas of users, clients and addresses, and the SCRAM passwords of users (KIP-546, KIP-554).
//!
//! Called by `kafka-configs` with what its flags name. Which keys there are stands in `QuotaConfig` and
//! `ScramMechanism` of Apache Kafka.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use client::admin::{Admin, QuotaEntity, QuotaFilter, QuotaMatch, ScramChange};
use client::connection::sasl::Secret;
use client::connection::scram::ScramHash;
use client::java_order::text_hash;
use serde_json::json;

use super::{Asked, Change, fail, refused, say_updated};
use crate::Ended;
use crate::kafka::java_order::{sort_as_hash_map, sort_by_hash};
use crate::kafka::{java_exception, java_number, output};

/// Quotas of users and clients.
const CLIENT_QUOTAS: [&str; 4] =
    ["producer_byte_rate", "consumer_byte_rate", "request_percentage", "controller_mutation_rate"];
/// Quotas of addresses.
const IP_QUOTAS: [&str; 1] = ["connection_creation_rate"];
/// Java: `ConfigCommand.DEFAULT_SCRAM_ITERATIONS`, and the least that a broker takes.
const ITERATIONS: u32 = 4096;
/// How an entity is called in a request, and in what people read.
const PARTS: [(&str, &str, &str); 3] =
    [("users", "user", "user-principal"), ("clients", "client-id", "client-id"), ("ips", "ip", "ip")];

type Quotas = BTreeMap<QuotaEntity, BTreeMap<String, f64>>;

/// Alters or, without changes, describes.
pub(super) async fn run(admin: &Admin, asked: &Asked, changes: Option<&[Change]>) -> Result<(), Ended> {
    let Some(changes) = changes else { return describe(admin, asked).await };
    check(asked, changes)?;
    let known = if asked.types[0] == "ips" { &IP_QUOTAS[..] } else { &CLIENT_QUOTAS[..] };
    if asked.types[0] == "ips" || changes.iter().any(|(key, _)| known.contains(&key.as_str())) {
        alter_quotas(admin, asked, changes).await?;
    } else {
        alter_passwords(admin, &asked.names[0], changes).await?;
    }
    say_updated(&asked.types[0], &asked.names[0]);
    Ok(())
}

fn hash_of(key: &str) -> Option<ScramHash> {
    [ScramHash::Sha256, ScramHash::Sha512].into_iter().find(|hash| hash.mechanism() == key)
}

/// Refuses keys that the entity does not have (Java: `alterConfig`).
fn check(asked: &Asked, changes: &[Change]) -> Result<(), Ended> {
    let unexpected = |removed: bool, known: &dyn Fn(&str) -> bool| {
        let keys = changes.iter().filter(|(key, value)| value.is_none() == removed && !known(key));
        keys.map(|(key, _)| key.as_str()).collect::<Vec<&str>>()
    };
    let is_quota = |key: &str| CLIENT_QUOTAS.contains(&key);
    if asked.types[0] == "ips" {
        let of_address = |key: &str| IP_QUOTAS.contains(&key);
        let wrong = [unexpected(true, &of_address), unexpected(false, &of_address)].concat();
        if !wrong.is_empty() {
            return fail(format!(
                "Only connection quota configs can be added for 'ips' using --bootstrap-server. Unexpected config names: {}",
                wrong.join(", ")
            ));
        }
        return Ok(());
    }
    let only_users = asked.types == ["users"];
    let of_user = |key: &str| is_quota(key) || only_users && hash_of(key).is_some();
    let (what, kind) = if only_users { ("quota and SCRAM credential", "users") } else { ("quota", "clients") };
    for (removed, doing) in [(false, "added"), (true, "deleted")] {
        let wrong = unexpected(removed, &of_user);
        if !wrong.is_empty() {
            return fail(format!(
                "Only {what} configs can be {doing} for '{kind}' using --bootstrap-server. Unexpected config names: {}",
                wrong.join(",")
            ));
        }
    }
    if changes.iter().any(|(key, _)| hash_of(key).is_some()) {
        if asked.names.iter().any(String::is_empty) {
            return fail(
                "The use of --entity-default or --user-defaults is not allowed with User SCRAM Credentials using --bootstrap-server."
                    .to_owned(),
            );
        }
        if changes.iter().any(|(key, _)| is_quota(key)) {
            return fail("Cannot alter both quota and SCRAM credential configs simultaneously for 'users' using --bootstrap-server.".to_owned());
        }
    }
    Ok(())
}

/// The part of an entity that stands for a type.
fn part(kind: &str) -> &'static str {
    PARTS.iter().find(|(types, ..)| *types == kind).map_or("ip", |(_, part, _)| part)
}

/// The quotas of exactly what was asked for; of every name where none was given.
async fn quotas(admin: &Admin, asked: &Asked) -> Result<Quotas, Ended> {
    let matching = |(at, kind): (usize, &String)| {
        let wanted = match asked.names.get(at).map(String::as_str) {
            None => QuotaMatch::Any,
            Some("") => QuotaMatch::Default,
            Some(name) => QuotaMatch::Exact(name.to_owned()),
        };
        (part(kind).to_owned(), wanted)
    };
    let components = asked.types.iter().enumerate().map(matching).collect();
    admin.describe_client_quotas(&QuotaFilter { components, only_these: true }).await.map_err(refused)
}

async fn alter_quotas(admin: &Admin, asked: &Asked, changes: &[Change]) -> Result<(), Ended> {
    let old = quotas(admin, asked).await?.into_values().next().unwrap_or_default();
    let missing: Vec<&str> = changes
        .iter()
        .filter(|(key, value)| value.is_none() && !old.contains_key(key))
        .map(|(key, _)| key.as_str())
        .collect();
    if !missing.is_empty() {
        return fail(format!("Invalid config(s): {}", missing.join(",")));
    }
    let names = asked.names.iter().map(|name| Some(name.clone()).filter(|name| !name.is_empty()));
    let entity: QuotaEntity = asked.types.iter().map(|kind| part(kind).to_owned()).zip(names).collect();
    let number = |(key, value): &Change| match value {
        None => Ok((key.clone(), None)),
        Some(text) => match java_number::parse(text) {
            Some(number) => Ok((key.clone(), Some(number))),
            None => fail(format!("Cannot parse quota configuration value for {key}: {text}")),
        },
    };
    let changes = changes.iter().map(number).collect::<Result<Vec<_>, Ended>>()?;
    let answers = admin.alter_client_quotas(&BTreeMap::from([(entity, changes)]), client::admin::Change::Made).await;
    answers.map_err(refused)?.into_values().try_for_each(|answer| answer.map_err(refused))
}

async fn alter_passwords(admin: &Admin, user: &str, changes: &[Change]) -> Result<(), Ended> {
    let change = |(key, value): &Change| {
        let Some(hash) = hash_of(key) else { return fail(format!("{key} is no SCRAM mechanism")) };
        match value {
            None => Ok(ScramChange::Delete(hash)),
            Some(text) => password(hash, text),
        }
    };
    let changes = changes.iter().map(change).collect::<Result<Vec<_>, Ended>>()?;
    let answers = admin.alter_user_scram_credentials(&BTreeMap::from([(user.to_owned(), changes)])).await;
    answers.map_err(refused)?.into_values().try_for_each(|answer| answer.map_err(refused))
}

/// `[iterations=N,]password=...`; the password is all that follows.
fn password(hash: ScramHash, text: &str) -> Result<ScramChange, Ended> {
    let invalid = || fail(format!("Invalid credential property {}={text}", hash.mechanism()));
    let (count, password) = match text.strip_prefix("iterations=").and_then(|rest| rest.split_once(",password=")) {
        Some((count, password)) => (count, password),
        None => match text.strip_prefix("password=") {
            Some(password) => ("-1", password),
            None => return invalid(),
        },
    };
    let count = match count {
        "-1" => ITERATIONS,
        count => match count.parse::<i32>() {
            Ok(count) => u32::try_from(count).unwrap_or(0),
            Err(_) => return invalid(),
        },
    };
    match NonZeroU32::new(count).filter(|count| count.get() >= ITERATIONS) {
        Some(iterations) => Ok(ScramChange::Set { hash, iterations, password: Secret::new(password) }),
        None => {
            fail(format!("Iterations {count} is less than the minimum {ITERATIONS} required for {}", hash.mechanism()))
        }
    }
}

async fn describe(admin: &Admin, asked: &Asked) -> Result<(), Ended> {
    let mut found: Vec<(QuotaEntity, BTreeMap<String, f64>)> = quotas(admin, asked).await?.into_iter().collect();
    let capacity = found.len();
    // Java: ClientQuotaEntity.hashCode, over a map of names that may be null.
    sort_by_hash(&mut found, Some(capacity), |(entity, _)| {
        let names = entity.iter().map(|(kind, name)| text_hash(kind) ^ name.as_deref().map_or(0, text_hash));
        names.fold(31, i32::wrapping_add)
    });
    let mut objects = Vec::new();
    for (entity, values) in found {
        if output::is_json() {
            objects.push(json!({"entity": entity, "quotas": values}));
            continue;
        }
        let mut values: Vec<(String, f64)> = values.into_iter().collect();
        let capacity = values.len();
        sort_as_hash_map(&mut values, Some(capacity), |(key, _)| key);
        let values: Vec<String> =
            values.into_iter().map(|(key, value)| format!("{key}={}", java_number::double(value))).collect();
        println!("Quota configs for {} are {}", spoken(&entity), values.join(", "));
    }
    if !asked.types.iter().any(|kind| kind == "clients")
        && asked.types[0] == "users"
        && !asked.names.iter().any(String::is_empty)
    {
        objects.extend(passwords(admin, asked).await?);
    }
    output::as_objects(|| objects);
    Ok(())
}

fn spoken(entity: &QuotaEntity) -> String {
    let parts = PARTS.iter().filter_map(|(_, part, called)| {
        Some(match entity.get(*part)? {
            Some(name) if !name.is_empty() => format!("{called} '{name}'"),
            _ => format!("the default {called}"),
        })
    });
    parts.collect::<Vec<String>>().join(", ")
}

/// Shows how the passwords of users are kept; the objects of `--output json`.
async fn passwords(admin: &Admin, asked: &Asked) -> Result<Vec<serde_json::Value>, Ended> {
    let users = if asked.names.is_empty() { None } else { Some(asked.names.as_slice()) };
    let found = admin.describe_user_scram_credentials(users).await.map_err(refused)?;
    let mut objects = Vec::new();
    for (user, kept) in found {
        match kept {
            Ok(kept) if output::is_json() => {
                let kept = kept.iter().map(|(hash, count)| json!({"mechanism": hash.mechanism(), "iterations": count}));
                objects.push(json!({"entity": {"user": user}, "scram": kept.collect::<Vec<_>>()}));
            }
            Ok(kept) => {
                let kept: Vec<String> =
                    kept.iter().map(|(hash, count)| format!("{}=iterations={count}", hash.mechanism())).collect();
                println!("SCRAM credential configs for user-principal '{user}' are {}", kept.join(", "));
            }
            // Java lists only users that have a password.
            Err(error) if client::admin::scram::is_unknown_user(&error) => {}
            Err(error) => output::say(&format!(
                "Error retrieving SCRAM credential configs for user-principal '{user}': {}",
                java_exception::to_string(&error)
            )),
        }
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_all_that_follows() {
        let set = |text| password(ScramHash::Sha256, text).ok();
        let expected = |count, word: &str| {
            let iterations = NonZeroU32::new(count).expect("not zero");
            Some(ScramChange::Set { hash: ScramHash::Sha256, iterations, password: Secret::new(word) })
        };
        assert_eq!(set("password=a,password=b"), expected(4096, "a,password=b"));
        assert_eq!(set("iterations=8192,password="), expected(8192, ""));
        assert_eq!(set("iterations=-1,password=x"), expected(4096, "x"));
        for wrong in ["", "secret", "iterations=4095,password=x", "iterations=x,password=x", "iterations=5000"] {
            assert_eq!(set(wrong), None, "{wrong}");
        }
    }
}
