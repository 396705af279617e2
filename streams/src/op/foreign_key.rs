//! The parts of a foreign-key join (KIP-213), in the order in which a change of the left table runs through them:
//! a subscription goes to the partition of the foreign key, is kept there, and is answered at once and whenever the
//! foreign row changes; the answer goes back to the partition of the primary key and is joined if it is about the row
//! that is there now.
//! Recorded by `dsl`. Primary keys stay bytes on the foreign side. Never keeps a row itself: that is the stores'.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::edge::{Partitioner, Sink};
use super::getter::{Getter, LinkedGetter};
use super::join::{JoinKind, Joiner, KeySelector};
use crate::dsl::options::KeyPartitioner;
use crate::record::{Change, Data, Header, Record};
use crate::serde::{BytesSerde, Serde, SerdeError, SharedSerde, bytes_of};
use crate::state::Order;
use crate::state::format::foreign::{Instruction, Response, Subscription, ValueHash, write_combined_key, write_prefix};
use crate::state::format::murmur3::hash128;
use crate::state::rows::after_prefix;
use crate::store::{Stamped, TableStore};
use crate::topology::processor::{AnyLink, Children, Context, LinkError, Linking, Operator, Process, ProcessResult};

/// Subscriptions by foreign and primary key.
pub type SubscriptionStore = TableStore<Bytes, Subscription>;

/// The version of a subscription that says which partition to answer to.
const WITH_PARTITION: u8 = 1;

/// An answer, and the partition that it goes to where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The answer.
    pub response: Response,
    /// The partition of the primary key.
    pub partition: Option<i32>,
}

/// Subscriptions as bytes of their topic and store.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionSerde;

impl Serde<Subscription> for SubscriptionSerde {
    fn serialize(&self, value: &Subscription, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.write(out);
        Ok(())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Subscription, SerdeError> {
        let found = bytes.len();
        Subscription::read(bytes).map_err(|_| SerdeError::Malformed { expected: "subscription", found })
    }
}

/// Answers as bytes of their topic; the partition is the record's.
#[derive(Debug, Clone, Copy)]
pub struct AnswerSerde;

impl Serde<Answer> for AnswerSerde {
    fn serialize(&self, value: &Answer, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        value.response.write(out);
        Ok(())
    }

    fn deserialize(&self, bytes: Bytes) -> Result<Answer, SerdeError> {
        let found = bytes.len();
        match Response::read(bytes) {
            Ok(response) => Ok(Answer { response, partition: None }),
            Err(_) => Err(SerdeError::Malformed { expected: "answer to a subscription", found }),
        }
    }
}

/// Sends answers to where the user says that the primary key is (KTableImpl.ForeignResponseSinkPartitioner).
pub struct AnswerSink<K> {
    /// Of the primary keys, which are bytes here.
    pub key: Option<SharedSerde<K>>,
    /// The partition of a key.
    pub partitioner: KeyPartitioner<K>,
}

impl<K: Data> Operator for AnswerSink<K> {
    fn name(&self) -> &'static str {
        "foreign-key answer"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        let (serde, partitioner) = (linking.serde(&self.key)?, Arc::clone(&self.partitioner));
        let of_key: Partitioner<Bytes, Answer> = Arc::new(move |topic, key, _, count| {
            // The serde wrote these bytes: where it cannot read them itself, nobody reads the answer either.
            let key = key.and_then(|key| serde.deserialize(key.clone()).ok());
            partitioner(topic, key.as_ref(), count).map(|partition| vec![partition])
        });
        let (key, value): (SharedSerde<Bytes>, SharedSerde<Answer>) = (Arc::new(BytesSerde), Arc::new(AnswerSerde));
        let sink = Sink { key: Some(key), value: Some(value), partitioner: Some(of_key), chooser: None };
        sink.link(children, linking)
    }
}

/// Sends a subscription to the partition of the foreign key (SubscriptionSendProcessorSupplier).
pub struct SendSubscription<K, L, F> {
    /// A row to its foreign key.
    pub foreign_key: KeySelector<K, L, F>,
    /// Which sides must be there.
    pub kind: JoinKind,
    /// Of the primary keys.
    pub primary: Option<SharedSerde<K>>,
    /// Of the foreign keys: two are the same if their bytes are.
    pub foreign: Option<SharedSerde<F>>,
    /// Of the rows, which are known by the hash of their bytes.
    pub value: Option<SharedSerde<L>>,
}

