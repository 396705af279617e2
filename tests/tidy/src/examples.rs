//! Examples of the client: every public type has one in its documentation, which the doctests compile, and the README
//! shows it all in little code.

use crate::files::{text, with_ending};

const README: &str = "client/README.md";
const README_LINES_MAX: usize = 59;

/// Public types of the client whose documentation holds no example.
pub fn types_without() -> Vec<String> {
    let mut found = Vec::new();
    for path in with_ending(".rs").into_iter().filter(|path| path.starts_with("client/src/")) {
        let (source, mut shown) = (text(&path), false);
        for line in source.lines() {
            if line.starts_with("///") {
                shown |= line.starts_with("/// ```");
            } else if !line.starts_with("#[") {
                let words: Vec<&str> = line.split_whitespace().collect();
                let is_type = line.starts_with("pub ")
                    && words.len() > 2
                    && ["struct", "enum", "trait", "type"].contains(&words[1]);
                if is_type && !shown {
                    found.push(format!("{path}: {} {} has no example", words[1], words[2]));
                }
                shown = false;
            }
        }
    }
    found
}

/// Whether the README's code is too long, or a block of it is no doctest.
pub fn readme() -> Vec<String> {
    let (readme, mut found, mut lines, mut inside) = (text(README), Vec::new(), 0, false);
    for line in readme.lines() {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(kind) => {
                inside = true;
                if !["rust", "rust,no_run"].contains(&kind) {
                    found.push(format!("{README}: a block of \"{kind}\" is not compiled"));
                }
            }
            None if inside && !line.trim().is_empty() => lines += 1,
            None => {}
        }
    }
    if lines > README_LINES_MAX {
        found.push(format!("{README} has {lines} lines of code, more than {README_LINES_MAX}"));
    }
    found
}
