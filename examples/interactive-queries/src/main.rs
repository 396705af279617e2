//! Counts words, and answers `GET /state/WORD` over HTTP: from this instance, or by asking the instance that has the word.
//!
//! `application.server=HOST:PORT` is where this instance listens and where the others find it; other settings may follow
//! on the command line as `key=value`.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use streams::serde::StringSerde;
use streams::{
    HostInfo, KStream, KafkaStreams, KeyValue, QueryError, StoreQueryParameters, StreamsBuilder, StreamsConfig,
    Topology,
};

/// Where words come from.
const INPUT: &str = "words";
/// Where their counts are.
const STORE: &str = "counts";
/// How often an answer is looked for while tasks move from one instance to another, and the pause between.
const TRIES: usize = 300;
const PAUSE: Duration = Duration::from_millis(100);
/// How long another instance may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

struct Service {
    app: KafkaStreams,
    /// Where this instance is.
    here: HostInfo,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    let config = StreamsConfig::new("interactive-queries", "localhost:9092").set_all(std::env::args().skip(1))?;
    let here: HostInfo =
        config.get("application.server").context("application.server=HOST:PORT is missing")?.parse()?;
    let listener =
        TcpListener::bind((here.host.as_str(), here.port)).with_context(|| format!("cannot listen on {here}"))?;
    listener.set_nonblocking(true)?;
    let service = Arc::new(Service { app: KafkaStreams::new(topology()?, config)?, here });
    let routes = Router::new()
        .route("/state/{word}", get(state))
        .route("/local/{partition}/{word}", get(local))
        .with_state(Arc::clone(&service));
    let runtime = tokio::runtime::Runtime::new()?;
    let _inside = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    runtime.spawn(async move { axum::serve(listener, routes).await });
    service.app.run_until_ctrl_c()?;
    Ok(())
}

fn topology() -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    let lines: KStream<String, String> = builder.stream(INPUT);
    lines
        .flat_map_values(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count(STORE);
    Ok(builder.build()?)
}

type Answer = (StatusCode, String);

fn answer(count: Option<i64>) -> Answer {
    match count {
        Some(count) => (StatusCode::OK, format!("{count}\n")),
        None => (StatusCode::NOT_FOUND, "not counted yet\n".to_owned()),
    }
}

/// The count of a word, wherever it is. Who has it may change at any moment: whoever cannot answer is no reason to give up.
async fn state(State(service): State<Arc<Service>>, Path(word): Path<String>) -> Answer {
    let mut last = String::new();
    for _ in 0..TRIES {
        match service.find(&word).await {
            Ok(answer) => return answer,
            Err(error) => last = format!("{error:#}\n"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    (StatusCode::SERVICE_UNAVAILABLE, last)
}

/// The count of a word in a partition of this instance, or why it does not say.
async fn local(State(service): State<Arc<Service>>, Path((partition, word)): Path<(i32, String)>) -> Answer {
    match service.count(partition, &word).await {
        Ok(count) => answer(count),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

impl Service {
    async fn find(&self, word: &str) -> anyhow::Result<Answer> {
        let place = self.app.query_metadata_for_key(STORE, &word.to_owned(), StringSerde)?;
        let (host, partition) = place.active_host.zip(place.partition).context("nobody has the word right now")?;
        if host == self.here {
            return Ok(answer(self.count(partition, word).await?));
        }
        let word: String = word.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (status, body) = ask(&host, &format!("/local/{partition}/{word}")).await?;
        anyhow::ensure!(status != StatusCode::SERVICE_UNAVAILABLE, "{host}: {body}");
        Ok((status, body))
    }

    /// A partition that is not here is an error: that a word is not counted says only who has its partition.
    async fn count(&self, partition: i32, word: &str) -> Result<Option<i64>, QueryError> {
        let here = StoreQueryParameters::new(STORE).with_partition(partition);
        self.app.store::<KeyValue<String, i64>>(here)?.get(word).await
    }
}

/// `GET` of a path of another instance.
async fn ask(host: &HostInfo, path: &str) -> anyhow::Result<(StatusCode, String)> {
    let stream = tokio::net::TcpStream::connect((host.host.as_str(), host.port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = hyper::Request::get(path).header("host", host.to_string()).body(Empty::<Bytes>::new())?;
    // The connection ends when whoever sends on it does.
    let exchange = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        anyhow::Ok((status, String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()).into_owned()))
    };
    let (answered, _) = tokio::time::timeout(PATIENCE, async { tokio::join!(exchange, connection) }).await?;
    answered
}

#[cfg(test)]
mod tests {
    use streams::TopologyTestDriver;

    use super::*;

    #[test]
    fn words_are_counted() -> anyhow::Result<()> {
        let mut driver = TopologyTestDriver::new(&topology()?, StreamsConfig::new("test", "localhost:9092"))?;
        let input = driver.input::<String, String>(INPUT);
        input.pipe(&mut driver, None, "all streams lead to all", 0)?;
        assert_eq!(driver.store::<KeyValue<String, i64>>(STORE)?.get("all")?, Some(2));
        Ok(())
    }
}
