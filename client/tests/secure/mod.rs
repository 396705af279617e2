//! TLS and SASL: what gets in, what does not, and that a session which the broker bounds goes on.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use client::admin::{Admin, ScramChange};
use client::config::ProducerConfig;
use client::connection::sasl::Secret;
use client::connection::scram::ScramHash;
use client::error::{ClientError, ErrorClass};
use client::metadata::Cluster;
use client::producer::{NewRecord, Producer};

use crate::support::{Node, Ports, free_port};

/// For everything after the broker's start, which takes seconds; each write that is not answered takes 20 by itself.
const LIMIT: Duration = Duration::from_secs(90);

const MODULES: &str = "org.apache.kafka.common.security";

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stdout));
}

/// A key in `NAME.p12` and its certificate in `NAME.pem`.
fn certificate(folder: &Path, name: &str) {
    let path = |ending: &str| folder.join(format!("{name}.{ending}")).to_string_lossy().into_owned();
    let (store, pem) = (path("p12"), path("pem"));
    let common = ["-alias", "k", "-storetype", "PKCS12", "-keystore", &store, "-storepass", "secret"];
    let make =
        ["-genkeypair", "-keyalg", "EC", "-dname", "CN=millstream", "-ext", "san=ip:127.0.0.1", "-validity", "30"];
    run("keytool", &[&make[..], &common[..]].concat());
    run("keytool", &[&["-exportcert", "-rfc", "-file", &pem][..], &common[..]].concat());
}

/// What is in `NAME.pem` as a certificate to trust, and what is in `NAME.p12` as a key, in stores of `kind`.
fn stores(folder: &Path, kind: &str, trusted: &str, own: &str) -> [String; 2] {
    let path = |file: String| folder.join(file).to_string_lossy().into_owned();
    let made = [path(format!("trust.{kind}")), path(format!("own.{kind}"))];
    let (pem, key) = (path(format!("{trusted}.pem")), path(format!("{own}.p12")));
    let common = ["-storetype", kind, "-storepass", "secret", "-noprompt"];
    run("keytool", &[&["-importcert", "-alias", "t", "-file", &pem, "-keystore", &made[0]][..], &common[..]].concat());
    let passwords = ["-srcstorepass", "secret", "-deststorepass", "secret", "-noprompt", "-deststoretype", kind];
    run(
        "keytool",
        &[&["-importkeystore", "-srckeystore", &key, "-destkeystore", &made[1]][..], &passwords[..]].concat(),
    );
    // As Kafka's own recipe has it, what is trusted stands beside the key: it is no part of what a client shows.
    run(
        "keytool",
        &[&["-importcert", "-alias", "CARoot", "-file", &pem, "-keystore", &made[1]][..], &common[..]].concat(),
    );
    made
}

struct Listeners {
    ssl: u16,
    /// Where clients show certificates too.
    mutual: u16,
    plaintext: u16,
    sasl_ssl: u16,
}

fn settings(own: Ports, folder: &Path, ports: &Listeners) -> Vec<String> {
    certificate(folder, "broker");
    certificate(folder, "client");
    let (port, controller) = (own.broker, own.controller);
    let listeners = format!(
        "PLAINTEXT://127.0.0.1:{port},SSL://127.0.0.1:{},MUTUAL://127.0.0.1:{},SASL_PLAINTEXT://127.0.0.1:{},SASL_SSL://127.0.0.1:{}",
        ports.ssl, ports.mutual, ports.plaintext, ports.sasl_ssl
    );
    let mut settings = vec![
        format!("listeners={listeners},CONTROLLER://127.0.0.1:{controller}"),
        format!("advertised.listeners={listeners},CONTROLLER://127.0.0.1:{controller}"),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
        "connections.max.reauth.ms=1500".to_owned(),
        "ssl.keystore.type=PKCS12".to_owned(),
        format!("ssl.keystore.location={}", folder.join("broker.p12").display()),
        "ssl.keystore.password=secret".to_owned(),
        "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,MUTUAL:SSL,\
         SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
            .to_owned(),
        "listener.name.mutual.ssl.client.auth=required".to_owned(),
        "listener.name.mutual.ssl.truststore.type=PEM".to_owned(),
        format!("listener.name.mutual.ssl.truststore.location={}", folder.join("client.pem").display()),
    ];
    for listener in ["sasl_plaintext", "sasl_ssl"] {
        let mut module = |mechanism: &str, line: &str| {
            settings.push(format!("listener.name.{listener}.{mechanism}.sasl.jaas.config={MODULES}.{line};"));
        };
        module("plain", "plain.PlainLoginModule required user_alice=\"plain secret\"");
        module("scram-sha-256", "scram.ScramLoginModule required");
        module("scram-sha-512", "scram.ScramLoginModule required");
        module("oauthbearer", "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\"");
    }
    settings
}

