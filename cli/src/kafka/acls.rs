//! kafka-acls: who may do what (Java: `AclCommand`).

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use client::admin::{AclBinding, AclFilter, AclOperation, AclPermission, Admin, PatternType, ResourceType};
use client::error::ClientError;
use serde_json::{Value, json};

use crate::Ended;
use crate::kafka::options::{Given, Options};
use crate::kafka::{admin, block_on, output};

const ABOUT: &str = "This tool helps to manage acls on kafka.";
/// The name of the cluster as a resource.
const CLUSTER: &str = "kafka-cluster";

/// The flags.
pub fn options() -> Options {
    Options::new("kafka-acls", ABOUT)
        .servers_or_controllers("server to connect to", "controller to connect to")
        .admin_config("command-config")
        .value("topic", "topic", "A topic as the resource; '*' for all.")
        .flag("cluster", "The cluster as the resource.")
        .value("group", "group", "A group as the resource; '*' for all.")
        .value("transactional-id", "transactional-id", "A transactional id as the resource; '*' for all.")
        .flag("idempotent", "With --producer: let it write idempotently too.")
        .value("delegation-token", "delegation-token", "A delegation token as the resource; '*' for all.")
        .value(
            "resource-pattern-type",
            "ANY|MATCH|LITERAL|PREFIXED",
            "How the resource's name is read. [default: LITERAL]",
        )
        .flag("add", "Add ACLs.")
        .flag("remove", "Remove ACLs.")
        .flag("list", "List ACLs.")
        .value("operation", "String", "What is allowed or denied, by name. [default: All]")
        .value("allow-principal", "allow-principal", "Who may, as type:name.")
        .value("deny-principal", "deny-principal", "Who may not, as type:name.")
        .value("principal", "principal", "With --list: only ACLs of this principal.")
        .value("allow-host", "allow-host", "From where those of --allow-principal may. [default: *]")
        .value("deny-host", "deny-host", "From where those of --deny-principal may not. [default: *]")
        .flag("producer", "What a producer needs: write, describe and create a topic.")
        .flag("consumer", "What a consumer needs: read and describe a topic, read a group.")
        .flag("force", "Do not ask.")
        .value("user-principal", "user-principal", "A user as the resource.")
}

/// Runs the tool.
pub fn run(words: &[String]) -> Ended {
    let done = options().read(words).and_then(|given| {
        checked(&given)?;
        let rows = Rows { given: &given, pattern: pattern(&given)? };
        if given.has("add") {
            let added = rows.to_add()?;
            return block_on(add(&admin(&given)?, added));
        }
        if given.has("remove") {
            let removed = rows.by_resource()?;
            return block_on(remove(&admin(&given)?, &given, removed));
        }
        let (filters, principals) = (rows.resources(), rows.principals("principal")?);
        block_on(list(&admin(&given)?, filters, principals))
    });
    done.map_or_else(|ended| ended, |()| Ended::Well)
}

fn checked(given: &Given) -> Result<(), Ended> {
    match (given.has("bootstrap-server"), given.has("bootstrap-controller")) {
        (true, true) => {
            return given
                .misuse("Only one of --bootstrap-server or --bootstrap-controller must be specified".to_owned());
        }
        (false, false) => {
            return given.misuse("One of --bootstrap-server or --bootstrap-controller must be specified".to_owned());
        }
        _ => {}
    }
    if ["add", "remove", "list"].iter().filter(|action| given.has(action)).count() != 1 {
        return given.misuse("Command must include exactly one action: --list, --add, --remove.".to_owned());
    }
    given
        .excludes("list", &["producer", "consumer", "allow-host", "allow-principal", "deny-host", "deny-principal"])?;
    given.excludes("producer", &["operation", "deny-principal", "deny-host"])?;
    given.excludes("consumer", &["operation", "deny-principal", "deny-host"])?;
    let (producer, consumer) = (given.has("producer"), given.has("consumer"));
    if given.has("principal") && !given.has("list") {
        return given.misuse("The --principal option is only available if --list is set".to_owned());
    }
    if producer && !given.has("topic") {
        return given.misuse("With --producer you must specify a --topic".to_owned());
    }
    if given.has("idempotent") && !producer {
        return given.misuse("The --idempotent option is only available if --producer is set".to_owned());
    }
    let others = !producer && (given.has("cluster") || given.has("transactional-id"));
    if consumer && (!given.has("topic") || !given.has("group") || others) {
        return given.misuse("With --consumer you must specify a --topic and a --group and no --cluster or --transactional-id option should be specified.".to_owned());
    }
    Ok(())
}