impl<K: Data, L: Data, F: Data> Operator for SendSubscription<K, L, F> {
    fn name(&self) -> &'static str {
        "foreign-key subscription"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        Ok(AnyLink::new::<K, Change<L>>(Sending {
            foreign_key: Arc::clone(&self.foreign_key),
            kind: self.kind,
            primary: linking.serde(&self.primary)?,
            foreign: linking.serde(&self.foreign)?,
            value: linking.serde(&self.value)?,
            reads_versions: linking.reads_versions(),
            bytes: Vec::new(),
            children: Children::<F, Subscription>::typed(children)?,
        }))
    }
}

struct Sending<K, L, F> {
    foreign_key: KeySelector<K, L, F>,
    kind: JoinKind,
    primary: SharedSerde<K>,
    foreign: SharedSerde<F>,
    value: SharedSerde<L>,
    reads_versions: bool,
    bytes: Vec<u8>,
    children: Children<F, Subscription>,
}

/// What is the same in all subscriptions of one change.
struct Subscriber {
    primary_key: Bytes,
    hash: Option<ValueHash>,
    timestamp: i64,
    headers: Vec<Header>,
}

impl<K: Data, L: Data, F: Data> Sending<K, L, F> {
    fn is_same(&mut self, old: &F, new: Option<&F>) -> Result<bool, SerdeError> {
        let Some(new) = new else { return Ok(false) };
        self.bytes.clear();
        self.foreign.serialize(old, &mut self.bytes)?;
        let split = self.bytes.len();
        self.foreign.serialize(new, &mut self.bytes)?;
        Ok(self.bytes[..split] == self.bytes[split..])
    }

    fn send(
        &mut self,
        subscriber: &Subscriber,
        foreign: Option<F>,
        instruction: Instruction,
        context: &mut Context,
    ) -> ProcessResult {
        let subscription = Subscription {
            version: WITH_PARTITION,
            instruction,
            hash: subscriber.hash,
            primary_key: subscriber.primary_key.clone(),
            primary_partition: Some(context.origin().partition),
        };
        let record = Record {
            key: foreign,
            value: Some(subscription),
            timestamp: subscriber.timestamp,
            headers: subscriber.headers.clone(),
        };
        self.children.forward(record, context)
    }

    /// An answer must come for each change, so that there is a result with or without a foreign row.
    fn send_left(
        &mut self,
        subscriber: &Subscriber,
        old: Option<F>,
        new: Option<F>,
        context: &mut Context,
    ) -> ProcessResult {
        if let Some(old) = old
            && !self.is_same(&old, new.as_ref())?
        {
            self.send(subscriber, Some(old), Instruction::DeleteNoPropagate, context)?;
        }
        self.send(subscriber, new, Instruction::PropagateNullIfNoForeignValue, context)
    }

    fn send_inner(
        &mut self,
        subscriber: &Subscriber,
        old: Option<F>,
        new: Option<F>,
        context: &mut Context,
    ) -> ProcessResult {
        match (old, new) {
            (None, None) => Ok(()),
            // The row, or its foreign key, is gone: what was joined before is deleted by the answer.
            (Some(old), None) => self.send(subscriber, Some(old), Instruction::DeleteAndPropagate, context),
            (Some(old), Some(new)) if !self.is_same(&old, Some(&new))? => {
                self.send(subscriber, Some(old), Instruction::DeleteNoPropagate, context)?;
                self.send(subscriber, Some(new), Instruction::PropagateNullIfNoForeignValue, context)
            }
            // New, or with the same foreign key: without a foreign row there was no result that must go.
            (_, Some(new)) => self.send(subscriber, Some(new), Instruction::PropagateOnlyIfForeignValue, context),
        }
    }
}

impl<K: Data, L: Data, F: Data> Process<K, Change<L>> for Sending<K, L, F> {
    fn process(&mut self, record: Record<K, Change<L>>, context: &mut Context) -> ProcessResult {
        let Record { key: Some(key), value: Some(change), timestamp, headers } = record else {
            context.drop_record();
            return Ok(());
        };
        if self.reads_versions && !change.latest {
            context.drop_record();
            return Ok(());
        }
        let select = |value: &Option<L>| match value {
            Some(value) => (self.foreign_key)(Some(&key), Some(value)),
            None => Ok(None),
        };
        let (old, new) = (select(&change.old)?, select(&change.new)?);
        let mut primary_key = Vec::new();
        self.primary.serialize(&key, &mut primary_key)?;
        let hash = change.new.as_ref().map(|new| {
            self.bytes.clear();
            self.value.serialize(new, &mut self.bytes).map(|()| hash128(&self.bytes))
        });
        let hash = hash.transpose()?;
        let subscriber = Subscriber { primary_key: Bytes::from(primary_key), hash, timestamp, headers };
        if self.kind == JoinKind::Inner {
            if change.new.is_some() && new.is_none() {
                context.drop_record();
            }
            return self.send_inner(&subscriber, old, new, context);
        }
        if change.old.is_none() && change.new.is_none() {
            return Ok(());
        }
        self.send_left(&subscriber, old, new, context)
    }
}

