//! Port 9404: `/health/live`, `/health/ready` (503 while recovering), `/metrics`.
//!
//! Started before logs are recovered, by whatever starts a service; it knows nothing of brokers. Few connections at a
//! time, and none that stays without asking: the descriptors are for logs and clients. Never here: what is measured
//! (`metrics.rs` of the service).

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use millstream_base_env::task;
use millstream_base_metrics::Registry;
use millstream_base_metrics::registry::CONTENT_TYPE;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// A request's header has to come in this time.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Pause after the system could not accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether a service takes requests. Cheap to clone; false at first.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on the service is ready.
    pub fn set_ready(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// From now on it is not (it stops).
    pub fn set_unready(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Clone)]
struct Pages {
    readiness: Readiness,
    registry: Registry,
}

/// Answers on `listener` until `stop` completes. Boxed, so that the HTTP server is compiled in this crate once.
///
/// # Errors
/// The system's own, of the listening socket.
pub fn serve(
    listener: TcpListener,
    readiness: Readiness,
    registry: Registry,
    stop: impl Future<Output = ()> + Send + 'static,
) -> BoxFuture<'static, io::Result<()>> {
    Box::pin(answer(listener, readiness, registry, Box::pin(stop)))
}

async fn answer(
    listener: TcpListener,
    readiness: Readiness,
    registry: Registry,
    mut stop: BoxFuture<'static, ()>,
) -> io::Result<()> {
    let router = Router::new()
        .route("/health/live", get(async || (StatusCode::OK, "ok\n")))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Pages { readiness, registry });
    let service = TowerToHyperService::new(router);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Ok((stream, place)) = accepted else {
            task::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service.clone()));
        task::spawn("admin connection", async move {
            // What goes wrong with one connection is its client's to see.
            let _ = connection.await;
            drop(place);
        });
    }
    graceful.shutdown().await;
    Ok(())
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn ready(State(pages): State<Pages>) -> impl IntoResponse {
    if pages.readiness.is_ready() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: starting, recovering or stopping\n")
    }
}

async fn metrics(State(pages): State<Pages>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], pages.registry.render())
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_base_env::net;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn page(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = net::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("received");
        answer
    }

    #[tokio::test]
    async fn a_service_is_alive_at_once_and_ready_when_it_says_so() {
        let listener = net::listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (readiness, registry) = (Readiness::default(), Registry::default());
        millstream_base_metrics::process::observe(&registry);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = task::spawn(
            "admin http",
            serve(listener, readiness.clone(), registry, async {
                let _ = stopped.await;
            }),
        );
        assert!(page(address, "/health/live").await.starts_with("HTTP/1.1 200"));
        assert!(page(address, "/health/ready").await.starts_with("HTTP/1.1 503"));
        readiness.set_ready();
        assert!(page(address, "/health/ready").await.starts_with("HTTP/1.1 200"));
        let metrics = page(address, "/metrics").await;
        assert!(metrics.contains(CONTENT_TYPE) && metrics.contains("process_open_fds "), "{metrics}");
        assert!(page(address, "/nothing").await.starts_with("HTTP/1.1 404"));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(net::connect(address).await.expect("it listens"));
        }
        let waiting = task::spawn("waiting", async move { page(address, "/health/live").await });
        silent.pop();
        assert!(waiting.await.expect("no panic").starts_with("HTTP/1.1 200"), "a place was given back");
        drop(silent);
        stop.send(()).expect("the server waits for it");
        server.await.expect("no panic").expect("no error");
    }
}
