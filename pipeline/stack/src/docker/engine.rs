//! The way to a Docker Engine, and the few things that are asked of it.

use crate::StackError;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerStatsResponse, ContainerUpdateBody, SystemInfo};
use bollard::query_parameters::{ListContainersOptions, StatsOptions};
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use futures::StreamExt as _;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use std::future::Future;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// Seconds after which an Engine that says nothing is taken for gone. A memory limit below what is used keeps the kernel
/// busy taking pages back.
const TIMEOUT_S: u64 = 60;
/// Where an Engine listens that nobody put elsewhere.
const USUAL: &str = "unix:///var/run/docker.sock";

/// A Docker Engine, asked one thing after the other.
pub(super) struct Engine {
    docker: Docker,
    address: String,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

/// The address that was meant: of an empty one that of `DOCKER_HOST`, or the usual one; none where it is no address.
pub(super) fn address(given: &str) -> Option<String> {
    let of_environment = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let given = if given.is_empty() { of_environment.unwrap_or_else(|| USUAL.to_owned()) } else { given.to_owned() };
    if let Some(path) = given.strip_prefix("unix://").or_else(|| given.starts_with('/').then_some(given.as_str())) {
        return path.starts_with('/').then(|| format!("unix://{path}"));
    }
    ["tcp://", "http://"]
        .iter()
        .any(|scheme| given.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
        .then_some(given)
}

impl Engine {
    /// Says nothing yet.
    pub(super) fn at(address: &str) -> Result<Self, StackError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| StackError::Unreachable {
            doing: format!("reach the Docker Engine at {address}"),
            source,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.into()))?;
        let docker = match address.strip_prefix("unix://") {
            Some(path) => {
                let path = path.to_owned();
                let transport = move |request| over_socket(path.clone(), request);
                Docker::connect_with_custom_transport(transport, Some("http://engine"), TIMEOUT_S, API_DEFAULT_VERSION)
            }
            None => Docker::connect_with_http(address, TIMEOUT_S, API_DEFAULT_VERSION),
        };
        let docker = docker.map_err(|error| failed(error.into()))?;
        Ok(Self { docker, address: address.to_owned(), runtime: Some(runtime) })
    }

    fn ask<T>(&self, doing: &str, question: impl Future<Output = Result<T, Error>>) -> Result<T, StackError> {
        let runtime = self.runtime.as_ref().expect("it is there until the drop");
        runtime.block_on(question).map_err(|error| {
            let (doing, answered) = (
                format!("{doing} at the Docker Engine {}", self.address),
                matches!(
                    error,
                    Error::DockerResponseServerError { .. }
                        | Error::JsonDataError { .. }
                        | Error::JsonSerdeError { .. }
                ),
            );
            let source = Box::new(error);
            if answered { StackError::Asked { doing, source } } else { StackError::Unreachable { doing, source } }
        })
    }

    /// What it and its kernel can do.
    pub(super) fn info(&self) -> Result<SystemInfo, StackError> {
        self.ask("ask about the machine", self.docker.info())
    }

    /// The containers that run.
    pub(super) fn running(&self) -> Result<Vec<String>, StackError> {
        let found = self.ask("list the containers", self.docker.list_containers(None::<ListContainersOptions>))?;
        Ok(found.into_iter().filter_map(|container| container.id).collect())
    }

    /// One container; none when it is gone.
    pub(super) fn inspect(&self, id: &str) -> Result<Option<ContainerInspectResponse>, StackError> {
        self.ask("inspect a container", async {
            match self.docker.inspect_container(id, None).await {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                answer => answer.map(Some),
            }
        })
    }

    /// What it uses now; none when it is gone or does not run.
    pub(super) fn stats(&self, id: &str) -> Result<Option<ContainerStatsResponse>, StackError> {
        self.ask("read the counters of a container", async {
            let options = StatsOptions { stream: false, one_shot: true };
            match Box::pin(self.docker.stats(id, Some(options))).next().await {
                None | Some(Err(Error::DockerResponseServerError { status_code: 404 | 409, .. })) => Ok(None),
                Some(answer) => answer.map(Some),
            }
        })
    }

    /// Changes limits in place.
    pub(super) fn update(&self, id: &str, name: &str, body: ContainerUpdateBody) -> Result<(), StackError> {
        self.ask(&format!("change the limits of {name}"), self.docker.update_container(id, body))
    }
}

impl Drop for Engine {
    /// Waits for nothing: it may be dropped where waiting is not allowed.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_named_by_its_socket_or_its_port() {
        for (given, meant) in [
            ("unix:///run/a.sock", Some("unix:///run/a.sock")),
            ("/run/a.sock", Some("unix:///run/a.sock")),
            ("tcp://127.0.0.1:2375", Some("tcp://127.0.0.1:2375")),
            ("unix://a.sock", None),
            ("tcp://", None),
            ("prod", None),
            ("ssh://host", None),
        ] {
            assert_eq!(address(given).as_deref(), meant, "{given}");
        }
    }
}