fn jaas(mechanism: &str, password: &str) -> String {
    match mechanism {
        "OAUTHBEARER" => "M required unsecuredLoginStringClaim_sub=\"alice\";".to_owned(),
        _ => format!("M required username=\"alice\" password=\"{password}\";"),
    }
}

fn connect(port: u16, settings: &[(&str, &str)]) -> Result<(Cluster, ProducerConfig), ClientError> {
    let bootstrap = format!("127.0.0.1:{port}");
    let limits = [("max.block.ms", "20000"), ("delivery.timeout.ms", "20000"), ("request.timeout.ms", "5000")];
    let settings = settings.iter().copied().chain(limits).chain([("bootstrap.servers", bootstrap.as_str())]);
    let (config, unknown) = ProducerConfig::from_properties(settings)?;
    assert!(unknown.is_empty(), "{unknown:?}");
    Ok((Cluster::with_config(config.connection.clone()), config))
}

async fn write(port: u16, settings: &[(&str, &str)]) -> Result<Producer, ClientError> {
    let (cluster, config) = connect(port, settings)?;
    let producer = Producer::new(cluster, config);
    let record = NewRecord { topic: "secure", value: Some(b"v"), ..NewRecord::default() };
    producer.send(record).await?.await?;
    Ok(producer)
}

