//! Accepts connections on one listener, as the limits of net/connected.rs allow.
//!
//! One task a listener; it owns the tasks of its connections and ends them when it is dropped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millstream_base_env::task;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::api::context::{ConnectionFacts, Role};
use crate::net::connected::{Connected, ListenerLimits, Place};
use crate::net::connection::{End, serve};
use crate::node::Node;

/// How long to wait when the system has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

static CONNECTION_NEXT: AtomicU64 = AtomicU64::new(1);

/// A listener's name and whom it is for.
#[derive(Clone, Debug)]
pub struct Purpose {
    /// Its name.
    pub name: Arc<str>,
    /// Whom it is for.
    pub role: Role,
}

/// Accepts on `listener` until the task is dropped.
pub async fn accept(listener: TcpListener, purpose: Purpose, node: Arc<Node>, connected: Arc<Connected>) {
    let name = &purpose.name;
    let mut limits = ListenerLimits::new(node.clone(), name.clone(), &connected);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    if let Some(place) = connected.take(&mut limits, peer.ip()).await {
                        connections.spawn(run(stream, peer, purpose.clone(), node.clone(), place));
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

async fn run(stream: TcpStream, peer: SocketAddr, purpose: Purpose, node: Arc<Node>, place: Place) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
    }
    let id = CONNECTION_NEXT.fetch_add(1, Ordering::Relaxed);
    let facts = Arc::new(ConnectionFacts { listener: purpose.name, role: purpose.role, peer, id });
    match serve(stream, node, facts).await {
        End::Closed | End::Idle => {}
        End::Refused(reason) => tracing::debug!(%peer, reason, "connection closed"),
        End::Io(error) => tracing::debug!(%peer, %error, "connection failed"),
    }
    drop(place);
}