/// Keeps a subscription, or forgets it (SubscriptionReceiveProcessorSupplier).
pub struct ReceiveSubscription<F> {
    /// The store of subscriptions.
    pub store: String,
    /// Of the foreign keys.
    pub foreign: Option<SharedSerde<F>>,
}

impl<F: Data> Operator for ReceiveSubscription<F> {
    fn name(&self) -> &'static str {
        "foreign-key subscription store"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        Ok(AnyLink::new::<F, Subscription>(Receiving {
            store: linking.store::<SubscriptionStore>(&self.store)?,
            foreign: linking.serde(&self.foreign)?,
            children: Children::<F, Subscription>::typed(children)?,
        }))
    }
}

struct Receiving<F> {
    store: Rc<RefCell<SubscriptionStore>>,
    foreign: SharedSerde<F>,
    children: Children<F, Subscription>,
}

impl<F: Data> Process<F, Subscription> for Receiving<F> {
    fn process(&mut self, record: Record<F, Subscription>, context: &mut Context) -> ProcessResult {
        let Some(subscription) = &record.value else { return Ok(()) };
        match &record.key {
            // A left join asks without a foreign key so that an answer comes.
            None if subscription.instruction == Instruction::PropagateNullIfNoForeignValue => {}
            None => {
                context.drop_record();
                return Ok(());
            }
            Some(foreign) => {
                let (mut prefix, mut key) = (Vec::new(), Vec::new());
                self.foreign.serialize(foreign, &mut prefix)?;
                write_combined_key(&prefix, &subscription.primary_key, &mut key);
                let row = match subscription.instruction {
                    Instruction::DeleteNoPropagate | Instruction::DeleteAndPropagate => None,
                    Instruction::PropagateNullIfNoForeignValue | Instruction::PropagateOnlyIfForeignValue => {
                        Some(Stamped { value: subscription.clone(), timestamp: record.timestamp })
                    }
                };
                self.store.borrow_mut().put(&Bytes::from(key), row, record.about(), context)?;
            }
        }
        self.children.forward(record, context)
    }
}

/// Answers a subscription with the foreign row (SubscriptionJoinProcessorSupplier).
pub struct AnswerOne<F, R> {
    /// The foreign table.
    pub getter: Getter<F, R>,
    /// Of its rows.
    pub value: Option<SharedSerde<R>>,
}

impl<F: Data, R: Data> Operator for AnswerOne<F, R> {
    fn name(&self) -> &'static str {
        "foreign-key answer"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        Ok(AnyLink::new::<F, Subscription>(Answering {
            getter: self.getter.link(linking)?,
            value: linking.serde(&self.value)?,
            children: Children::<Bytes, Answer>::typed(children)?,
        }))
    }
}

struct Answering<F, R> {
    getter: LinkedGetter<F, R>,
    value: SharedSerde<R>,
    children: Children<Bytes, Answer>,
}

impl<F: Data, R: Data> Process<F, Subscription> for Answering<F, R> {
    fn process(&mut self, record: Record<F, Subscription>, context: &mut Context) -> ProcessResult {
        let Record { key: foreign, value: Some(subscription), timestamp, headers } = record else {
            return Ok(());
        };
        let row = match &foreign {
            Some(foreign) => self.getter.get(foreign, context)?,
            None => None,
        };
        let timestamp = row.as_ref().map_or(timestamp, |row| timestamp.max(row.timestamp));
        let row = match (subscription.instruction, row) {
            (Instruction::DeleteNoPropagate, _) | (Instruction::PropagateOnlyIfForeignValue, None) => {
                return Ok(());
            }
            (Instruction::DeleteAndPropagate, _) => None,
            (_, row) => row.map(|row| bytes_of(&*self.value, &row.value).map(Bytes::from)).transpose()?,
        };
        let value = Some(answer(&subscription, row));
        let key = Some(subscription.primary_key);
        self.children.forward(Record { key, value, timestamp, headers }, context)
    }
}

fn answer(subscription: &Subscription, foreign_value: Option<Bytes>) -> Answer {
    let response = Response { hash: subscription.hash, foreign_value };
    Answer { response, partition: subscription.primary_partition }
}

/// Answers all subscriptions to a foreign row that changed (ForeignTableJoinProcessorSupplier).
pub struct AnswerAll<F, R> {
    /// The store of subscriptions.
    pub store: String,
    /// Of the foreign keys.
    pub foreign: Option<SharedSerde<F>>,
    /// Of the foreign rows.
    pub value: Option<SharedSerde<R>>,
}

