//! Files of the workspace and lists of exceptions.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tests/tidy lies two folders deep").to_owned()
}

/// What cargo answers in that folder.
///
/// # Panics
/// When it does not run.
pub fn cargo(arguments: &[&str]) -> Output {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output();
    output.expect("cargo runs the tests, so it is there")
}

/// Every file whose name ends in `ending`, by its path from the root, in order. Build output, hidden folders and
/// what package managers fetched are left out.
pub fn with_ending(ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    let mut names: Vec<String> = found
        .iter()
        .filter_map(|path| path.strip_prefix(root()).ok())
        .map(|path| path.display().to_string())
        .filter(|name| name.ends_with(ending))
        .collect();
    names.sort();
    names
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || ["target", "node_modules", "data"].contains(&&*name) {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// The text of a file.
///
/// # Panics
/// When it cannot be read.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Exceptions of one kind from tests/tidy/exceptions: lines `kind subject reason`.
///
/// # Panics
/// On an exception without a reason.
pub fn exceptions(kind: &str) -> Vec<String> {
    let mut subjects = Vec::new();
    for line in text("tests/tidy/exceptions").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.splitn(3, ' ');
        let (Some(found), Some(subject), Some(_reason)) = (words.next(), words.next(), words.next()) else {
            panic!("tests/tidy/exceptions: \"{line}\" is not: kind subject reason");
        };
        if found == kind {
            subjects.push(subject.to_owned());
        }
    }
    subjects
}
