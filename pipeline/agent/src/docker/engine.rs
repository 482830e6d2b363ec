//! The way to a Docker Engine, and the few questions that are asked of it.
//!
//! The target `docker` (`stack`) has a client of its own: this one asks about many containers at a time and follows events, that
//! one changes containers one after the other and blocks, and a crate for the 40 lines that they share (a connection for each
//! request, list, inspect, stats) would be longer than they are. How a container is called is one rule, in `domain::container`.

use super::container::Machine;
use crate::AgentError;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerStatsResponse, EventMessage};
use bollard::query_parameters::{EventsOptions, ListContainersOptions, StatsOptions};
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use futures::{Stream, StreamExt};
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use tokio::net::UnixStream;

/// Seconds after which an Engine that says nothing is taken for gone.
const TIMEOUT_S: u64 = 20;

/// A Docker Engine.
#[derive(Clone)]
pub(super) struct Engine {
    docker: Docker,
    address: String,
}

impl Engine {
    /// `unix:///path`, `tcp://host:port` or `http://host:port`. Says nothing yet.
    pub(super) fn at(address: &str) -> Result<Self, AgentError> {
        let failed = |source| AgentError::Engine {
            doing: format!("reach the Docker Engine at {address}"),
            source: Box::new(source),
        };
        let docker = if let Some(path) = address.strip_prefix("unix://") {
            let path = path.to_owned();
            let transport = move |request| over_socket(path.clone(), request);
            Docker::connect_with_custom_transport(transport, Some("http://engine"), TIMEOUT_S, API_DEFAULT_VERSION)
        } else if address.starts_with("tcp://") || address.starts_with("http://") {
            Docker::connect_with_http(address, TIMEOUT_S, API_DEFAULT_VERSION)
        } else {
            let hint = "write unix:///path, tcp://host:port or http://host:port";
            return Err(AgentError::Input(format!("{address} is no address of a Docker Engine; {hint}")));
        };
        Ok(Self { docker: docker.map_err(failed)?, address: address.to_owned() })
    }

    fn failed(&self, doing: &str) -> impl FnOnce(Error) -> AgentError {
        let doing = format!("{doing} at {}", self.address);
        move |source| AgentError::Engine { doing, source: Box::new(source) }
    }

    /// Whether it is there.
    pub(super) async fn ping(&self) -> Result<(), AgentError> {
        self.docker.ping().await.map(drop).map_err(self.failed("reach the Docker Engine"))
    }

    /// What its machine has.
    pub(super) async fn machine(&self) -> Result<Machine, AgentError> {
        let info = self.docker.info().await.map_err(self.failed("ask about the machine"))?;
        let positive = |value: Option<i64>| value.filter(|value| *value > 0);
        Ok(Machine { cpu_cores: positive(info.ncpu), memory_bytes: positive(info.mem_total) })
    }

    /// The containers that run.
    pub(super) async fn running(&self) -> Result<Vec<String>, AgentError> {
        let found = self.docker.list_containers(None::<ListContainersOptions>).await;
        let found = found.map_err(self.failed("list the containers"))?;
        Ok(found.into_iter().filter_map(|container| container.id).collect())
    }

    /// One container; none when it is gone.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, AgentError> {
        match self.docker.inspect_container(id, None).await {
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            answer => answer.map(Some).map_err(self.failed("inspect a container")),
        }
    }

    /// Its counters now; none when it is gone.
    pub(super) async fn stats(&self, id: &str) -> Result<Option<ContainerStatsResponse>, AgentError> {
        // One shot: without, the Engine waits a second to give two samples.
        let options = StatsOptions { stream: false, one_shot: true };
        let mut stream = Box::pin(self.docker.stats(id, Some(options)));
        match stream.next().await {
            Some(Ok(stats)) => Ok(Some(stats)),
            None | Some(Err(Error::DockerResponseServerError { status_code: 404 | 409, .. })) => Ok(None),
            Some(Err(error)) => Err(self.failed("read the counters of a container")(error)),
        }
    }

    /// What happens to containers from now on.
    pub(super) fn events(&self) -> impl Stream<Item = Result<EventMessage, AgentError>> + use<> {
        let filters = HashMap::from([("type".to_owned(), vec!["container".to_owned()])]);
        let engine = self.clone();
        let stream = self.docker.events(Some(EventsOptions { filters: Some(filters), ..EventsOptions::default() }));
        stream.map(move |event| event.map_err(engine.failed("follow the events")))
    }
}

/// One request over the Engine's socket, on a connection of its own.
async fn over_socket(path: String, request: BollardRequest) -> Result<hyper::Response<hyper::body::Incoming>, Error> {
    let stream = UnixStream::connect(&path).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    if let Some(path) = parts.uri.path_and_query() {
        parts.uri = path.as_str().parse().unwrap_or_default();
    }
    parts.headers.insert(HOST, HeaderValue::from_static("engine"));
    Ok(sender.send_request(hyper::Request::from_parts(parts, body)).await?)
}
