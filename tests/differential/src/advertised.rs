//! What the two say of themselves: the keys that a single node serves stand in both lists with the same versions,
//! and ours claims nothing that Apache Kafka does not.

use anyhow::Context;

use crate::generate::Request;
use crate::run::{Report, SERVED};
use crate::side::Side;
use crate::value::Value;

/// Features that ours finalises; the APIs of the others are not served yet.
const FINALISED: [&str; 2] = ["metadata.version", "transaction.version"];

/// Asks both for their versions and adds what differs to `report`.
///
/// # Errors
/// When a broker is gone or does not answer.
pub fn check(left: &mut Side, right: &mut Side, report: &mut Report) -> anyhow::Result<()> {
    let (apache, ours) = (ask(left)?, ask(right)?);
    let of = |answer: &Value, key: i64| {
        answer.get("ApiKeys")?.items().iter().find(|api| api.int_of("ApiKey") == Some(key)).cloned()
    };
    let advertised: Vec<i64> = items(&ours, "ApiKeys").iter().filter_map(|api| api.int_of("ApiKey")).collect();
    let missing = SERVED.iter().map(|key| i64::from(*key)).filter(|key| !advertised.contains(key));
    for key in missing {
        report.mismatches.push(format!("ApiVersions: key {key} is served and not advertised"));
    }
    for key in advertised {
        let (theirs, own) = (of(&apache, key), of(&ours, key));
        if theirs != own {
            report.mismatches.push(format!("ApiVersions: {theirs:?} | {own:?}"));
        }
    }
    for list in ["FinalizedFeatures", "SupportedFeatures"] {
        for name in FINALISED {
            let find = |answer| items(answer, list).iter().find(|one| one.text_of("Name") == Some(name)).cloned();
            let (theirs, own) = (find(&apache), find(&ours));
            if theirs != own || own.is_none() {
                report.mismatches.push(format!("ApiVersions {list}: {theirs:?} | {own:?}"));
            }
        }
        let others =
            items(&ours, list).iter().filter(|one| !one.text_of("Name").is_some_and(|name| FINALISED.contains(&name)));
        for other in others.filter(|one| one.int_of("MaxVersionLevel").or(one.int_of("MaxVersion")) != Some(0)) {
            report.mismatches.push(format!("ApiVersions {list}: {other:?} is not served"));
        }
    }
    Ok(())
}

fn items<'a>(answer: &'a Value, list: &str) -> &'a [Value] {
    answer.get(list).map(Value::items).unwrap_or_default()
}

fn ask(side: &mut Side) -> anyhow::Result<Value> {
    let body = Value::Struct(vec![
        ("ClientSoftwareName", Value::Text("differential".to_owned())),
        ("ClientSoftwareVersion", Value::Text("1".to_owned())),
    ]);
    let outcome = side.call(&Request::new(18, 4, body))?;
    outcome.answer().cloned().with_context(|| format!("{} does not answer ApiVersions", side.name))
}
