//! Dates as Apache's tools read and write them (Java: `Utils.getDateTime`).

/// `2026-01-31T23:59:59.999`, with a zone (`Z`, `+01:00`, `+01`) or without for UTC, in milliseconds since the Unix epoch.
///
/// # Errors
/// What Java's exception would say.
pub fn parse_datetime(text: &str) -> Result<i64, String> {
    let Some((_, time)) = text.split_once('T') else {
        return Err("Error parsing timestamp. It does not contain a 'T' according to ISO8601 format".to_owned());
    };
    let zoned = if time.contains(['+', '-', 'Z']) { text.to_owned() } else { format!("{text}Z") };
    read_datetime(&zoned).ok_or_else(|| format!("Unparseable date: \"{zoned}\""))
}

fn read_datetime(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone_at = time.find(['+', '-', 'Z'])?;
    let (clock, zone) = time.split_at(zone_at);
    let (clock, ms) = clock.split_once('.')?;
    let mut clock = clock.split(':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let ms = number(ms)?;
    let legal = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !legal || date.next().is_some() || clock.next().is_some() || hour > 23 || minute > 59 || second > 59 || ms > 999
    {
        return None;
    }
    let seconds = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some((seconds - offset_seconds(zone)?) * 1000 + ms)
}

fn number(digits: &str) -> Option<i64> {
    let all_digits = !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

fn offset_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, digits) = zone.split_at_checked(1)?;
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "00"));
    let (hours, minutes) =
        (number(hours).filter(|hours| *hours < 24)?, number(minutes).filter(|minutes| *minutes < 60)?);
    Some((hours * 3600 + minutes * 60) * if sign == "-" { -1 } else { 1 })
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 (the algorithm of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a day since 1970-01-01 (the same algorithm, backwards).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A time in UTC by a pattern of `java.text.SimpleDateFormat` that is made of y, M, d, H, m, s and S; quoted text and
/// what is no letter stands for itself.
///
/// # Errors
/// The letter that is not known.
pub fn format_datetime(ms: i64, pattern: &str) -> Result<String, String> {
    let (seconds, millis) = (ms.div_euclid(1000), ms.rem_euclid(1000));
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let mut text = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\'' {
            text.extend(letters.by_ref().take_while(|next| *next != '\''));
            continue;
        }
        if !letter.is_ascii_alphabetic() {
            text.push(letter);
            continue;
        }
        let mut width = 1;
        while letters.next_if_eq(&letter).is_some() {
            width += 1;
        }
        let number = match letter {
            'y' if width == 2 => year % 100,
            'y' => year,
            'M' if width < 3 => month,
            'd' => day,
            'H' => second / 3600,
            'm' => second / 60 % 60,
            's' => second % 60,
            'S' => millis,
            _ => return Err(format!("Illegal pattern character '{letter}'")),
        };
        text.push_str(&format!("{number:0width$}"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_a_zone_or_are_utc() {
        assert_eq!(parse_datetime("1970-01-01T00:00:00.000"), Ok(0));
        // date -u -d 2026-02-28T23:59:59Z +%s
        assert_eq!(parse_datetime("2026-02-28T23:59:59.999Z"), Ok(1_772_323_199_999));
        assert_eq!(parse_datetime("2026-03-01T00:59:59.999+01:00"), Ok(1_772_323_199_999));
        assert_eq!(parse_datetime("2026-02-28T21:59:59.999-02"), Ok(1_772_323_199_999));
        assert_eq!(parse_datetime("1969-12-31T23:59:59.999"), Ok(-1));
    }

    #[test]
    fn what_is_no_date_is_said_in_words() {
        assert!(parse_datetime("2026-01-01").unwrap_err().contains("does not contain a 'T'"));
        for wrong in [
            "2026-02-29T00:00:00.000",
            "2026-13-01T00:00:00.000",
            "2026-01-01T24:00:00.000",
            "2026-01-01T00:00:00",
            "xT",
        ] {
            assert!(parse_datetime(wrong).unwrap_err().starts_with("Unparseable date"), "{wrong}");
        }
    }

    #[test]
    fn times_are_written_by_their_pattern() {
        // date -u -d @1772323199 gives 2026-02-28 23:59:59.
        assert_eq!(format_datetime(1_772_323_199_007, "yyyy-MM-dd HH:mm:ss:SSS").unwrap(), "2026-02-28 23:59:59:007");
        assert_eq!(format_datetime(-1, "d/M/yy 'at' H").unwrap(), "31/12/69 at 23");
        assert_eq!(format_datetime(951_782_400_000, "yyyyMMdd").unwrap(), "20000229");
        assert!(format_datetime(0, "Q").is_err());
    }
}
