//! Masks, normalises and routes sign-ups by what is in them: of a card only the last digits go on, addresses are written in
//! one way, and each record goes to the topic of its region, or to that of those that cannot be used.

use serde::{Deserialize, Serialize};
use streams::prelude::*;

const INPUT: &str = "signups";
const EUROPE: &str = "signups-europe";
const WORLD: &str = "signups-world";
const REJECTED: &str = "signups-rejected";
/// Countries whose records stay in Europe.
const COUNTRIES: [&str; 5] = ["AT", "DE", "ES", "FR", "IT"];

/// Someone new.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Signup {
    name: String,
    email: String,
    country: String,
    card: String,
}

/// All digits but the last four as stars.
fn masked(card: &str) -> String {
    let digits = card.chars().filter(char::is_ascii_digit).count();
    let mut seen = 0;
    let mask = |letter: char| {
        seen += usize::from(letter.is_ascii_digit());
        if letter.is_ascii_digit() && seen + 4 <= digits { '*' } else { letter }
    };
    card.chars().map(mask).collect()
}

fn is_address(email: &str) -> bool {
    email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}

fn topology() -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    let json = || JsonSerde::<Signup>::new();
    let clean = builder.stream_with(INPUT, Consumed::with(StringSerde, json())).map_values(|signup: Signup| Signup {
        name: signup.name.trim().to_owned(),
        email: signup.email.trim().to_lowercase(),
        country: signup.country.trim().to_uppercase(),
        card: masked(&signup.card),
    });
    let branches = clean
        .split("to-")
        .branch(|_, signup| signup.is_some_and(|signup| !is_address(&signup.email)), "rejected")
        .branch(|_, signup| signup.is_some_and(|signup| COUNTRIES.contains(&signup.country.as_str())), "europe")
        .default_branch("world");
    for (branch, topic) in [("to-rejected", REJECTED), ("to-europe", EUROPE), ("to-world", WORLD)] {
        branches[branch].to_with(topic, Produced::with(StringSerde, json()));
    }
    Ok(builder.build()?)
}

/// Settings of the command line (`key=value`) over those of the example.
fn config() -> anyhow::Result<StreamsConfig> {
    let log = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN);
    log.with_writer(std::io::stderr).init();
    let config = StreamsConfig::new("mask-and-route", "localhost:9092");
    Ok(config.set_all(std::env::args().skip(1))?)
}

fn main() -> anyhow::Result<()> {
    let config = config()?;
    KafkaStreams::new(topology()?, config)?.run_until_ctrl_c()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_goes_its_way_without_its_card() -> anyhow::Result<()> {
        let mut driver = TopologyTestDriver::new(&topology()?, StreamsConfig::new("test", "localhost:9092"))?;
        let input = driver.input_with(INPUT, StringSerde, JsonSerde::<Signup>::new());
        let signup = |email: &str, country: &str| Signup {
            name: " Ann ".to_owned(),
            email: email.to_owned(),
            country: country.to_owned(),
            card: "4000 1234 5678 9010".to_owned(),
        };
        for (email, country) in [("Ann@Example.org ", "fr"), ("ann@example.org", "US"), ("nobody", "FR")] {
            input.pipe(&mut driver, None, signup(email, country), 0)?;
        }
        let read = |driver: &mut TopologyTestDriver, topic| {
            driver.output_with(topic, StringSerde, JsonSerde::<Signup>::new()).read_values(driver)
        };
        let expected = |email: &str, country: &str| Signup {
            name: "Ann".to_owned(),
            card: "**** **** **** 9010".to_owned(),
            ..signup(email, country)
        };
        assert_eq!(read(&mut driver, EUROPE), [Some(expected("ann@example.org", "FR"))]);
        assert_eq!(read(&mut driver, WORLD), [Some(expected("ann@example.org", "US"))]);
        assert_eq!(read(&mut driver, REJECTED), [Some(expected("nobody", "FR"))]);
        Ok(())
    }
}
