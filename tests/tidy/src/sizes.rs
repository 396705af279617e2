//! Lengths of files and functions, their form, ASCII, banned names (house rules; CONTRIBUTING.md).

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::files::{cargo, exceptions, text, with_ending};

/// Most lines of a file.
const FILE_LINES_MAX: usize = 800;
/// Most lines of a function.
const FUNCTION_LINES_MAX: usize = 70;
/// Names that say nothing about what is inside.
const BANNED: [&str; 10] =
    ["utils", "util", "common", "core", "misc", "internal", "helpers", "helper", "manager", "impl"];

/// Files that are too long, excepted ones left out.
pub fn long_files() -> Vec<String> {
    found_long_files()
        .into_iter()
        .filter(|(path, _)| !exceptions("file").contains(path))
        .map(|(_, text)| text)
        .collect()
}

fn found_long_files() -> Vec<(String, String)> {
    with_ending(".rs")
        .into_iter()
        .filter_map(|path| {
            let lines = text(&path).lines().count();
            (lines > FILE_LINES_MAX).then(|| (path.clone(), format!("{path}: {lines} lines")))
        })
        .collect()
}

/// Functions that are too long, excepted ones left out.
pub fn long_functions() -> Vec<String> {
    let excepted = exceptions("function");
    found_long_functions()
        .into_iter()
        .filter(|(subject, _)| !excepted.contains(subject))
        .map(|(_, text)| text)
        .collect()
}

fn found_long_functions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for path in with_ending(".rs") {
        for (name, lines) in functions(&text(&path)) {
            if lines > FUNCTION_LINES_MAX {
                let subject = format!("{path}::{name}");
                found.push((subject.clone(), format!("{subject}: {lines} lines")));
            }
        }
    }
    found
}

/// Files that rustfmt would change.
pub fn not_formatted() -> Vec<String> {
    let output = cargo(&["fmt", "--all", "--check", "--", "-l"]);
    let files: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    if output.status.success() || !files.is_empty() {
        return files;
    }
    vec![String::from_utf8_lossy(&output.stderr).into_owned()]
}

/// Exceptions that nothing needs any more.
pub fn unneeded_exceptions() -> Vec<String> {
    let files: Vec<String> = found_long_files().into_iter().map(|(path, _)| path).collect();
    let functions: Vec<String> = found_long_functions().into_iter().map(|(subject, _)| subject).collect();
    let unneeded = |kind: &str, needed: &[String]| -> Vec<String> {
        let list = exceptions(kind).into_iter().filter(|subject| !needed.contains(subject));
        list.map(|subject| format!("{kind} {subject} needs no exception")).collect()
    };
    [unneeded("file", &files), unneeded("function", &functions)].concat()
}

/// Every function of a source text with its lines, doc comments and attributes not counted.
///
/// # Panics
/// On a text that is not Rust.
pub fn functions(source: &str) -> Vec<(String, usize)> {
    let file = syn::parse_file(source).expect("sources that compile can be parsed");
    let mut functions = Functions(Vec::new());
    functions.visit_file(&file);
    functions.0
}

struct Functions(Vec<(String, usize)>);

impl Functions {
    fn push(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = block.span().end().line - signature.span().start().line + 1;
        self.0.push((signature.ident.to_string(), lines));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.push(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.push(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.push(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// Lines of sources with other characters than ASCII.
pub fn not_ascii() -> Vec<String> {
    let mut found = Vec::new();
    let excepted = exceptions("ascii");
    for path in with_ending(".rs").into_iter().filter(|path| !excepted.contains(path)) {
        for (index, line) in text(&path).lines().enumerate().filter(|(_, line)| !line.is_ascii()) {
            found.push(format!("{path}:{}: {line}", index + 1));
        }
    }
    found
}

/// Modules whose names say nothing.
pub fn banned_names() -> Vec<String> {
    let is_banned = |path: &String| {
        path.trim_end_matches(".rs").split('/').any(|part| BANNED.contains(&part) || part.ends_with("_utils"))
    };
    with_ending(".rs").into_iter().filter(is_banned).collect()
}
