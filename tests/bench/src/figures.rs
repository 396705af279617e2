//! What a scenario measured, printed side by side and as JSON.

use serde_json::{Map, Value, json};

/// One measured number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// In what.
    pub unit: &'static str,
    /// How much.
    pub value: f64,
}

impl Figure {
    /// A figure.
    pub fn new(name: &'static str, unit: &'static str, value: f64) -> Figure {
        Figure { name, unit, value }
    }
}

/// One scenario, run on one subject after another.
pub struct Run {
    /// Name of the scenario.
    pub scenario: String,
    /// The subjects with their figures, the first is ours.
    pub subjects: Vec<(String, Vec<Figure>)>,
}

impl Run {
    /// Prints one line per figure: every subject, then theirs divided by ours.
    pub fn print(&self) {
        println!("{}", self.scenario);
        let Some((_, ours)) = self.subjects.first() else { return };
        for figure in ours {
            let mut line = format!("  {:<34}", format!("{} [{}]", figure.name, figure.unit));
            for (subject, figures) in &self.subjects {
                match find(figures, figure.name) {
                    Some(value) => line.push_str(&format!("  {subject} {value:>10.3}")),
                    None => line.push_str(&format!("  {subject} {:>10}", "-")),
                }
            }
            let other = self.subjects.get(1).and_then(|(_, figures)| find(figures, figure.name));
            if let Some(other) = other.filter(|_| figure.value > 0.0) {
                line.push_str(&format!("  ratio {:>8.2}", other / figure.value));
            }
            println!("{line}");
        }
    }

    /// The same as JSON.
    pub fn json(&self) -> Value {
        let subjects = self.subjects.iter().map(|(subject, figures)| {
            let figures: Map<String, Value> = figures
                .iter()
                .map(|figure| (figure.name.to_owned(), json!({"value": figure.value, "unit": figure.unit})))
                .collect();
            (subject.clone(), Value::Object(figures))
        });
        json!({"scenario": self.scenario, "subjects": subjects.collect::<Map<_, _>>()})
    }
}

fn find(figures: &[Figure], name: &str) -> Option<f64> {
    figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
}

/// The value below which `share` of `sorted` lies.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((share * last as f64) as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_take_the_nearest_value_below() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(percentile(&values, 1.0), 100.0);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn json_names_subject_and_figure() {
        let subjects = vec![("ours".to_owned(), vec![Figure::new("cpu", "s", 2.0)])];
        let json = Run { scenario: "x".to_owned(), subjects }.json();
        assert_eq!(json["subjects"]["ours"]["cpu"]["value"], 2.0);
    }
}