impl<F: Data, R: Data> Operator for AnswerAll<F, R> {
    fn name(&self) -> &'static str {
        "foreign-key update"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        Ok(AnyLink::new::<F, Change<R>>(AnsweringAll {
            store: linking.store::<SubscriptionStore>(&self.store)?,
            foreign: linking.serde(&self.foreign)?,
            value: linking.serde(&self.value)?,
            reads_versions: linking.reads_versions(),
            children: Children::<Bytes, Answer>::typed(children)?,
        }))
    }
}

struct AnsweringAll<F, R> {
    store: Rc<RefCell<SubscriptionStore>>,
    foreign: SharedSerde<F>,
    value: SharedSerde<R>,
    reads_versions: bool,
    children: Children<Bytes, Answer>,
}

impl<F: Data, R: Data> Process<F, Change<R>> for AnsweringAll<F, R> {
    fn process(&mut self, record: Record<F, Change<R>>, context: &mut Context) -> ProcessResult {
        let Record { key: Some(foreign), value: Some(change), timestamp, headers } = record else {
            context.drop_record();
            return Ok(());
        };
        if self.reads_versions && !change.latest {
            context.drop_record();
            return Ok(());
        }
        let mut prefix = Vec::new();
        write_prefix(&bytes_of(&*self.foreign, &foreign)?, &mut prefix);
        // The length before the key is never all ones, so there is a key behind all with the prefix.
        let end = after_prefix(&prefix).map(Bytes::from);
        let prefix = Bytes::from(prefix);
        let found = self.store.borrow().range(Some(&prefix), end.as_ref(), Order::Ascending)?;
        let row = change.new.as_ref().map(|new| bytes_of(&*self.value, new).map(Bytes::from)).transpose()?;
        for (key, Stamped { value: subscription, .. }) in found {
            if !key.starts_with(&prefix) {
                continue;
            }
            let value = Some(answer(&subscription, row.clone()));
            let key = Some(subscription.primary_key);
            self.children.forward(Record { key, value, timestamp, headers: headers.clone() }, context)?;
        }
        Ok(())
    }
}

/// Joins an answer with the row, if that is still the one that asked (ResponseJoinProcessorSupplier).
pub struct ResolveAnswer<K, L, R, O> {
    /// The left table.
    pub getter: Getter<K, L>,
    /// Of its rows.
    pub value: Option<SharedSerde<L>>,
    /// Of the foreign rows.
    pub foreign_value: Option<SharedSerde<R>>,
    /// Which sides must be there.
    pub kind: JoinKind,
    /// Makes the result.
    pub joiner: Joiner<K, L, R, O>,
}

impl<K: Data, L: Data, R: Data, O: Data> Operator for ResolveAnswer<K, L, R, O> {
    fn name(&self) -> &'static str {
        "foreign-key result"
    }

    fn link(&self, children: Vec<AnyLink>, linking: &mut Linking<'_>) -> Result<AnyLink, LinkError> {
        Ok(AnyLink::new::<K, Answer>(Resolving {
            getter: self.getter.link(linking)?,
            value: linking.serde(&self.value)?,
            foreign_value: linking.serde(&self.foreign_value)?,
            kind: self.kind,
            joiner: Arc::clone(&self.joiner),
            bytes: Vec::new(),
            children: Children::<K, O>::typed(children)?,
        }))
    }
}

struct Resolving<K, L, R, O> {
    getter: LinkedGetter<K, L>,
    value: SharedSerde<L>,
    foreign_value: SharedSerde<R>,
    kind: JoinKind,
    joiner: Joiner<K, L, R, O>,
    bytes: Vec<u8>,
    children: Children<K, O>,
}

impl<K: Data, L: Data, R: Data, O: Data> Process<K, Answer> for Resolving<K, L, R, O> {
    fn process(&mut self, record: Record<K, Answer>, context: &mut Context) -> ProcessResult {
        let Record { key: Some(key), value: Some(answer), timestamp, headers } = record else {
            return Ok(());
        };
        let row = self.getter.get(&key, context)?.map(|row| row.value);
        let hash = row.as_ref().map(|row| {
            self.bytes.clear();
            self.value.serialize(row, &mut self.bytes).map(|()| hash128(&self.bytes))
        });
        let hash = hash.transpose()?;
        if hash != answer.response.hash {
            context.drop_record();
            return Ok(());
        }
        let foreign = answer.response.foreign_value;
        let foreign = foreign.map(|bytes| self.foreign_value.deserialize(bytes)).transpose()?;
        let is_missing = foreign.is_none() && (self.kind == JoinKind::Inner || row.is_none());
        let value = if is_missing { None } else { Some((self.joiner)(Some(&key), row.as_ref(), foreign.as_ref())?) };
        self.children.forward(Record { key: Some(key), value, timestamp, headers }, context)
    }
}
