//! Numbers with a fraction as Java writes and reads them.
//!
//! Not done: hexadecimal numbers (`0x1.8p3`), which `Double.parseDouble` reads too.

/// As `Double.toString`: plain between 0.001 and 10,000,000, else with an exponent; at least one digit behind the
/// point. `scientific` holds the digits, as in `1.25e-7`.
pub fn written(number: f64, scientific: &str) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |positive| ("-", positive));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    if number == 0.0 {
        return format!("{sign}0.0");
    }
    if !(-3..7).contains(&exponent) {
        let rest = if digits.len() > 1 { &digits[1..] } else { "0" };
        return format!("{sign}{}.{rest}E{exponent}", &digits[..1]);
    }
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let whole = exponent as usize + 1;
    let padded = format!("{digits:0<whole$}");
    let (whole, rest) = padded.split_at(whole);
    format!("{sign}{whole}.{}", if rest.is_empty() { "0" } else { rest })
}

/// `Double.parseDouble`: blanks around it, a sign, digits with a point and an exponent, `f` or `d` behind them; `NaN` and
/// `Infinity` in this spelling alone.
pub fn parse(text: &str) -> Option<f64> {
    let text = text.trim_matches(|letter: char| letter <= ' ');
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match unsigned {
        "NaN" => return Some(f64::NAN),
        "Infinity" => return Some(sign * f64::INFINITY),
        _ => {}
    }
    let digits = unsigned.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(unsigned);
    // What else Rust reads are names of its own (`inf`, `nan`), and a second sign.
    let plain = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | 'e' | 'E' | '+' | '-');
    let begins = digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.');
    if begins && digits.chars().all(plain) { digits.parse::<f64>().ok().map(|number| sign * number) } else { None }
}

/// `Double.toString`.
pub fn double(number: f64) -> String {
    written(number, &format!("{number:e}"))
}

/// `%.nf` of `java.util.Formatter`.
pub fn fixed(number: f64, digits: usize) -> String {
    match number {
        number if number.is_nan() => "NaN".to_owned(),
        number if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        number => half_up(&format!("{number}"), digits),
    }
}

/// Rounds the shortest decimal form at `digits` behind the point, a five upwards, as Java does.
fn half_up(text: &str, digits: usize) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |positive| ("-", positive));
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let mut figures: Vec<u8> = whole.bytes().chain(rest.bytes().chain(std::iter::repeat(b'0')).take(digits)).collect();
    let mut up = rest.as_bytes().get(digits).is_some_and(|next| *next >= b'5');
    for figure in figures.iter_mut().rev() {
        if !up {
            break;
        }
        up = *figure == b'9';
        *figure = if up { b'0' } else { *figure + 1 };
    }
    if up {
        figures.insert(0, b'1');
    }
    let point = figures.len() - digits;
    let text: String = figures.into_iter().map(char::from).collect();
    if digits == 0 { format!("{sign}{text}") } else { format!("{sign}{}.{}", &text[..point], &text[point..]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_java_writes_them() {
        // The examples of java.lang.Double.toString's documentation and its borders.
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (0.001, "0.001"),
            (0.00099, "9.9E-4"),
            (1.0e7, "1.0E7"),
            (9999999.5, "9999999.5"),
            (2.0e-3, "0.002"),
            (-1.25e-7, "-1.25E-7"),
            (f64::INFINITY, "Infinity"),
        ] {
            assert_eq!(double(number), text);
        }
    }

    #[test]
    fn numbers_are_read_as_java_reads_them() {
        let read =
            [" 1 ", "1d", "1.5F", ".5", "5.", "1e3", "+2", "-Infinity", "Infinity", "-1.25E-7", "\t1024\n"].map(parse);
        let numbers = [1.0, 1.0, 1.5, 0.5, 5.0, 1000.0, 2.0, f64::NEG_INFINITY, f64::INFINITY, -1.25e-7, 1024.0];
        assert_eq!(read, numbers.map(Some));
        assert!(parse("NaN").is_some_and(f64::is_nan) && parse("-NaN").is_some_and(f64::is_nan));
        for wrong in [
            "", " ", "inf", "infinity", "INFINITY", "nan", "Nan", "--1", "+-1", "1_000", "1dd", "d", ".", "1e", "e5",
            "1 2", "1,5",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_no_number_has_a_name() {
        assert_eq!(
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.25].map(|number| fixed(number, 1)),
            ["NaN", "Infinity", "-Infinity", "1.3"]
        );
        assert_eq!(
            [0.05, 9.95, 99.999, -2.25, 3.0, 1e-7].map(|number| fixed(number, 1)),
            ["0.1", "10.0", "100.0", "-2.3", "3.0", "0.0"]
        );
        assert_eq!(fixed(2.5, 0), "3");
    }
}
