//! Reads the workspace and holds it to its own laws: sizes, names, dependencies, hop tables, handler headers,
//! generated pages. All of it runs as tests: `cargo test -p millstream-tidy`; `UPDATE=1` writes the pages.

/// Files of the workspace and lists of exceptions.
pub mod files;
/// Lengths of files and functions, ASCII, banned names.
pub mod sizes;
/// Hop references of ARCHITECTURE.md.
pub mod hops;
/// Links between pages.
pub mod links;
/// Who may depend on whom.
pub mod deps;
/// Headers of handlers.
pub mod handlers;
/// Examples of the client.
pub mod examples;
/// Generated pages of docs/.
pub mod pages;

#[cfg(test)]
mod tests {
    use super::*;

    fn none(findings: &[String]) {
        assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    }

    #[test]
    fn files_are_short() {
        none(&sizes::long_files());
    }

    #[test]
    fn functions_are_short() {
        none(&sizes::long_functions());
    }

    #[test]
    fn sources_have_the_form_of_rustfmt() {
        none(&sizes::not_formatted());
    }

    #[test]
    fn sources_are_ascii() {
        none(&sizes::not_ascii());
    }

    #[test]
    fn no_module_has_a_name_that_says_nothing() {
        none(&sizes::banned_names());
    }

    #[test]
    fn exceptions_are_still_needed() {
        none(&sizes::unneeded_exceptions());
    }

    #[test]
    fn every_hop_exists() {
        none(&hops::broken());
    }

    #[test]
    fn types_of_the_client_have_examples() {
        none(&examples::types_without());
        none(&examples::readme());
    }

    #[test]
    fn every_link_leads_somewhere() {
        none(&links::broken());
    }

    #[test]
    fn dependencies_keep_the_laws() {
        none(&deps::broken());
    }

    #[test]
    fn handlers_open_with_their_contract() {
        none(&handlers::broken());
    }

    #[test]
    fn pages_are_current() {
        none(&pages::outdated());
    }

    #[test]
    fn functions_are_found_with_their_lines() {
        let found = sizes::functions(
            "fn a() {\n    1;\n}\nimpl X {\n    #[inline]\n    fn b(&self) {}\n}\nmod m {\n fn c() {\n }\n}\n",
        );
        let found: Vec<(&str, usize)> = found.iter().map(|(name, lines)| (name.as_str(), *lines)).collect();
        assert_eq!(found, [("a", 3), ("b", 1), ("c", 2)]);
    }

    #[test]
    fn what_is_not_done_ends_where_the_header_goes_on() {
        let text = "//! X.\n//!\n//! Not done: one thing\n//! and more.\n//! Versions: none.\nfn f() {}\n/// Not done: another.\n";
        assert_eq!(pages::not_done(text), ["one thing and more.", "another."]);
    }

    #[test]
    fn hop_references_are_read_from_tables_only() {
        let text = "see `a.rs::f`\n| 1 | `b.rs::g` words | `c/d.rs::h` |\n";
        assert_eq!(
            hops::references(text),
            [("b.rs".to_owned(), "g".to_owned()), ("c/d.rs".to_owned(), "h".to_owned())]
        );
    }
}
