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

/// What slices of a broker's run cost, each beside a slice of the floor that ran just before: on a machine that others
/// share, only what ran in the same moments can be compared.
#[derive(Debug, Default)]
pub struct Slices {
    costs: Vec<(f64, f64)>,
}

impl Slices {
    /// A slice cost `ours`, and the floor `floor`.
    pub fn push(&mut self, ours: f64, floor: f64) {
        self.costs.push((ours, floor));
    }

    /// The figures: the median and the least of `name`, the floor's median, the median of the ratios, and of the
    /// differences.
    pub fn figures(&self, name: &'static str, unit: &'static str) -> Vec<Figure> {
        let median = |of: fn(&(f64, f64)) -> f64| percentile(&sorted(self.costs.iter().map(of)), 0.5);
        let least = sorted(self.costs.iter().map(|(ours, _)| *ours)).first().copied().unwrap_or(f64::NAN);
        vec![
            Figure::new(name, unit, median(|(ours, _)| *ours)),
            Figure::new("the least of its slices", unit, least),
            Figure::new("floor of the same moments", unit, median(|(_, floor)| *floor)),
            Figure::new("times the floor", "", median(|(ours, floor)| ours / floor)),
            Figure::new("above the floor", unit, median(|(ours, floor)| ours - floor)),
        ]
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
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
    fn slices_are_compared_each_with_its_own_floor() {
        let mut slices = Slices::default();
        for (ours, floor) in [(4.0, 2.0), (30.0, 10.0), (9.0, 9.0)] {
            slices.push(ours, floor);
        }
        let values: Vec<f64> = slices.figures("cpu", "us").iter().map(|figure| figure.value).collect();
        assert_eq!(values, [9.0, 4.0, 9.0, 2.0, 2.0]);
    }

    #[test]
    fn json_names_subject_and_figure() {
        let subjects = vec![("ours".to_owned(), vec![Figure::new("cpu", "s", 2.0)])];
        let json = Run { scenario: "x".to_owned(), subjects }.json();
        assert_eq!(json["subjects"]["ours"]["cpu"]["value"], 2.0);
    }
}
