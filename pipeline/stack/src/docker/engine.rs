//! The way to a Docker Engine, and the few things that are asked of it. `collect docker` (`agent`) has a client of its own, and
//! says there why.

use crate::StackError;
use bollard::errors::Error;
use bollard::models::{ContainerInspectResponse, ContainerStatsResponse, ContainerUpdateBody, SystemInfo};
use bollard::query_parameters::{
    ImportImageOptions, ListContainersOptions, RemoveImageOptions, StatsOptions, TopOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use futures::{StreamExt as _, stream};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// Seconds after which an Engine that says nothing is taken for gone. A memory limit below what is used keeps the kernel
/// busy taking pages back.
const TIMEOUT_S: u64 = 60;
/// An image of some GiB is unpacked within this.
const LOAD: Duration = Duration::from_secs(3600);
/// So much of an archive is read at a time.
const CHUNK: usize = 1 << 20;
/// Where an Engine listens that nobody put elsewhere.
const USUAL: &str = "unix:///var/run/docker.sock";

/// A Docker Engine, asked one thing after the other.
pub(super) struct Engine {
    docker: Docker,
    address: String,
    /// None only while it is dropped.
    runtime: Option<Runtime>,
}

/// The address that was meant: of an empty one that of `DOCKER_HOST`, or the usual one.
pub(super) fn address(given: &str) -> Result<String, StackError> {
    let of_environment = std::env::var("DOCKER_HOST").ok().filter(|host| given.is_empty() && !host.is_empty());
    let from_environment = of_environment.is_some();
    let host = of_environment.unwrap_or_else(|| if given.is_empty() { USUAL.to_owned() } else { given.to_owned() });
    parsed(&host).ok_or(StackError::NoAddress { host, from_environment })
}

/// `unix:///path`, `/path`, `tcp://host:port`, `http://host:port`; none where it is no address.
fn parsed(host: &str) -> Option<String> {
    if let Some(path) = host.strip_prefix("unix://").or_else(|| host.starts_with('/').then_some(host)) {
        return path.starts_with('/').then(|| format!("unix://{path}"));
    }
    let rest = ["tcp://", "http://"].iter().find_map(|scheme| host.strip_prefix(scheme))?;
    let place = rest.trim_end_matches('/');
    // The colons of an IPv6 address are inside its brackets.
    let name = place.rfind(']').map_or_else(|| place.split(':').next().unwrap_or_default(), |end| &place[..=end]);
    let port = &place[name.len()..];
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let right = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    (!name.is_empty() && !name.contains('/') && right).then(|| host.to_owned())
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

    /// The containers that run, or the stopped ones too.
    pub(super) fn ids(&self, stopped_too: bool) -> Result<Vec<String>, StackError> {
        let options = ListContainersOptions { all: stopped_too, ..ListContainersOptions::default() };
        let found = self.ask("list the containers", self.docker.list_containers(Some(options)))?;
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

    /// The command lines of what runs in a container, words by spaces; none where the Engine cannot tell.
    pub(super) fn processes(&self, id: &str) -> Result<Vec<Vec<String>>, StackError> {
        let options = TopOptionsBuilder::default().ps_args("-eo pid,args").build();
        let asked = self.ask("list the processes of a container", self.docker.top_processes(id, Some(options)));
        let found = match asked {
            Ok(found) => found,
            // It has ended, or the Engine's machine has no `ps`.
            Err(StackError::Asked { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let words = |line: Vec<String>| -> Vec<String> {
            line.last().into_iter().flat_map(|args| args.split_whitespace()).map(str::to_owned).collect()
        };
        Ok(found.processes.unwrap_or_default().into_iter().map(words).collect())
    }

    pub(super) fn start(&self, id: &str, name: &str) -> Result<(), StackError> {
        self.ask(&format!("start {name}"), self.docker.start_container(id, None))
    }

    /// As gently as its own stop timeout says.
    pub(super) fn stop(&self, id: &str, name: &str) -> Result<(), StackError> {
        self.ask(&format!("stop {name}"), self.docker.stop_container(id, None))
    }

    pub(super) fn restart(&self, id: &str, name: &str) -> Result<(), StackError> {
        self.ask(&format!("restart {name}"), self.docker.restart_container(id, None))
    }

    /// The id of an image; none where the Engine does not have it.
    pub(super) fn image(&self, name: &str) -> Result<Option<String>, StackError> {
        self.ask(&format!("look for the image {name}"), async {
            match self.docker.inspect_image(name).await {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                answer => answer.map(|image| Some(image.id.unwrap_or_default())),
            }
        })
    }

    /// Loads the images of an archive, as `docker load` does; it is read bit by bit.
    pub(super) fn load(&self, archive: &Path) -> Result<(), StackError> {
        let file = File::open(archive).map_err(|source| StackError::Read { path: archive.to_owned(), source })?;
        let chunks = stream::unfold(file, |mut file| async move {
            let mut chunk = vec![0_u8; CHUNK];
            match file.read(&mut chunk) {
                Ok(0) => None,
                Ok(read) => {
                    chunk.truncate(read);
                    Some((Ok::<_, io::Error>(Bytes::from(chunk)), file))
                }
                Err(error) => Some((Err(error), file)),
            }
        });
        let docker = self.docker.clone().with_timeout(LOAD);
        let doing = format!("load {}", archive.display());
        let said = self.ask(&doing, async {
            let answers = docker.import_image_stream(ImportImageOptions::default(), chunks, None);
            let all: Vec<_> = answers.collect().await;
            all.into_iter().collect::<Result<Vec<_>, Error>>()
        })?;
        match said.into_iter().find_map(|info| info.error_detail.and_then(|detail| detail.message)) {
            Some(message) => Err(StackError::Asked { doing, source: message.into() }),
            None => Ok(()),
        }
    }

    /// Removes an image by its name, as long as nothing uses it.
    pub(super) fn remove_image(&self, name: &str) -> Result<(), StackError> {
        let removed = self.docker.remove_image(name, None::<RemoveImageOptions>, None);
        self.ask(&format!("remove the image {name}"), removed).map(drop)
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
            ("tcp://h", Some("tcp://h")),
            ("tcp://[::1]:2375/", Some("tcp://[::1]:2375/")),
            ("tcp://[::1]", Some("tcp://[::1]")),
            ("tcp://h:99999", None),
            ("tcp://h:0", None),
            ("tcp://h:", None),
            ("tcp://h:a", None),
            ("tcp://:2375", None),
            ("tcp://h/x", None),
        ] {
            assert_eq!(address(given).ok().as_deref(), meant, "{given}");
        }
    }
}