fn pattern(given: &Given) -> Result<PatternType, Ended> {
    let Some(name) = given.one("resource-pattern-type")? else { return Ok(PatternType::Literal) };
    let found = PatternType::parse(name).filter(|pattern| *pattern != PatternType::Unknown);
    found.ok_or_else(|| Ended::Failed(format!("Cannot parse argument '{name}' of option resource-pattern-type")))
}

/// A resource, by kind, name and how the name is read.
type Resource = (ResourceType, String, PatternType);
/// Who, from where, does what, and whether it may.
type Entry = (String, String, AclOperation, AclPermission);

fn resource_text((kind, name, pattern): &Resource) -> String {
    format!("resourceType={}, name={name}, patternType={}", kind.name(), pattern.name())
}

fn entry_text((principal, host, operation, permission): &Entry) -> String {
    format!(
        "(principal={principal}, host={host}, operation={}, permissionType={})",
        operation.name(),
        permission.name()
    )
}

/// What the flags ask for.
struct Rows<'a> {
    given: &'a Given,
    pattern: PatternType,
}

impl Rows<'_> {
    fn resources(&self) -> BTreeSet<Resource> {
        let mut found = BTreeSet::new();
        let kinds = [
            ("topic", ResourceType::Topic),
            ("group", ResourceType::Group),
            ("transactional-id", ResourceType::TransactionalId),
            ("delegation-token", ResourceType::DelegationToken),
            ("user-principal", ResourceType::User),
        ];
        for (flag, kind) in kinds {
            found.extend(self.given.all(flag).into_iter().map(|name| (kind, name.trim().to_owned(), self.pattern)));
        }
        if self.pattern == PatternType::Literal && (self.given.has("cluster") || self.given.has("idempotent")) {
            found.insert((ResourceType::Cluster, CLUSTER.to_owned(), PatternType::Literal));
        }
        found
    }

    fn named_resources(&self) -> Result<BTreeSet<Resource>, Ended> {
        let found = self.resources();
        if found.is_empty() {
            return self.given.misuse("You must provide at least one resource: --topic <topic> or --cluster or --group <group> or --delegation-token <Delegation Token ID>".to_owned());
        }
        Ok(found)
    }

    fn principals(&self, flag: &str) -> Result<BTreeSet<String>, Ended> {
        let mut found = BTreeSet::new();
        for text in self.given.all(flag).into_iter().map(str::trim) {
            if text.split_once(':').is_none_or(|(kind, _)| kind.is_empty()) {
                println!(
                    "Error while executing ACL command: expected a string in format principalType:principalName but got {text}"
                );
                return Err(Ended::FailedAloud);
            }
            found.insert(text.to_owned());
        }
        Ok(found)
    }

    fn hosts(&self, flag: &str) -> BTreeSet<String> {
        if self.given.has(flag) {
            self.given.all(flag).into_iter().map(|host| host.trim().to_owned()).collect()
        } else {
            BTreeSet::from(["*".to_owned()])
        }
    }

    fn entries(&self, operations: &[AclOperation]) -> Result<BTreeSet<Entry>, Ended> {
        let mut found = BTreeSet::new();
        for (verb, permission) in [("allow", AclPermission::Allow), ("deny", AclPermission::Deny)] {
            let hosts = self.hosts(&format!("{verb}-host"));
            for principal in self.principals(&format!("{verb}-principal"))? {
                for host in &hosts {
                    found.extend(
                        operations.iter().map(|operation| (principal.clone(), host.clone(), *operation, permission)),
                    );
                }
            }
        }
        Ok(found)
    }

    fn operations(&self) -> Result<Vec<AclOperation>, Ended> {
        if !self.given.has("operation") {
            return Ok(vec![AclOperation::All]);
        }
        // Names are written as in DescribeConfigs, or as Java's constants are.
        let read = |name: &str| {
            let found = AclOperation::ALL_KINDS
                .iter()
                .find(|kind| kind.name().replace('_', "").eq_ignore_ascii_case(&name.trim().replace('_', "")));
            found
                .copied()
                .ok_or_else(|| Ended::Failed(format!("Error while executing ACL command: {name} is no operation")))
        };
        self.given.all("operation").into_iter().map(read).collect()
    }

    /// The ACLs by the resource that they are about.
    fn by_resource(&self) -> Result<BTreeMap<Resource, BTreeSet<Entry>>, Ended> {
        use AclOperation::{Create, Describe, IdempotentWrite, Read, Write};
        let mut found: BTreeMap<Resource, BTreeSet<Entry>> = BTreeMap::new();
        let (producer, consumer) = (self.given.has("producer"), self.given.has("consumer"));
        let resources = self.named_resources()?;
        if !producer && !consumer {
            let entries = self.entries(&self.operations()?)?;
            found.extend(resources.iter().map(|resource| (resource.clone(), entries.clone())));
        }
        let mut grant = |kind: ResourceType, operations: &[AclOperation]| -> Result<(), Ended> {
            for resource in resources.iter().filter(|resource| resource.0 == kind) {
                found.entry(resource.clone()).or_default().extend(self.entries(operations)?);
            }
            Ok(())
        };
        if producer {
            grant(ResourceType::Topic, &[Write, Describe, Create])?;
            grant(ResourceType::TransactionalId, &[Write, Describe])?;
            if self.given.has("idempotent") {
                grant(ResourceType::Cluster, &[IdempotentWrite])?;
            }
        }
        if consumer {
            grant(ResourceType::Topic, &[Read, Describe])?;
            grant(ResourceType::Group, &[Read])?;
        }
        for ((kind, _, _), entries) in &found {
            let supported = supported(*kind);
            if entries
                .iter()
                .any(|(_, _, operation, _)| *operation != AclOperation::All && !supported.contains(operation))
            {
                let names: Vec<&str> =
                    std::iter::once("ALL").chain(supported.iter().map(|operation| operation.name())).collect();
                return self.given.misuse(format!(
                    "ResourceType {} only supports operations [{}]",
                    kind.name(),
                    names.join(", ")
                ));
            }
        }
        Ok(found)
    }

    fn to_add(&self) -> Result<BTreeMap<Resource, BTreeSet<Entry>>, Ended> {
        if ![PatternType::Literal, PatternType::Prefixed].contains(&self.pattern) {
            return self.given.misuse(format!(
                "A '--resource-pattern-type' value of '{}' is not valid when adding acls.",
                self.pattern.name()
            ));
        }
        let found = self.by_resource()?;
        if found.values().any(BTreeSet::is_empty) {
            return self.given.misuse(
                "You must specify one of: --allow-principal, --deny-principal when trying to add ACLs.".to_owned(),
            );
        }
        Ok(found)
    }
}

