//! Accepts connections on one listener and keeps the limits on their number.
//!
//! One task a listener; it owns the tasks of its connections and ends them when it is dropped.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use millstream_base_env::task;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::api::context::ConnectionFacts;
use crate::net::connection::{End, serve};
use crate::node::Node;

/// How long to wait when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

static CONNECTION_NEXT: AtomicU64 = AtomicU64::new(1);

/// Connections by client address, all listeners together.
#[derive(Debug, Default)]
pub struct Connected {
    by_ip: Mutex<HashMap<IpAddr, usize>>,
}

/// Takes one place among the connections; gives it back when dropped.
struct Place {
    connected: Arc<Connected>,
    ip: IpAddr,
    node: Arc<Node>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_ip = self.connected.by_ip.lock();
        if let Some(count) = by_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                by_ip.remove(&self.ip);
            }
        }
        self.node.counts.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connected {
    fn take(self: &Arc<Self>, node: &Arc<Node>, ip: IpAddr) -> Option<Place> {
        let limit = |key| usize::try_from(node.number(key)).unwrap_or(0);
        let (total_max, per_ip_max) = (limit("max.connections"), limit("max.connections.per.ip"));
        let mut by_ip = self.by_ip.lock();
        let total = node.counts.connections.load(Ordering::Relaxed) as usize;
        let count = by_ip.entry(ip).or_insert(0);
        if total >= total_max || *count >= per_ip_max {
            if *count == 0 {
                by_ip.remove(&ip);
            }
            return None;
        }
        *count += 1;
        node.counts.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place { connected: self.clone(), ip, node: node.clone() })
    }
}

/// Accepts on `listener` until the task is dropped. `name` is the listener's name.
pub async fn accept(listener: TcpListener, name: Arc<str>, node: Arc<Node>, connected: Arc<Connected>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(place) = connected.take(&node, peer.ip()) {
                        connections.spawn(run(stream, peer, name.clone(), node.clone(), place));
                    } else {
                        tracing::info!(%peer, listener = %name, "too many connections, closed");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, listener = %name, "cannot accept a connection");
                    task::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    tracing::error!(%error, "a connection's task panicked");
                }
            }
        }
    }
}

async fn run(stream: TcpStream, peer: SocketAddr, name: Arc<str>, node: Arc<Node>, place: Place) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let id = CONNECTION_NEXT.fetch_add(1, Ordering::Relaxed);
    let facts = Arc::new(ConnectionFacts { listener: name, peer, id });
    match serve(stream, node, facts).await {
        End::Closed | End::Idle => {}
        End::Refused(reason) => tracing::debug!(%peer, reason, "connection closed"),
        End::Io(error) => tracing::debug!(%peer, %error, "connection failed"),
    }
    drop(place);
}
