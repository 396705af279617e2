//! Links between pages: `[text](path)` in every `.md` leads to a file or a folder of this clone.

use std::path::Path;

use crate::files::{root, text, with_ending};

/// Links that lead nowhere.
pub fn broken() -> Vec<String> {
    let mut broken = Vec::new();
    for page in with_ending(".md") {
        let folder = root().join(Path::new(&page).parent().unwrap_or(Path::new("")));
        for target in targets(&text(&page)) {
            if !folder.join(&target).exists() {
                broken.push(format!("{page}: {target} is not there"));
            }
        }
    }
    broken
}

/// What a page links to, addresses and places within pages left out.
fn targets(page: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut is_code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let Some((target, _)) = rest.split_once(')') else { continue };
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:") {
                targets.push(path.to_owned());
            }
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn links_are_found_outside_of_code() {
        let page = "[a](docs/a.md#part) and [b](http://x/y), [c](#here)\n```\n[d](d.md)\n```\n[e](../e)";
        assert_eq!(targets(page), ["docs/a.md", "../e"]);
    }
}
