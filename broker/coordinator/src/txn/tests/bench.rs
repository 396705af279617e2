//! A shard on a test bench: a log that takes or refuses appends, markers that are answered by hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::BytesMut;
use millstream_protocol::error_code::ErrorCode;

use crate::record_txn::{write_key, write_value};
use crate::step::{Append, AppendError, AppendToken, Effects, Event, Machine, Now, Replayed, Token, TransactionResult};
use crate::txn::markers::{MarkerAnswer, Markers};
use crate::txn::producer_ids::{ProducerIdBlock, ProducerIds};
use crate::txn::shard::*;
use crate::txn::state::{TransactionVersion, TxnState};
use crate::txn::transaction::{TopicPartition, TxnData};

pub const NOW: i64 = 1_700_000_000_000;
pub const ID: &str = "payments";

/// A record as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

pub struct Bench {
    pub now: i64,
    /// How far the wall time is from the steady one.
    pub wall_shift: i64,
    pub config: TxnConfig,
    pub ids: ProducerIds,
    pub shard: TxnShard,
    /// What the log holds.
    pub log: Vec<Logged>,
    /// Appends that are neither taken nor refused yet.
    pub appends: Vec<Append>,
    pub markers: Vec<Markers>,
    pub replies: Vec<(Token, TxnReply)>,
    next_token: u64,
    epoch: i32,
}

impl Bench {
    pub fn new() -> Self {
        Self::with(TxnConfig::default())
    }

    pub fn with(config: TxnConfig) -> Self {
        Self::loaded(config, &[])
    }

    /// A shard that holds one transaction, as loaded from the log.
    pub fn holding(data: TxnData) -> Self {
        Self::loaded(TxnConfig::default(), &[data])
    }

    fn loaded(config: TxnConfig, data: &[TxnData]) -> Self {
        let ids = ProducerIds::new();
        ids.put(ProducerIdBlock { first: 1000, count: 1000 }).expect("a sound block");
        let mut bench = Bench {
            now: NOW,
            wall_shift: 0,
            shard: TxnShard::new(Arc::new(config.clone()), ids.clone()),
            config,
            ids,
            log: data.iter().map(logged).collect(),
            appends: Vec::new(),
            markers: Vec::new(),
            replies: Vec::new(),
            next_token: 0,
            epoch: 2,
        };
        bench.crash();
        // What only memory knows.
        if let (Some(data), Some(txn)) = (data.first(), bench.shard.transactions.get_mut(ID)) {
            txn.data.last_producer_epoch = data.last_producer_epoch;
        }
        bench
    }

    pub fn reconfigure(&mut self, change: impl FnOnce(&mut TxnConfig)) {
        change(&mut self.config);
        self.shard.reconfigure(Arc::new(self.config.clone()));
    }

