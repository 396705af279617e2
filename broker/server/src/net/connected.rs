//! How many connections there may be, and how fast they may come (Java: `ConnectionQuotas`, KIP-402, KIP-612).
//!
//! A listener takes a place for each connection that it accepted. A client with too many is refused; where the broker
//! or the listener is full, or connections come too fast, the listener waits, and with it the clients behind.
//! Not done: rates for single addresses, which are client quotas; closing an idle connection for one of the
//! listener between brokers.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hashbrown::HashMap;
use millstream_base_env::{descriptors, net, task};
use millstream_broker_controller::Image;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::net::creation_rate::CreationRate;
use crate::node::Node;

const CONNECTIONS: &str = "max.connections";
const CREATION_RATE: &str = "max.connection.creation.rate";
/// A listener that waits for a place looks this often whether the limits were changed.
const LIMITS_CHECK: Duration = Duration::from_secs(1);

/// The connections of all listeners.
#[derive(Debug, Default)]
pub struct Connected {
    counts: Mutex<Counts>,
    overrides: Arc<Mutex<Overrides>>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_ip: HashMap<IpAddr, usize>,
    by_listener: HashMap<Arc<str>, usize>,
    rate: CreationRate,
    rate_by_listener: HashMap<Arc<str>, CreationRate>,
}

/// `max.connections.per.ip.overrides`, with addresses for names.
#[derive(Debug, Default)]
struct Overrides {
    text: String,
    by_ip: HashMap<IpAddr, usize>,
}

/// One place among the connections; given back when dropped.
pub struct Place {
    connected: Arc<Connected>,
    listener: Arc<str>,
    ip: IpAddr,
    node: Arc<Node>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connected.counts.lock().remove(&self.listener, self.ip);
        self.node.counts.connections.fetch_sub(1, Ordering::Relaxed);
        self.connected.freed.notify_waiters();
    }
}

/// The limits of one listener, as they are now.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// What the process can open, whatever the configuration allows: files need descriptors too.
    affordable: usize,
    total: usize,
    listener: usize,
    /// Of one address, where nothing is set for it.
    per_ip: usize,
    /// Connections a second.
    rate: i64,
    listener_rate: i64,
    kind: ListenerKind,
}

/// Whether the broker's own limits hold for a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListenerKind {
    Client,
    /// The listener between brokers, beside others: clients must not keep brokers out.
    Protected,
}

impl Connected {
    /// Takes a place for a connection from `ip`, when there is one; `None` when the client has too many.
    pub async fn take(self: &Arc<Self>, listener: &mut ListenerLimits, ip: IpAddr) -> Option<Place> {
        // A listener on the IPv6 wildcard shows IPv4 clients in another form.
        let ip = ip.to_canonical();
        let limits = listener.now(self);
        let (node, name) = (listener.node.clone(), listener.name.clone());
        let pause = self.counts.lock().record(&name, limits, node.clock.now_ms());
        if !pause.is_zero() {
            task::sleep(pause).await;
        }
        let mut limits = limits;
        loop {
            let freed = self.freed.notified();
            {
                let own = self.overrides.lock().by_ip.get(&ip).copied();
                let mut counts = self.counts.lock();
                if counts.has_room(&name, limits) {
                    if !counts.add(&name, ip, own.unwrap_or(limits.per_ip)) {
                        return None;
                    }
                    break;
                }
            }
            tokio::select! {
                () = freed => {}
                () = task::sleep(LIMITS_CHECK) => limits = listener.read(self),
            }
        }
        node.counts.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place { connected: self.clone(), listener: name, ip, node })
    }

    /// `max.connections.per.ip.overrides` are these from now on. Addresses count at once; names once they are looked
    /// up, which may take long and holds nobody up.
    fn set_overrides(&self, text: String) {
        if self.overrides.lock().text == text {
            return;
        }
        *self.overrides.lock() = Overrides::new(text.clone(), Names::Left);
        let overrides = self.overrides.clone();
        task::spawn_blocking("connection limits", move || {
            let resolved = Overrides::new(text, Names::LookedUp);
            let mut overrides = overrides.lock();
            if overrides.text == resolved.text {
                *overrides = resolved;
            }
        });
    }
}

impl Counts {
    /// A connection came; how long it must wait for the rates to be kept.
    fn record(&mut self, listener: &Arc<str>, limits: Limits, now_ms: i64) -> Duration {
        let all = match limits.kind {
            ListenerKind::Client => self.rate.record(limits.rate, now_ms),
            ListenerKind::Protected => Duration::ZERO,
        };
        let own = self.rate_by_listener.entry(listener.clone()).or_default();
        all.max(own.record(limits.listener_rate, now_ms))
    }

    fn has_room(&self, listener: &str, limits: Limits) -> bool {
        let on_listener = self.by_listener.get(listener).copied().unwrap_or(0);
        self.total < limits.affordable
            && on_listener < limits.listener
            && (limits.kind == ListenerKind::Protected || self.total < limits.total)
    }

    fn add(&mut self, listener: &Arc<str>, ip: IpAddr, per_ip_max: usize) -> bool {
        let of_ip = self.by_ip.get(&ip).copied().unwrap_or(0);
        if of_ip >= per_ip_max {
            return false;
        }
        self.by_ip.insert(ip, of_ip + 1);
        *self.by_listener.entry(listener.clone()).or_default() += 1;
        self.total += 1;
        true
    }

