//! A table as some of Apache's tools print it (Java: `ToolsUtils.prettyPrintTable`).

use crate::kafka::output;

/// Prints the columns as wide as their widest cell, with a tab behind each.
pub fn print_table(titles: &[&str], rows: &[Vec<String>]) {
    if output::as_json(titles, rows) {
        return;
    }
    let width = |index: usize| {
        rows.iter().filter_map(|row| Some(row.get(index)?.chars().count())).max().unwrap_or(0).max(titles[index].len())
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}\t")).collect();
        println!("{}", cells.concat());
    };
    line(&mut titles.iter().copied());
    rows.iter().for_each(|row| line(&mut row.iter().map(String::as_str)));
}