async fn refused(port: u16, settings: &[(&str, &str)], says: &str) {
    let (cluster, _) = connect(port, settings).expect("a config");
    let started = Instant::now();
    let error = cluster.any().await.err().expect("not let in");
    assert!(matches!(&error, ClientError::Authentication { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::InvalidConfiguration);
    assert!(error.to_string().contains(says) && error.to_string().contains(&port.to_string()), "{error}");
    assert!(started.elapsed() < Duration::from_secs(15));
}

async fn passwords(node: &Node) {
    let admin = Admin::new(node.cluster());
    let set = |hash, password: &str| ScramChange::Set {
        hash,
        iterations: NonZeroU32::new(4096).expect("not zero"),
        password: Secret::new(password),
    };
    // Apache takes one change of a user in a request.
    for change in [set(ScramHash::Sha256, "secret 256"), set(ScramHash::Sha512, "secret 512")] {
        let changes = BTreeMap::from([("alice".to_owned(), vec![change])]);
        let changed = admin.alter_user_scram_credentials(&changes).await.expect("asked");
        changed["alice"].as_ref().expect("set");
    }
    let nobody = BTreeMap::from([("nobody".to_owned(), vec![ScramChange::Delete(ScramHash::Sha256)])]);
    assert!(admin.alter_user_scram_credentials(&nobody).await.expect("asked")["nobody"].is_err());
    loop {
        // The broker serves it once the metadata has reached it.
        let described = admin.describe_user_scram_credentials(None).await.expect("asked");
        // Apache keeps them in a hash map whose order is another in each process (ScramImage).
        let known = |hash| {
            described.get("alice").is_some_and(|alice| alice.as_ref().is_ok_and(|known| known.contains(&(hash, 4096))))
        };
        if known(ScramHash::Sha256) && known(ScramHash::Sha512) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// How far it is, for whoever finds it standing still.
#[derive(Clone, Default)]
struct Step(Arc<Mutex<String>>);

impl Step {
    fn is(&self, step: impl Into<String>) {
        *self.0.lock().expect("no panic") = step.into();
    }
}

/// Everything, on one broker.
pub async fn all() {
    let ports = Listeners { ssl: free_port(), mutual: free_port(), plaintext: free_port(), sasl_ssl: free_port() };
    let (mut truststore, mut stores_of) = (String::new(), Vec::new());
    let node = Node::apaches_with(|own, folder| {
        truststore = folder.join("broker.pem").to_string_lossy().into_owned();
        let settings = settings(own, folder, &ports);
        stores_of = ["PKCS12", "JKS"].map(|kind| (kind, stores(folder, kind, "broker", "client"))).to_vec();
        settings
    });
    let Some(node) = node else { return println!("Java is not there: left out") };
    let step = Step::default();
    let all = async {
        for (kind, stores) in &stores_of {
            step.is(format!("stores of type {kind}"));
            by_certificates(&ports, kind, stores).await;
        }
        each(&node, &ports, &truststore, &step).await;
    };
    if tokio::time::timeout(LIMIT, all).await.is_err() {
        panic!("stands still at {:?}; the broker says:\n{}", step.0.lock(), node.said());
    }
}

/// With stores that keytool made: whom to trust, and who the client is where it has to say so.
async fn by_certificates(ports: &Listeners, kind: &str, [trusted, own]: &[String; 2]) {
    let trust = [
        ("security.protocol", "SSL"),
        ("ssl.truststore.location", trusted.as_str()),
        ("ssl.truststore.password", "secret"),
        ("ssl.truststore.type", kind),
    ];
    let key =
        [("ssl.keystore.location", own.as_str()), ("ssl.keystore.password", "secret"), ("ssl.keystore.type", kind)];
    write(ports.ssl, &trust).await.unwrap_or_else(|error| panic!("{kind} trusts: {error}"));
    let both = [&trust[..], &key[..]].concat();
    write(ports.mutual, &both).await.unwrap_or_else(|error| panic!("{kind} shows: {error}"));
    let (cluster, _) = connect(ports.mutual, &trust).expect("a config");
    assert!(cluster.any().await.is_err(), "nobody gets in without a certificate");
    let wrong =
        [&trust[..1], &[("ssl.truststore.location", trusted.as_str()), ("ssl.truststore.password", "wrong")]].concat();
    assert!(matches!(connect(ports.ssl, &wrong), Err(ClientError::Config(_))), "{kind}");
}

async fn each(node: &Node, ports: &Listeners, truststore: &str, step: &Step) {
    step.is("setting passwords");
    passwords(node).await;
    step.is("TLS");
    let trust = ("ssl.truststore.location", truststore);
    let ssl = ("security.protocol", "SSL");
    write(ports.ssl, &[ssl, trust]).await.expect("by TLS");
    refused(ports.ssl, &[ssl], "TLS").await;
    let localhost = |extra: &[(&'static str, &'static str)]| {
        let all: Vec<_> = [ssl, trust].into_iter().chain(extra.iter().copied()).collect();
        let (config, _) = ProducerConfig::from_properties(all).expect("a config");
        Cluster::with_config(client::config::ConnectionConfig {
            bootstrap: vec![format!("localhost:{}", ports.ssl)],
            ..config.connection
        })
    };
    let error = localhost(&[]).any().await.err().expect("not the certificate's name");
    assert!(error.to_string().contains("not valid for"), "{error}");
    localhost(&[("ssl.endpoint.identification.algorithm", "")]).any().await.expect("any name will do");
    for (port, protocol) in [(ports.plaintext, "SASL_PLAINTEXT"), (ports.sasl_ssl, "SASL_SSL")] {
        let mechanisms = [
            ("PLAIN", "plain secret"),
            ("SCRAM-SHA-256", "secret 256"),
            ("SCRAM-SHA-512", "secret 512"),
            ("OAUTHBEARER", ""),
        ];
        for (mechanism, password) in mechanisms {
            step.is(format!("{protocol} {mechanism}"));
            let line = jaas(mechanism, password);
            let mut own =
                vec![("security.protocol", protocol), ("sasl.mechanism", mechanism), ("sasl.jaas.config", &line)];
            if protocol == "SASL_SSL" {
                own.push(trust);
            }
            let producer = write(port, &own).await.unwrap_or_else(|error| panic!("{protocol} {mechanism}: {error}"));
            if mechanism == "SCRAM-SHA-512" {
                // The broker ends each session after 1.5 s: others take its place, and nothing is lost or told.
                let started = Instant::now();
                while started.elapsed() < Duration::from_secs(4) {
                    let record = NewRecord { topic: "secure", value: Some(b"v"), ..NewRecord::default() };
                    producer.send(record).await.expect("room").await.expect("written");
                }
            }
            if mechanism != "OAUTHBEARER" {
                step.is(format!("a wrong password by {protocol} {mechanism}"));
                let wrong = jaas(mechanism, "wrong");
                own[2].1 = &wrong;
                refused(port, &own, "Authentication failed").await;
            }
        }
    }
}