/// What an ACL on a kind of resource can be about (Java: `AclEntry.supportedOperations`).
fn supported(kind: ResourceType) -> &'static [AclOperation] {
    use AclOperation::*;
    match kind {
        ResourceType::Topic => &[Read, Write, Create, Describe, Delete, Alter, DescribeConfigs, AlterConfigs],
        ResourceType::Group => &[Read, Describe, Delete, DescribeConfigs, AlterConfigs],
        ResourceType::Cluster => {
            &[Create, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, Alter, Describe]
        }
        ResourceType::TransactionalId => &[Describe, Write, TwoPhaseCommit],
        ResourceType::DelegationToken => &[Describe],
        ResourceType::User => &[CreateTokens, DescribeTokens],
        ResourceType::Unknown | ResourceType::Any => &[],
    }
}

fn any_of(resource: Option<&Resource>) -> AclFilter {
    AclFilter {
        resource_type: resource.map_or(ResourceType::Any, |resource| resource.0),
        resource_name: resource.map(|resource| resource.1.clone()),
        pattern_type: resource.map_or(PatternType::Any, |resource| resource.2),
        principal: None,
        host: None,
        operation: AclOperation::Any,
        permission: AclPermission::Any,
    }
}

/// Apache's tool says this on standard output.
fn failed(error: ClientError) -> Ended {
    println!("Error while executing ACL command: {}", crate::kafka::java_exception::to_string(&error));
    Ended::FailedAloud
}

