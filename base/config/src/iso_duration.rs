//! Durations as Java reads them: `PnDTnHnMn.nS` (Java: `java.time.Duration.parse`).
//!
//! Called for `auto.offset.reset=by_duration:` and by the tools' `--by-duration`.

/// `P1DT2H3M4.5S` in milliseconds; None for what is no duration.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let rest = rest.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((days, time)) if !time.is_empty() => (days, time),
        Some(_) => return None,
        None => (rest, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let mut total = if days.is_empty() { 0.0 } else { part(days.strip_suffix('D')?, false)? * 86_400_000.0 };
    let mut rest = time;
    for (unit, ms) in [('H', 3_600_000.0), ('M', 60_000.0), ('S', 1000.0)] {
        if let Some((value, after)) = rest.split_once(unit) {
            total += part(value, unit == 'S')? * ms;
            rest = after;
        }
    }
    let total = if negative { -total } else { total };
    rest.is_empty().then_some(total as i64)
}

/// One number of a duration; only seconds may have a fraction.
fn part(text: &str, fraction: bool) -> Option<f64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, after) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number =
        |digits: &str| (1..=9).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let plain = is_number(whole) && is_number(after) && (fraction || !digits.contains('.'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_java() {
        assert_eq!(parse("PT1H30M"), Some(5_400_000));
        assert_eq!(parse("p2dT0.5S"), Some(172_800_500));
        assert_eq!(parse("-PT1M"), Some(-60_000));
        assert_eq!(parse("PT-1M"), Some(-60_000));
        for wrong in ["", "P", "PT", "1D", "P1H", "P1.5D", "PT1.5H", "PT1D", "PT1M2H", "PT1S5", "PT1e99S"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
