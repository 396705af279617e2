//! The transaction coordinator of this node: its shards, its producer ids, and what handlers ask of them.
//!
//! Called by the handlers of InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, DescribeTransactions
//! and ListTransactions, and by Produce and TxnOffsetCommit through [`verify`]. The rules are the shard's
//! (`broker/coordinator` txn); versions and authorization are the handlers'.
//!
//! Not done: a change of the finalized `transaction.version` reaches a shard when it is loaded, not before.

use std::sync::Arc;

use futures_util::FutureExt;
use millstream_base_config::BrokerConfig;
use millstream_base_env::{Clock, task};
use millstream_broker_controller::Controller;
use millstream_broker_coordinator::step::TransactionResult;
use millstream_broker_coordinator::txn::producer_ids::{ProducerIdBlock, ProducerIds};
use millstream_broker_coordinator::txn::shard::{
    AddPartitions, EndTxn, InitProducerId, TxnConfig, TxnReply, TxnRequest, TxnShard,
};
use millstream_broker_coordinator::txn::state::{TransactionVersion, TxnState};
use millstream_broker_coordinator::txn::transaction::TopicPartition;
use millstream_broker_coordinator::txn::view::{TxnDescription, TxnFilter, TxnListing};
use millstream_protocol::error_code::ErrorCode;
use tokio::sync::Notify;

use crate::coord::answer::{Answer, unavailable};
use crate::coord::find::partition_for;
use crate::coord::internal_topics;
use crate::coord::shard::{Asked, Unavailable};
use crate::coord::shards::Shards;
use crate::coord::timer::Timer;

/// Markers to the partitions of this node.
pub mod markers;
/// Verification and implicit adding of partitions (KIP-890).
pub mod verify;

use markers::MarkerWriter;

/// The feature whose finalized level says which generation of the protocol the cluster speaks.
const FEATURE: &str = "transaction.version";

/// Id and epoch, or why there are none.
pub type Identity = Result<(i64, i16), ErrorCode>;

/// The transaction coordinator; cheap to clone.
#[derive(Clone)]
pub struct TxnCoordinator {
    shards: Arc<Shards<TxnShard>>,
    ids: ProducerIds,
    block_arrived: Arc<Notify>,
    controller: Controller,
    partitions_default: i32,
    clock: Clock,
    retry: verify::Retry,
    writer: Arc<MarkerWriter>,
}

impl TxnCoordinator {
    /// A coordinator without shards: they come with leadership of the partitions of `__transaction_state`.
    pub fn new(
        config: &BrokerConfig,
        controller: Controller,
        clock: Clock,
        timer: Timer,
        writer: Arc<MarkerWriter>,
    ) -> Self {
        let ids = ProducerIds::new();
        let base = txn_config(config);
        let new_machine = {
            let (ids, controller) = (ids.clone(), controller.clone());
            move |_partition| {
                let level = controller.image().features().get(FEATURE).copied().unwrap_or(0);
                let server_version = TransactionVersion::from_level(level);
                TxnShard::new(Arc::new(TxnConfig { server_version, ..base.clone() }), ids.clone())
            }
        };
        let outside = markers::outside(writer.clone());
        TxnCoordinator {
            shards: Arc::new(Shards::new(clock.clone(), timer, Box::new(new_machine), outside)),
            ids,
            block_arrived: Arc::new(Notify::new()),
            controller,
            partitions_default: i32::try_from(config.number("transaction.state.log.num.partitions")).unwrap_or(50),
            clock,
            retry: verify::Retry::new(config),
            writer,
        }
    }

    /// The shards, for the replica layer that leads and resigns.
    pub fn shards(&self) -> &Arc<Shards<TxnShard>> {
        &self.shards
    }

    /// The partition that coordinates a transactional id.
    pub fn partition_for(&self, transactional_id: &str) -> i32 {
        let image = self.controller.image();
        let count = image
            .topic(internal_topics::TRANSACTIONS)
            .map_or(self.partitions_default, |topic| topic.partitions.len() as i32);
        partition_for(transactional_id, count)
    }

    /// A producer id without a transactional id.
    pub fn new_producer_id(&self) -> Answer<Identity> {
        if let Some(id) = self.take_id() {
            return Answer::Now(Ok((id, 0)));
        }
        let this = self.clone();
        Answer::Later(
            async move {
                this.await_ids().await;
                this.take_id().map(|id| (id, 0)).ok_or(ErrorCode::CoordinatorLoadInProgress)
            }
            .boxed(),
        )
    }

    /// InitProducerId of a transactional id.
    pub fn init_producer_id(&self, request: InitProducerId) -> Answer<Identity> {
        if self.ids.ready() {
            self.prefetch();
            return self.ask_init(request);
        }
        let this = self.clone();
        Answer::Later(
            async move {
                this.await_ids().await;
                this.ask_init(request).wait().await
            }
            .boxed(),
        )
    }

    /// AddPartitionsToTxn and AddOffsetsToTxn.
    pub fn add_partitions(&self, request: AddPartitions) -> Answer<ErrorCode> {
        let partition = self.partition_for(&request.transactional_id);
        let asked = self.shards.ask(partition, TxnRequest::AddPartitions(request));
        let pick = |reply| match reply {
            TxnReply::AddPartitions(error) => error,
            _ => ErrorCode::UnknownServerError,
        };
        Answer::of(asked, pick, |_, error| error, |error| error)
    }

    /// EndTxn. Id and epoch are -1 for clients before version 2.
    pub fn end(&self, request: EndTxn) -> Answer<Identity> {
        let partition = self.partition_for(&request.transactional_id);
        self.prefetch();
        identity(self.shards.ask(partition, TxnRequest::EndTxn(request)))
    }