    fn remove(&mut self, listener: &str, ip: IpAddr) {
        self.total -= 1;
        if let Some(count) = self.by_listener.get_mut(listener) {
            *count -= 1;
        }
        if let Some(count) = self.by_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.by_ip.remove(&ip);
            }
        }
    }
}

/// What becomes of the names among the overrides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Left,
    LookedUp,
}

impl Overrides {
    /// Reads `host:count,host:count`; what does not stand for an address limits nobody.
    fn new(text: String, names: Names) -> Overrides {
        let limit = |item: &str| {
            let (host, count) = item.trim().rsplit_once(':')?;
            let host = host.trim().trim_matches(['[', ']']);
            let ip = match (host.parse::<IpAddr>(), names) {
                (Ok(ip), _) => ip,
                (Err(_), Names::LookedUp) => net::resolve(host, 0).ok()?.ip(),
                (Err(_), Names::Left) => return None,
            };
            Some((ip.to_canonical(), count.trim().parse().ok()?))
        };
        let by_ip = text.split(',').filter_map(limit).collect();
        Overrides { text, by_ip }
    }
}

/// The limits of one listener, read anew when the cluster's metadata changes: an accept reads no configuration.
pub struct ListenerLimits {
    node: Arc<Node>,
    name: Arc<str>,
    /// `max.connections` and `max.connection.creation.rate` of this listener alone.
    own_keys: [String; 2],
    known: Option<(Arc<Image>, Limits)>,
}

impl ListenerLimits {
    /// Of the listener `name`. Names among the overrides are looked up from now on.
    pub fn new(node: Arc<Node>, name: Arc<str>, connected: &Connected) -> Self {
        let own = |key: &str| format!("listener.name.{}.{key}", name.to_ascii_lowercase());
        let own_keys = [own(CONNECTIONS), own(CREATION_RATE)];
        let mut limits = ListenerLimits { node, name, own_keys, known: None };
        limits.read(connected);
        limits
    }

    fn now(&mut self, connected: &Connected) -> Limits {
        let image = self.node.controller.image();
        match &self.known {
            Some((seen, limits)) if Arc::ptr_eq(seen, &image) => *limits,
            _ => self.read(connected),
        }
    }

    fn read(&mut self, connected: &Connected) -> Limits {
        let node = &self.node;
        let image = node.controller.image();
        connected.set_overrides(node.text("max.connections.per.ip.overrides").unwrap_or_default());
        // What is set for the listener counts before what is set for the broker.
        let own = |own_key: &str, key: &str| {
            node.text(own_key).and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| node.number(key))
        };
        let size = |number: i64| usize::try_from(number).unwrap_or(0);
        let between_brokers = node.config.text("inter.broker.listener.name");
        let between_brokers = between_brokers.or_else(|| node.config.text("security.inter.broker.protocol"));
        let is_protected = node.config.listeners.len() > 1 && between_brokers.is_some_and(|name| *name == *self.name);
        let limits = Limits {
            affordable: usize::try_from(descriptors::for_sockets(descriptors::limit())).unwrap_or(usize::MAX),
            total: size(node.number(CONNECTIONS)),
            listener: size(own(&self.own_keys[0], CONNECTIONS)),
            per_ip: size(node.number("max.connections.per.ip")),
            rate: node.number(CREATION_RATE),
            listener_rate: own(&self.own_keys[1], CREATION_RATE),
            kind: if is_protected { ListenerKind::Protected } else { ListenerKind::Client },
        };
        self.known = Some((image, limits));
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: ListenerKind = ListenerKind::Client;

    #[test]
    fn a_listener_is_full_on_its_own_and_with_the_others_unless_it_is_protected() {
        let mut counts = Counts::default();
        let (one, other): (Arc<str>, Arc<str>) = ("ONE".into(), "OTHER".into());
        let ip = IpAddr::from([127, 0, 0, 1]);
        let limits =
            Limits { affordable: 4, total: 3, listener: 2, per_ip: 9, rate: 9, listener_rate: 9, kind: CLIENTS };
        assert!(counts.add(&one, ip, 9) && counts.has_room(&one, limits));
        assert!(counts.add(&one, ip, 9) && !counts.has_room(&one, limits));
        assert!(counts.has_room(&other, limits) && counts.add(&other, ip, 9));
        assert!(!counts.has_room(&other, limits));
        assert!(counts.has_room(&other, Limits { kind: ListenerKind::Protected, ..limits }));
        assert!(!counts.has_room(&other, Limits { kind: ListenerKind::Protected, affordable: 3, ..limits }));
        counts.remove(&one, ip);
        assert!(counts.has_room(&one, limits) && counts.has_room(&other, limits));
        assert!(!counts.add(&other, ip, 2));
    }

    #[test]
    fn overrides_are_read_by_address_and_by_name() {
        let overrides = Overrides::new("127.0.0.2:5, localhost:7,::1:3,nobody.invalid:1".to_owned(), Names::LookedUp);
        let of = |ip: &str| overrides.by_ip.get(&ip.parse::<IpAddr>().expect("an address")).copied();
        assert_eq!(of("127.0.0.2"), Some(5));
        assert!(of("127.0.0.1") == Some(7) || of("::1") == Some(7));
        assert_eq!(of("127.0.0.3"), None);
        let unresolved = Overrides::new("127.0.0.2:5,localhost:7".to_owned(), Names::Left);
        assert_eq!(unresolved.by_ip.len(), 1, "who is waited for holds up nobody else");
    }
}
