//! Enriches orders with their customers: a join of two tables by a key inside the rows of the first (KIP-213).
//!
//! A row of the result changes with the order and with the customer; an order whose customer is not known yet has none.

use serde::{Deserialize, Serialize};
use streams::prelude::*;

const ORDERS: &str = "orders";
const CUSTOMERS: &str = "customers";
const OUTPUT: &str = "enriched-orders";

/// What was ordered, by whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    customer: String,
    item: String,
}

/// Who orders.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Customer {
    name: String,
    city: String,
}

/// An order with what is needed to send it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Enriched {
    item: String,
    to: String,
    city: String,
}

fn topology() -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    let orders = builder.table_with(ORDERS, Consumed::with(StringSerde, JsonSerde::<Order>::new()), "orders-store");
    let customers =
        builder.table_with(CUSTOMERS, Consumed::with(StringSerde, JsonSerde::<Customer>::new()), "customers-store");
    orders
        .join_foreign_key(
            &customers,
            |_order, order| Some(order.customer.clone()),
            |order, customer| Enriched {
                item: order.item.clone(),
                to: customer.name.clone(),
                city: customer.city.clone(),
            },
            Materialized::named("enriched").serdes(StringSerde, JsonSerde::<Enriched>::new()),
        )
        .to_stream()
        .to(OUTPUT);
    Ok(builder.build()?)
}

/// Settings of the command line (`key=value`) over those of the example.
fn config() -> anyhow::Result<StreamsConfig> {
    let log = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN);
    log.with_writer(std::io::stderr).init();
    let config = StreamsConfig::new("foreign-key", "localhost:9092")
        // Caches are off, so that each change shows at once.
        .set("statestore.cache.max.bytes", 0);
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
    fn an_order_follows_its_customer() -> anyhow::Result<()> {
        let config = StreamsConfig::new("test", "localhost:9092").set("statestore.cache.max.bytes", 0);
        let mut driver = TopologyTestDriver::new(&topology()?, config)?;
        let orders = driver.input_with(ORDERS, StringSerde, JsonSerde::<Order>::new());
        let customers = driver.input_with(CUSTOMERS, StringSerde, JsonSerde::<Customer>::new());
        let mut output = driver.output_with(OUTPUT, StringSerde, JsonSerde::<Enriched>::new());
        let order = Order { customer: "c1".to_owned(), item: "tea".to_owned() };
        orders.pipe(&mut driver, "o1", order, 0)?;
        assert!(output.read(&mut driver).is_empty(), "the customer is not known yet");
        for (time, city) in [(1, "Rome"), (2, "Oslo")] {
            let customer = Customer { name: "Ann".to_owned(), city: city.to_owned() };
            customers.pipe(&mut driver, "c1", customer, time)?;
            assert_eq!(output.read_map(&mut driver)["o1"].city, city);
        }
        customers.pipe(&mut driver, "c1", None, 3)?;
        assert_eq!(output.read(&mut driver), [(Some("o1".to_owned()), None)]);
        Ok(())
    }
}