    /// A transactional id for DescribeTransactions.
    ///
    /// # Errors
    /// The code of its answer.
    pub fn describe(&self, transactional_id: &str) -> Result<TxnDescription, ErrorCode> {
        // Before the coordinator is asked, as Apache does: an empty id belongs to no shard.
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        self.look(transactional_id, |shard| shard.describe(transactional_id))?
    }

    /// The transactional ids of all shards that pass the filter.
    ///
    /// # Errors
    /// `CoordinatorLoadInProgress` while any shard is loading: a part would be taken for the whole.
    pub fn list(&self, filter: &TxnFilter) -> Result<Vec<TxnListing>, ErrorCode> {
        let now_ms = self.clock.now_ms();
        let mut listings = Vec::new();
        for shard in self.shards.all() {
            match (shard.view(|machine| machine.list(now_ms, filter)), shard.unavailable()) {
                (Some(listing), _) => listings.extend(listing),
                (None, Some(Unavailable::Loading)) => return Err(ErrorCode::CoordinatorLoadInProgress),
                (None, _) => {}
            }
        }
        Ok(listings)
    }

    /// The door to markers, for WriteTxnMarkers.
    pub fn writer(&self) -> &MarkerWriter {
        &self.writer
    }

    /// Verify only: see `TxnShard::verify_partitions`.
    ///
    /// # Errors
    /// The code for every partition.
    pub fn verify_partitions(
        &self,
        transactional_id: &str,
        producer_id: i64,
        producer_epoch: i16,
        partitions: &[TopicPartition],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        if transactional_id.is_empty() {
            return Err(ErrorCode::InvalidRequest);
        }
        self.look(transactional_id, |shard| {
            shard.verify_partitions(transactional_id, producer_id, producer_epoch, partitions)
        })?
    }

    fn look<T>(&self, transactional_id: &str, look: impl FnOnce(&TxnShard) -> T) -> Result<T, ErrorCode> {
        let shard = self.shards.shard(self.partition_for(transactional_id)).ok_or(ErrorCode::NotCoordinator)?;
        match shard.view(look) {
            Some(seen) => Ok(seen),
            None => Err(shard.unavailable().map_or(ErrorCode::NotCoordinator, unavailable)),
        }
    }

    fn ask_init(&self, request: InitProducerId) -> Answer<Identity> {
        let partition = self.partition_for(&request.transactional_id);
        identity(self.shards.ask(partition, TxnRequest::InitProducerId(request)))
    }

    fn take_id(&self) -> Option<i64> {
        let id = self.ids.take();
        self.prefetch();
        id
    }

    /// Fetches the next block in the background when the present one runs low.
    fn prefetch(&self) {
        if self.ids.wanted() {
            let this = self.clone();
            task::spawn("producer id block", async move { this.fetch_block().await });
        }
    }

    /// Until an id can be taken, or the controller refused a block.
    async fn await_ids(&self) {
        let mut arrived = std::pin::pin!(self.block_arrived.notified());
        // Registered before it is decided whether to wait, so that a block that comes in between is not missed.
        arrived.as_mut().enable();
        if self.ids.ready() {
            return;
        }
        if self.ids.wanted() {
            self.fetch_block().await;
        } else {
            arrived.await;
        }
    }

    async fn fetch_block(&self) {
        match self.controller.allocate_producer_ids().await {
            Ok(block) => {
                if let Err(error) = self.ids.put(ProducerIdBlock { first: block.first, count: block.count }) {
                    tracing::error!(%error, "the controller allocated producer ids that cannot be used");
                }
            }
            Err(error) => {
                self.ids.fetch_failed();
                tracing::warn!(?error, "no producer ids from the controller");
            }
        }
        self.block_arrived.notify_waiters();
    }
}

/// What a shard takes from the broker's configuration.
fn txn_config(config: &BrokerConfig) -> TxnConfig {
    let number = |name| i32::try_from(config.number(name)).unwrap_or(i32::MAX);
    TxnConfig {
        max_timeout_ms: number("transaction.max.timeout.ms"),
        id_expiration_ms: config.number("transactional.id.expiration.ms"),
        abort_scan_ms: config.number("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
        expire_scan_ms: config.number("transaction.remove.expired.transaction.cleanup.interval.ms"),
        server_version: TransactionVersion::default(),
        batch_bytes_max: usize::try_from(config.number("message.max.bytes")).unwrap_or(1_048_588),
    }
}

/// The identity that an answer names.
fn identity(asked: Asked<TxnShard>) -> Answer<Identity> {
    let pick = |reply| match reply {
        TxnReply::InitProducerId { error, producer_id, producer_epoch }
        | TxnReply::EndTxn { error, producer_id, producer_epoch } => match error {
            ErrorCode::None => Ok((producer_id, producer_epoch)),
            error => Err(error),
        },
        TxnReply::AddPartitions(_) | TxnReply::Noted => Err(ErrorCode::UnknownServerError),
    };
    Answer::of(asked, pick, |_, error| Err(error), Err)
}

/// The result that a boolean of the protocol means.
pub fn result_of(committed: bool) -> TransactionResult {
    if committed { TransactionResult::Commit } else { TransactionResult::Abort }
}

/// States by the names of a ListTransactions filter: those that are known, and the names that are not.
pub fn states_of(names: &[String]) -> (Vec<TxnState>, Vec<String>) {
    let mut unknown = Vec::new();
    let known = names
        .iter()
        .filter_map(|name| {
            let state = TxnState::from_name(name);
            if state.is_none() {
                unknown.push(name.clone());
            }
            state
        })
        .collect();
    (known, unknown)
}
