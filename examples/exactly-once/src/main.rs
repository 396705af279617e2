//! Keeps the balances of accounts: each transfer of `transfers` books its money out of one account and into another.
//!
//! Under `exactly_once_v2` what was read, the balances and what was written are committed in one transaction a thread: after
//! a crash no transfer is booked twice or by half, so the balances add up to nothing at any time for whoever reads
//! committed records.

use serde::{Deserialize, Serialize};
use streams::prelude::*;

const INPUT: &str = "transfers";
const OUTPUT: &str = "balances";

/// Money on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Transfer {
    from: String,
    to: String,
    cents: i64,
}

fn topology() -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    let transfers: KStream<String, Transfer> =
        builder.stream_with(INPUT, Consumed::with(StringSerde, JsonSerde::<Transfer>::new()));
    transfers
        .flat_map(|_, transfer| [(transfer.from, -transfer.cents), (transfer.to, transfer.cents)])
        .group_by_key()
        // A sum that is too large fails the record, and with it the transaction: nothing of the transfer is booked.
        .reduce(|sum: i64, cents| sum.checked_add(cents).ok_or("the balance is too large"), "balances-store")
        .to_stream()
        .to(OUTPUT);
    Ok(builder.build()?)
}

/// Settings of the command line (`key=value`) over those of the example.
fn config() -> anyhow::Result<StreamsConfig> {
    let log = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN);
    log.with_writer(std::io::stderr).init();
    let config = StreamsConfig::new("exactly-once", "localhost:9092")
        // Caches are off, so that each change shows at once.
        .set("statestore.cache.max.bytes", 0)
        .set("processing.guarantee", "exactly_once_v2");
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
    fn balances_add_up_to_nothing() -> anyhow::Result<()> {
        let mut driver = TopologyTestDriver::new(&topology()?, StreamsConfig::new("test", "localhost:9092"))?;
        let input = driver.input_with(INPUT, StringSerde, JsonSerde::<Transfer>::new());
        for (from, to, cents) in [("ann", "bob", 500), ("bob", "cid", 200)] {
            input.pipe(&mut driver, None, Transfer { from: from.to_owned(), to: to.to_owned(), cents }, 0)?;
        }
        let balances = driver.store::<KeyValue<String, i64>>("balances-store")?;
        assert_eq!(
            (balances.get("ann")?, balances.get("bob")?, balances.get("cid")?),
            (Some(-500), Some(300), Some(200))
        );
        Ok(())
    }
}