    pub fn ask(&mut self, request: TxnRequest) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.step(Event::Ask { token, request });
        token
    }

    pub fn tick(&mut self) {
        self.step(Event::Tick);
    }

    pub fn wake_at(&self) -> Option<i64> {
        self.shard.next_wakeup()
    }

    fn now(&self) -> Now {
        Now { wall_ms: self.now.saturating_add(self.wall_shift), steady_ms: self.now }
    }

    pub fn step(&mut self, event: Event<TxnRequest>) {
        let mut effects = Effects::default();
        self.shard.step(self.now(), event, &mut effects);
        self.take(effects);
    }

    fn take(&mut self, effects: Effects<TxnShard>) {
        self.appends.extend(effects.appends);
        self.markers.extend(effects.commands);
        for (token, reply) in effects.replies {
            assert!(self.replies.iter().all(|(other, _)| *other != token), "{token:?} is answered twice");
            if reply != TxnReply::Noted {
                self.replies.push((token, reply));
            }
        }
    }

    /// The log takes the oldest open append.
    pub fn append_one(&mut self) {
        let append = self.appends.remove(0);
        self.log.extend(records(&append));
        self.step(Event::Appended { token: append.token, base_offset: self.log.len() as i64 });
    }

    pub fn fail_one(&mut self, error: AppendError) {
        let token: AppendToken = self.appends.remove(0).token;
        self.step(Event::AppendFailed { token, error });
    }

    /// Every partition of the oldest open markers answers so.
    pub fn answer_markers(&mut self, answer: MarkerAnswer) {
        let markers = self.markers.remove(0);
        let answers = markers.partitions.iter().map(|partition| (partition.clone(), answer)).collect();
        self.ask(TxnRequest::MarkersAnswered { markers, answers });
    }

    /// Takes all appends and writes all markers until nothing is open.
    pub fn settle(&mut self) {
        while !self.appends.is_empty() || !self.markers.is_empty() {
            if !self.appends.is_empty() {
                self.append_one();
            } else {
                self.answer_markers(MarkerAnswer::Written);
            }
        }
    }

    pub fn reply(&mut self, token: Token) -> Option<TxnReply> {
        let at = self.replies.iter().position(|(other, _)| *other == token)?;
        Some(self.replies.remove(at).1)
    }

    pub fn send_init(&mut self, expected: Option<(i64, i16)>) -> Token {
        self.ask(TxnRequest::InitProducerId(init_request(expected)))
    }

    pub fn init(&mut self, expected: Option<(i64, i16)>) -> (ErrorCode, i64, i16) {
        let token = self.send_init(expected);
        self.settle();
        match self.reply(token) {
            Some(TxnReply::InitProducerId { error, producer_id, producer_epoch }) => {
                (error, producer_id, producer_epoch)
            }
            other => panic!("InitProducerId is answered by {other:?}"),
        }
    }

    pub fn send_add(&mut self, identity: (i64, i16), partition: i32, version: TransactionVersion) -> Token {
        self.ask(TxnRequest::AddPartitions(add_request(identity, partition, version)))
    }

    pub fn add(&mut self, identity: (i64, i16), partition: i32, version: TransactionVersion) -> ErrorCode {
        let token = self.send_add(identity, partition, version);
        self.settle();
        match self.reply(token) {
            Some(TxnReply::AddPartitions(error)) => error,
            other => panic!("AddPartitions is answered by {other:?}"),
        }
    }

    pub fn send_end(&mut self, identity: (i64, i16), result: TransactionResult, version: TransactionVersion) -> Token {
        self.ask(TxnRequest::EndTxn(end_request(identity, result, version)))
    }

    pub fn end(
        &mut self,
        identity: (i64, i16),
        result: TransactionResult,
        version: TransactionVersion,
    ) -> (ErrorCode, i64, i16) {
        let token = self.send_end(identity, result, version);
        self.settle();
        self.end_reply(token)
    }

    pub fn end_reply(&mut self, token: Token) -> (ErrorCode, i64, i16) {
        match self.reply(token) {
            Some(TxnReply::EndTxn { error, producer_id, producer_epoch }) => (error, producer_id, producer_epoch),
            other => panic!("EndTxn is answered by {other:?}"),
        }
    }

    pub fn data(&self) -> &TxnData {
        &self.shard.transactions[ID].data
    }

    /// The shard dies; another reads the log.
    pub fn crash(&mut self) {
        self.appends.clear();
        self.markers.clear();
        self.shard = TxnShard::new(Arc::new(self.config.clone()), self.ids.clone());
        for (offset, record) in self.log.iter().enumerate() {
            self.shard.replay(Replayed {
                offset: offset as i64,
                timestamp: NOW,
                key: Some(&record.key),
                value: record.value.as_deref(),
                producer_id: -1,
                producer_epoch: -1,
            });
        }
        assert_eq!(self.shard.unreadable_records(), 0);
        self.epoch += 1;
        let mut effects = Effects::default();
        self.shard.loaded(self.now(), self.epoch, &mut effects);
        self.take(effects);
    }
}

/// The records of a batch that the shard built.
pub fn records(append: &Append) -> Vec<Logged> {
    let varint = |bytes: &mut &[u8]| {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return (value >> 1) as i64 ^ -((value & 1) as i64);
            }
        }
    };
    let field = |bytes: &mut &[u8]| {
        let length = usize::try_from(varint(bytes)).ok()?;
        let (field, rest) = bytes.split_at(length);
        *bytes = rest;
        Some(field.to_vec())
    };
    let mut bytes = &append.batch[61..];
    let mut records = Vec::new();
    while !bytes.is_empty() {
        varint(&mut bytes);
        bytes = &bytes[1..];
        varint(&mut bytes);
        varint(&mut bytes);
        let key = field(&mut bytes).expect("every record has a key");
        let value = field(&mut bytes);
        assert_eq!(varint(&mut bytes), 0, "no headers");
        records.push(Logged { key, value });
    }
    records
}

/// The record of this data.
pub fn logged(data: &TxnData) -> Logged {
    let (mut key, mut value) = (BytesMut::new(), BytesMut::new());
    write_key(&mut key, ID);
    write_value(&mut value, data, TransactionVersion::Tv2);
    Logged { key: key.to_vec(), value: Some(value.to_vec()) }
}

pub fn init_request(expected: Option<(i64, i16)>) -> InitProducerId {
    InitProducerId { transactional_id: ID.into(), timeout_ms: 60_000, expected }
}

pub fn add_request(
    (producer_id, producer_epoch): (i64, i16),
    partition: i32,
    version: TransactionVersion,
) -> AddPartitions {
    AddPartitions {
        transactional_id: ID.into(),
        producer_id,
        producer_epoch,
        partitions: BTreeSet::from([TopicPartition::new("orders", partition)]),
        client_version: version,
    }
}

pub fn end_request(
    (producer_id, producer_epoch): (i64, i16),
    result: TransactionResult,
    version: TransactionVersion,
) -> EndTxn {
    EndTxn { transactional_id: ID.into(), producer_id, producer_epoch, result, client_version: version }
}

/// Producer 7 at epoch 5 in this state, as the log would hold it.
pub fn data_in(state: TxnState) -> TxnData {
    let mut data = TxnData::new(7, 60_000, NOW - 1000);
    data.previous_producer_id = 7;
    data.producer_epoch = 5;
    data.last_producer_epoch = 4;
    data.state = state;
    if state != TxnState::Empty {
        data.start_ms = NOW - 1000;
    }
    if matches!(state, TxnState::Ongoing | TxnState::PrepareCommit | TxnState::PrepareAbort) {
        data.partitions.insert(TopicPartition::new("orders", 0));
    }
    data
}
