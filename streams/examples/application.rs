//! The applications of the live suite, in a process of its own that can be killed, stopped and told to leave:
//! `application TOPOLOGY KEY=VALUE...`. `tests/live/Applications.java` has them by Kafka Streams.
//!
//! Prints `running` when all tasks run. At the end of its standard input it leaves the group and closes; a test that dies
//! takes it along.

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use streams::prelude::*;
use streams::serde::TimeWindowedSerde;
use streams::{CloseOptions, GroupMembership, State};

const PATIENCE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let topology = match arguments.next().as_deref() {
        Some("sums") => sums(),
        Some("tables") => tables(),
        Some("counts") => counts(),
        _ => return Err("application sums|tables|counts KEY=VALUE...".into()),
    };
    let config = StreamsConfig::new("application", "localhost:9092").set_all(arguments)?;
    let app = KafkaStreams::new(topology?, config)?;
    app.set_state_listener(|state, _| match state {
        State::Running => println!("running"),
        State::Error => {
            eprintln!("the application ended after an error");
            std::process::exit(1);
        }
        _ => {}
    })?;
    app.set_uncaught_handler(|error| {
        eprintln!("a thread ended: {error:?}");
        streams::Uncaught::ShutdownClient
    })?;
    app.start()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let closed = app.close_with(CloseOptions { limit: PATIENCE, membership: GroupMembership::Leave });
    if closed { Ok(()) } else { Err("it does not close".into()) }
}

/// Sums of what `amounts` holds (nothing, `account cents`) by account, each of which comes out.
fn sums() -> Result<Topology, Box<dyn Error>> {
    let builder = StreamsBuilder::new();
    let amounts: KStream<String, String> = builder.stream("amounts");
    let of_account = |_: Option<String>, amount: String| match amount.split_once(' ') {
        Some((account, cents)) => Ok((account.to_owned(), cents.parse::<i64>().map_err(|error| error.to_string())?)),
        None => Err(format!("{amount:?} is not `account cents`")),
    };
    let sums = amounts.try_map(of_account).group_by_key().reduce(|sum: i64, cents: i64| sum + cents, "sums-store");
    sums.to_stream().to("sums");
    Ok(builder.build()?)
}

/// How often each of the words came, each count of which comes out.
fn counts() -> Result<Topology, Box<dyn Error>> {
    let builder = StreamsBuilder::new();
    let words: KStream<String, String> = builder.stream("words");
    words.group_by(|_, word| word.clone()).count("counts").to_stream().to("counts-out");
    Ok(builder.build()?)
}

/// Five applications in one.
fn tables() -> Result<Topology, Box<dyn Error>> {
    let builder = StreamsBuilder::new();
    let text = |topic: &str| builder.stream::<String, String>(topic);
    let out = |table: &str| format!("{table}-{}", std::env::var("OUTPUT").unwrap_or_else(|_| "out".to_owned()));

    let words = |line: String| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let counts = text("lines").flat_map_values(words).group_by(|_, word| word.clone()).count("word-counts");
    counts.to_stream().to(&out("words"));

    let windows = TimeWindows::of_size_and_grace(30 * SECOND, 5 * SECOND).advance_by(10 * SECOND);
    let clicks = text("clicks").group_by_key().windowed_by(windows).count("click-counts");
    let last = clicks.suppress(Suppressed::until_window_closes(Buffer::unbounded()));
    let windowed = TimeWindowedSerde::new(String::serde(), 30 * SECOND);
    last.to_stream().to_with(&out("windows"), Produced::with(windowed, NumberSerde));

    let near = JoinWindows::of_time_difference_and_grace(5 * SECOND, 3600 * SECOND);
    let paid =
        |order: &String, payment: Option<&String>| format!("{order} {}", payment.map_or("unpaid", String::as_str));
    text("orders").left_join(&text("payments"), paid, near, ()).to(&out("pairs"));

    let items: KTable<String, String> = builder.table("items", ());
    let products: KTable<String, String> = builder.table("products", ());
    let product = |_: &String, item: &String| Some(item.split(' ').next().unwrap_or_default().to_owned());
    let named = |item: &String, product: &String| format!("{item} {product}");
    items.join_foreign_key(&products, product, named, ()).to_stream().to(&out("named"));

    let people: KTable<String, String> = builder.table("people", ());
    let town = |_: &String, person: &String| {
        let (town, coins) = person.split_once(' ').unwrap_or((person, ""));
        (town.to_owned(), coins.to_owned())
    };
    let coins = |coins: &str| coins.parse::<i64>().map_err(|error| error.to_string());
    let towns = people.group_by(town, ()).aggregate(
        || 0,
        move |_, one, sum: i64| coins(&one).map(|one| sum + one),
        move |_, one, sum: i64| coins(&one).map(|one| sum - one),
        "towns",
    );
    towns.to_stream().to(&out("towns"));
    Ok(builder.build()?)
}
