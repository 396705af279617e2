//! Who may depend on whom: tests/tidy/deps.allow against `cargo metadata`.
//!
//! Lines of that file: `package: the packages of this workspace it may use`, `door crate: the packages that may use
//! it`, `never package: crates it must not use`, `pure folder: crates its sources must not name`. Test-only
//! dependencies are free.

use serde_json::Value;

use crate::files::{cargo, root, text, with_ending};

/// One line of deps.allow: keyword (empty for a package's own line), subject, list.
fn laws() -> Vec<(String, String, Vec<String>)> {
    let file = text("tests/tidy/deps.allow");
    let lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (subject, list) = line.split_once(':').expect("a line of deps.allow has a colon");
            let list = list.split_whitespace().map(str::to_owned).collect();
            match subject.split_once(' ') {
                Some((keyword, subject)) => (keyword.to_owned(), subject.to_owned(), list),
                None => (String::new(), subject.to_owned(), list),
            }
        })
        .collect()
}

/// Broken laws.
///
/// # Panics
/// When cargo does not answer.
pub fn broken() -> Vec<String> {
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let laws = laws();
    let mut broken = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let used: Vec<&str> = package["dependencies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|dependency| dependency["kind"].as_str() != Some("dev"))
            .filter_map(|dependency| dependency["name"].as_str())
            .collect();
        // Crates of tests may look at everything; nothing may depend on them, as no list names them.
        let tests = root().join("tests");
        if !package["manifest_path"].as_str().is_some_and(|path| std::path::Path::new(path).starts_with(&tests)) {
            check_package(name, &used, &laws, &mut broken);
        }
    }
    for (_, folder, named) in laws.iter().filter(|(keyword, _, _)| keyword == "pure") {
        for path in with_ending(".rs").into_iter().filter(|path| path.starts_with(folder.as_str())) {
            let source = text(&path);
            for name in named.iter().filter(|name| source.contains(&format!("{name}::"))) {
                broken.push(format!("{path} names {name}; {folder} is pure"));
            }
        }
    }
    broken
}

fn check_package(name: &str, used: &[&str], laws: &[(String, String, Vec<String>)], broken: &mut Vec<String>) {
    let own = laws.iter().find(|(keyword, subject, _)| keyword.is_empty() && subject == name);
    let Some((_, _, allowed)) = own else {
        broken.push(format!("{name} has no line in tests/tidy/deps.allow"));
        return;
    };
    for used in used {
        if used.starts_with("millstream-") && !allowed.iter().any(|allowed| allowed == used) {
            broken.push(format!("{name} may not depend on {used}"));
        }
        for (keyword, subject, list) in laws {
            let named = |what: &str| list.iter().any(|one| one == what);
            match keyword.as_str() {
                "door" if subject == used && !named(name) => {
                    broken.push(format!("{name} may not depend on {used}: its door is {}", list.join(", ")));
                }
                "never" if subject == name && named(used) => broken.push(format!("{name} may never depend on {used}")),
                _ => {}
            }
        }
    }
}
