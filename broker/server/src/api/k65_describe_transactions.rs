//! DescribeTransactions (key 65), v0. The state of transactional ids that this broker coordinates.
//! Authorizes: Describe on TransactionalId, and on each Topic shown.   Waits: no.

use millstream_broker_coordinator::txn::view::TxnDescription;
use millstream_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use millstream_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, ProducerId, StrBytes, TopicName, TransactionalId,
};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(0, 0);

/// Handles the request.
pub fn handle(context: &Context, request: DescribeTransactionsRequest) -> Outcome<DescribeTransactionsResponse> {
    let txns = &context.node.coordinators.txns;
    let states = request.transactional_ids.into_iter().map(|id| match txns.describe(&id) {
        Ok(description) => described(id, description),
        Err(error) => TransactionState::default().with_transactional_id(id).with_error_code(error.code()),
    });
    DescribeTransactionsResponse::default().with_transaction_states(states.collect()).into()
}

fn described(id: TransactionalId, description: TxnDescription) -> TransactionState {
    let mut topics: Vec<TopicData> = Vec::new();
    for partition in description.partitions {
        match topics.last_mut() {
            Some(last) if **last.topic == *partition.topic => last.partitions.push(partition.partition),
            _ => {
                let name = TopicName::from(StrBytes::from_string(partition.topic.to_string()));
                topics.push(TopicData::default().with_topic(name).with_partitions(vec![partition.partition]));
            }
        }
    }
    TransactionState::default()
        .with_transactional_id(id)
        .with_transaction_state(StrBytes::from_static_str(description.state.name()))
        .with_transaction_timeout_ms(description.timeout_ms)
        .with_transaction_start_time_ms(description.start_ms)
        .with_producer_id(ProducerId(description.producer_id))
        .with_producer_epoch(description.producer_epoch)
        .with_topics(topics)
}
