//! Scenes: what needs several connections in step with each other. Groups with several members, producers beside each
//! other, fetch sessions, topics whose configuration changes. Each seed plays one after its random requests; every
//! step waits for a condition and never for a time, and every answer is compared like the others.

use anyhow::Context;
use millstream_protocol::api_key::APIS;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use crate::generate::Request;
use crate::run::Run;
use crate::side::Outcome;
use crate::value::Value;

// Members that join, sync, leave and come back.
mod group;
// Transactions and sequences of several producers.
mod producer;
// Fetch sessions, and topics under changing configuration.
mod topic;

/// Where a seed's scenes stand.
pub(crate) struct Scene<'r, 'a> {
    run: &'r mut Run<'a>,
    rng: StdRng,
    number: usize,
    /// Two topics of the scene, two partitions each.
    topics: [String; 2],
    group: group::Group,
    producers: producer::Producers,
    session: topic::Session,
}

/// Plays `steps` steps.
///
/// # Errors
/// When a broker is gone.
pub(crate) fn play(run: &mut Run<'_>, first_number: usize, steps: usize) -> anyhow::Result<()> {
    let seed = run.seed;
    let topics = [format!("s0-{seed}"), format!("s1-{seed}")];
    let group = group::Group::new(seed);
    let producers = producer::Producers::new(seed);
    // From here on what is waited for is the scene's.
    run.generator.topics = topics.to_vec();
    run.generator.groups = vec![group.id.clone()];
    run.generator.transactions = producers.ids();
    run.create_topics(2)?;
    run.wake_coordinators()?;
    let rng = StdRng::seed_from_u64(seed ^ 0x5ce4e);
    let session = topic::Session::default();
    let mut scene = Scene { run, rng, number: first_number, topics, group, producers, session };
    for _ in 0..steps {
        let fine = match scene.rng.random_range(0..10) {
            0..4 => scene.group_step()?,
            4..7 => scene.producer_step()?,
            7..9 => scene.session_step()?,
            _ => scene.config_step()?,
        };
        // What comes after would only repeat the difference.
        if !fine {
            break;
        }
    }
    Ok(())
}

impl Scene<'_, '_> {
    /// A version between these that Apache 4.3 serves.
    fn version(&mut self, key: i16, from: i16, to: i16) -> anyhow::Result<i16> {
        let api = APIS.iter().find(|api| api.key.number() == key).context("an API that is served")?;
        Ok(self.rng.random_range(api.min_version.max(from)..=api.max_version.min(to)))
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from.choose(&mut self.rng).expect("a list of choices is not empty").clone()
    }

    fn topic(&mut self) -> String {
        let topics = self.topics.clone();
        self.pick(&topics)
    }

    /// Asks both and compares; answers whether they were alike, and the left answer.
    fn ask(&mut self, request: &Request) -> anyhow::Result<(bool, Outcome)> {
        self.number += 1;
        self.run.one(self.number, request)
    }

    /// The same when only the likeness is of interest.
    fn alike(&mut self, request: &Request) -> anyhow::Result<bool> {
        Ok(self.ask(request)?.0)
    }

    /// Sends without waiting; [`Scene::collect`] takes the answers of all that were posted.
    fn post(&mut self, request: &Request) -> anyhow::Result<()> {
        for side in [&mut *self.run.left, &mut *self.run.right] {
            // A connection that is gone shows when its answer is taken.
            side.post(request)?;
        }
        Ok(())
    }

    /// Takes and compares the answers of requests that were posted.
    fn collect(&mut self, requests: &[Request]) -> anyhow::Result<bool> {
        let mut fine = true;
        for request in requests {
            self.number += 1;
            let (left, right) = (self.run.left.collect(request)?, self.run.right.collect(request)?);
            fine &= self.run.compare(self.number, request, &left, &right);
        }
        Ok(fine)
    }
}

/// An array with one element.
fn one(item: Value) -> Value {
    Value::Array(vec![item])
}
