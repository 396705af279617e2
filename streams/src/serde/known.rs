//! Serdes by the type that they are for: what is taken where none is named (`default.key.serde`, for each type).
//! Held by plans, topologies and settings; asked when nodes are linked. Never guesses: a type without one is an error.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::{DefaultSerde, SharedSerde, Str};

/// Serdes by type.
#[derive(Clone, Default)]
pub struct Serdes(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Serdes {
    /// Those of the types that Kafka has serdes for.
    pub fn built_in() -> Serdes {
        let mut serdes = Serdes::default();
        serdes.know::<String>().know::<Str>().know::<Bytes>().know::<Uuid>().know::<bool>();
        serdes.know::<i16>().know::<i32>().know::<i64>().know::<f32>().know::<f64>();
        serdes
    }

    fn know<T: DefaultSerde>(&mut self) -> &mut Serdes {
        self.set(T::serde())
    }

    /// The serde of all `T`.
    pub fn set<T: 'static>(&mut self, serde: SharedSerde<T>) -> &mut Serdes {
        self.0.insert(TypeId::of::<T>(), Arc::new(serde));
        self
    }

    /// The serde for `T`, if one is known.
    pub fn get<T: 'static>(&self) -> Option<SharedSerde<T>> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref::<SharedSerde<T>>().cloned()
    }

    /// These, and of the others what these lack.
    pub(crate) fn or(mut self, others: &Serdes) -> Serdes {
        for (of, serde) in &others.0 {
            self.0.entry(*of).or_insert_with(|| Arc::clone(serde));
        }
        self
    }
}