async fn add(admin: &Admin, rows: BTreeMap<Resource, BTreeSet<Entry>>) -> Result<(), Ended> {
    for (resource, entries) in rows {
        let existing: BTreeSet<Entry> = admin
            .describe_acls(&any_of(Some(&resource)))
            .await
            .map_err(failed)?
            .into_iter()
            .map(|acl| split(acl).1)
            .collect();
        let (old, new): (Vec<Entry>, Vec<Entry>) = entries.into_iter().partition(|entry| existing.contains(entry));
        for entry in old {
            println!(
                "Acl (pattern=ResourcePattern({}), entry={}) already exists.",
                resource_text(&resource),
                entry_text(&entry)
            );
        }
        if !new.is_empty() {
            let lines: Vec<String> = new.iter().map(|entry| format!("\t{}", entry_text(entry))).collect();
            println!(
                "Adding ACLs for resource `ResourcePattern({})`: \n {}\n",
                resource_text(&resource),
                lines.join("\n")
            );
            let acls: Vec<AclBinding> = new.into_iter().map(|entry| binding(&resource, entry)).collect();
            for result in admin.create_acls(&acls).await.map_err(failed)? {
                result.map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn binding((kind, name, pattern): &Resource, (principal, host, operation, permission): Entry) -> AclBinding {
    AclBinding {
        resource_type: *kind,
        resource_name: name.clone(),
        pattern_type: *pattern,
        principal,
        host,
        operation,
        permission,
    }
}

fn split(acl: AclBinding) -> (Resource, Entry) {
    ((acl.resource_type, acl.resource_name, acl.pattern_type), (acl.principal, acl.host, acl.operation, acl.permission))
}

async fn remove(admin: &Admin, given: &Given, rows: BTreeMap<Resource, BTreeSet<Entry>>) -> Result<(), Ended> {
    for (resource, entries) in rows {
        let filter = format!("ResourcePattern({})", resource_text(&resource));
        let question = if entries.is_empty() {
            format!("Are you sure you want to delete all ACLs for resource filter `{filter}`? (y/n)")
        } else {
            let lines: Vec<String> = entries.iter().map(|entry| format!("\t{}", entry_text(entry))).collect();
            format!(
                "Are you sure you want to remove ACLs: \n {}\n from resource filter `{filter}`? (y/n)",
                lines.join("\n")
            )
        };
        if !given.has("force") && !confirmed(&question) {
            continue;
        }
        let any = any_of(Some(&resource));
        let own = |(principal, host, operation, permission): Entry| AclFilter {
            principal: Some(principal),
            host: Some(host),
            operation,
            permission,
            ..any.clone()
        };
        let filters: Vec<AclFilter> =
            if entries.is_empty() { vec![any.clone()] } else { entries.into_iter().map(own).collect() };
        for result in admin.delete_acls(&filters).await.map_err(failed)? {
            for (_, gone) in result.map_err(failed)? {
                gone.map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn confirmed(question: &str) -> bool {
    println!("{question}");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).is_ok() && line.trim().eq_ignore_ascii_case("y")
}

async fn list(admin: &Admin, filters: BTreeSet<Resource>, principals: BTreeSet<String>) -> Result<(), Ended> {
    let mut found: BTreeMap<Resource, BTreeSet<Entry>> = BTreeMap::new();
    let asked = if filters.is_empty() {
        vec![any_of(None)]
    } else {
        filters.iter().map(|filter| any_of(Some(filter))).collect()
    };
    for filter in &asked {
        for acl in admin.describe_acls(filter).await.map_err(failed)? {
            let (resource, entry) = split(acl);
            found.entry(resource).or_default().insert(entry);
        }
    }
    if output::as_objects(|| objects(&found, &principals)) {
        return Ok(());
    }
    if principals.is_empty() {
        print_acls(&found, |_| true);
    }
    for principal in principals {
        println!("ACLs for principal `{principal}`");
        print_acls(&found, |entry| entry.0 == principal);
    }
    Ok(())
}

fn objects(found: &BTreeMap<Resource, BTreeSet<Entry>>, principals: &BTreeSet<String>) -> Vec<Value> {
    let rows = found.iter().flat_map(|(resource, entries)| entries.iter().map(move |entry| (resource, entry)));
    let shown = rows.filter(|(_, entry)| principals.is_empty() || principals.contains(&entry.0));
    let object = |((kind, name, pattern), (principal, host, operation, permission)): (&Resource, &Entry)| {
        json!({
            "resource_type": kind.name(),
            "resource_name": name,
            "pattern_type": pattern.name(),
            "principal": principal,
            "host": host,
            "operation": operation.name(),
            "permission": permission.name(),
        })
    };
    shown.map(object).collect()
}

fn print_acls(found: &BTreeMap<Resource, BTreeSet<Entry>>, shown: impl Fn(&Entry) -> bool) {
    for (resource, entries) in found {
        let lines: Vec<String> =
            entries.iter().filter(|entry| shown(entry)).map(|entry| format!("\t{}", entry_text(entry))).collect();
        if !lines.is_empty() {
            println!(
                "Current ACLs for resource `ResourcePattern({})`:\n{}\n",
                resource_text(resource),
                lines.join("\n")
            );
        }
    }
}
