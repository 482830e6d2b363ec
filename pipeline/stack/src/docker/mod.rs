//! A running Docker Engine: the containers of one service are one resource, and their limits change in place.
//!
//! Owns what the containers are called, what their limits are, and what the Engine and its kernel would refuse. Creates and
//! removes no container.

mod engine;
mod group;
mod limits;
mod lock;
mod session;
mod tasks;

use crate::StackError;
use crate::target::{Change, Figure, Live, Refusal, Session, Target, digest};
use bollard::models::{ContainerInspectResponse, ContainerStatsResponse, SystemInfo};
use domain::container::Labels;
use domain::own_memory::Setup;
use domain::plan::{Note, State, TargetRef, Tasked};
use domain::task::TaskRule;
use domain::units::format_bytes;
use engine::Engine;
use group::Group;
use limits::Limits;
use lock::Lock;
use session::HeldEngine;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Where the names of containers that have no labels begin, as `collect docker` has it.
const ENV: &str = "docker";
/// The least memory that the Engine gives a container.
const MEMORY_LEAST: u64 = 6 << 20;
/// The least CPU quota that the kernel takes, microseconds.
const QUOTA_LEAST: f64 = 1000.0;

/// A Docker Engine by its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerEngine {
    address: String,
}

/// What a container is, as far as it matters here.
#[derive(Clone, Debug)]
struct Container {
    id: String,
    /// Without the `/` that the Engine puts before it.
    name: String,
    resource: String,
    limits: Limits,
    /// None where the Engine has none of its own.
    cpu_shares: Option<i64>,
    blkio_weight: Option<i64>,
    running: bool,
    started_at: Option<String>,
    reservation: i64,
    /// Who runs it, where a change would be undone by them.
    owner: Option<&'static str>,
    group: Option<Group>,
    setup: Setup,
}

impl DockerEngine {
    /// `unix:///path`, `/path`, `tcp://host:port`, or empty for the one of `DOCKER_HOST`, else the usual one.
    ///
    /// # Errors
    /// [`StackError::NoAddress`].
    pub fn named(host: &str) -> Result<Self, StackError> {
        Ok(Self { address: engine::address(host)? })
    }

    fn engine(&self) -> Result<Engine, StackError> {
        Engine::at(&self.address)
    }

    /// Where it listens, as `DOCKER_HOST` has it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The resources of which a container runs.
    pub(crate) fn running(&self) -> Result<BTreeSet<String>, StackError> {
        Ok(containers(&self.engine()?, false)?.into_keys().collect())
    }

    /// Waits until the containers of resources that were just made anew are well.
    pub(crate) fn wait_for_new(&self, resources: &[&str], most: Duration) -> Result<(), StackError> {
        let engine = self.engine()?;
        // One that ended at once is not among those that run, and is looked at too.
        let all = containers(&engine, true)?;
        let gone = |resource: &str| StackError::Unhealthy {
            resource: resource.to_owned(),
            what: "it has no container any more".to_owned(),
        };
        for resource in resources {
            for container in all.get(*resource).ok_or_else(|| gone(resource))? {
                session::wait_for_new(&engine, resource, container, most)?;
            }
        }
        Ok(())
    }
}

impl Target for DockerEngine {
    fn reference(&self) -> TargetRef {
        TargetRef { kind: "docker".to_owned(), location: self.address.clone() }
    }

    /// Its own id, whatever the way to it.
    fn identity(&self) -> Result<String, StackError> {
        let id = self.engine()?.info()?.id.filter(|id| !id.is_empty());
        Ok(id.map_or_else(|| self.address.clone(), |id| format!("engine {id}")))
    }

    fn read(&self) -> Result<Live, StackError> {
        let engine = self.engine()?;
        let info = engine.info()?;
        let mut notes = Vec::new();
        let mut note = |resource: Option<&String>, what: String| notes.push(Note { resource: resource.cloned(), what });
        if info.swap_limit == Some(false) {
            note(
                None,
                "the Engine's kernel does not account for swap: what is above a memory limit may be swapped out".into(),
            );
        }
        let all = containers(&engine, false)?;
        if all.values().flatten().next().is_some() && all.values().flatten().all(|it| it.group.is_none()) {
            note(
                None,
                "the containers are not on this machine: limits are read back from the Engine, not from the kernel"
                    .into(),
            );
        }
        let (mut resources, mut replicas, mut lines) = (BTreeMap::new(), BTreeMap::new(), String::new());
        for (resource, all) in &all {
            let Some(first) = all.first() else { continue };
            let state = first.limits.state();
            if let Some(why) = differ(all) {
                note(Some(resource), why);
            }
            if all.len() > 1 {
                replicas.insert(resource.clone(), u32::try_from(all.len()).unwrap_or(u32::MAX));
            }
            lines.push_str(&format!("{resource} {} {:?}\n", all.len(), first.limits));
            resources.insert(resource.clone(), state);
        }
        Ok(Live { digest: digest(&lines), resources, replicas, notes, ..Live::default() })
    }

    fn setups(&self) -> Result<BTreeMap<String, Setup>, StackError> {
        let all = containers(&self.engine()?, false)?;
        Ok(all.into_iter().filter_map(|(name, mut all)| Some((name, all.pop()?.setup))).collect())
    }

    fn refusals(&self, changes: &[Change]) -> Result<Vec<Refusal>, StackError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self.engine()?;
        refusals(&engine, &engine.info()?, &containers(&engine, false)?, &self.address, changes)
    }

    fn tasks(&self, rules: &[TaskRule]) -> Result<Vec<Tasked>, StackError> {
        if rules.is_empty() {
            return Ok(Vec::new());
        }
        let engine = self.engine()?;
        tasks::found(&engine, &engine.info()?, rules)
    }

    fn cautions(&self, changes: &[Change]) -> Result<Vec<Note>, StackError> {
        let unset = |change: &Change| {
            let cpu = change.before.cpu_cores.is_none() && change.after.cpu_cores.is_some();
            let memory = change.before.memory_bytes.is_none() && change.after.memory_bytes.is_some();
            let what = match (cpu, memory) {
                (true, true) => "CPU and memory limits",
                (true, false) => "a CPU limit",
                (false, true) => "a memory limit",
                (false, false) => return None,
            };
            let what = format!(
                "has never had {what}; a rollback holds it to nothing again, but the Engine will show the largest figures \
                 there are instead of none, until it is recreated"
            );
            Some(Note { resource: Some(change.resource.clone()), what })
        };
        Ok(changes.iter().filter_map(unset).collect())
    }

    /// A journal of it holds limits and names.
    fn mode(&self) -> u32 {
        0o666
    }

    fn hold(&self) -> Result<Box<dyn Session>, StackError> {
        let lock = Lock::take(&self.address)?;
        Ok(Box::new(HeldEngine::new(self.engine()?, self.address.clone(), lock)))
    }
}

/// The running containers, or the stopped ones too, by resource, in the order of their names. One-off containers of `docker compose run` are nobody's
/// replicas.
fn containers(engine: &Engine, stopped_too: bool) -> Result<BTreeMap<String, Vec<Container>>, StackError> {
    let mut all: BTreeMap<String, Vec<Container>> = BTreeMap::new();
    for id in engine.ids(stopped_too)? {
        let Some(found) = engine.inspect(&id)? else { continue };
        if let Some(container) = Container::of(&found) {
            all.entry(container.resource.clone()).or_default().push(container);
        }
    }
    for containers in all.values_mut() {
        containers.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(all)
}

impl Container {
    fn of(found: &ContainerInspectResponse) -> Option<Self> {
        let config = found.config.as_ref();
        let labels = labels(found);
        let has = |name: &str| labels.0.is_some_and(|labels| labels.contains_key(name));
        if labels.first(&["com.docker.compose.oneoff"]).is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            return None;
        }
        let id = found.id.clone()?;
        let name = found.name.as_deref().unwrap_or(&id).trim_start_matches('/').to_owned();
        let owner = [
            ("com.docker.swarm.service.id", "a Swarm service"),
            ("io.kubernetes.pod.uid", "Kubernetes"),
            ("com.amazonaws.ecs.task-arn", "Amazon ECS"),
        ];
        let pid = found.state.as_ref().and_then(|state| state.pid).filter(|pid| *pid > 0);
        let host = found.host_config.as_ref();
        let words = config.map(|config| config.entrypoint.iter().chain(&config.cmd).flatten().cloned().collect());
        let variables = config.and_then(|config| config.env.as_ref()).into_iter().flatten();
        Some(Self {
            resource: format!("{}/{}", labels.environment(ENV), labels.service(&name)),
            limits: Limits::of(host),
            cpu_shares: host.and_then(|host| host.cpu_shares).filter(|shares| *shares > 0),
            blkio_weight: host.and_then(|host| host.blkio_weight).filter(|weight| *weight > 0).map(i64::from),
            running: found.state.as_ref().and_then(|state| state.running) == Some(true),
            started_at: found.state.as_ref().and_then(|state| state.started_at.clone()),
            reservation: host.and_then(|host| host.memory_reservation).unwrap_or(0),
            owner: owner.into_iter().find(|(name, _)| has(name)).map(|(_, owner)| owner),
            group: pid.and_then(|pid| Group::find(Path::new("/"), pid, &id)),
            setup: Setup {
                image: config.and_then(|config| config.image.clone()).unwrap_or_default(),
                words: words.unwrap_or_default(),
                variables: variables
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            },
            id,
            name,
        })
    }
}

fn labels(found: &ContainerInspectResponse) -> Labels<'_> {
    Labels(found.config.as_ref().and_then(|config| config.labels.as_ref()))
}

/// Work that runs in an environment: the first command line that `is_work` takes for some, and where it runs.
fn work_in(engine: &Engine, env: &str, is_work: &dyn Fn(&[String]) -> bool) -> Result<Option<String>, StackError> {
    for id in engine.ids(false)? {
        let Some(found) = engine.inspect(&id)?.filter(|it| labels(it).environment(ENV) == env) else { continue };
        let name = found.name.as_deref().unwrap_or(&id).trim_start_matches('/');
        if let Some(words) = engine.processes(&id)?.into_iter().find(|words| is_work(words)) {
            let line: String = words.join(" ").chars().take(60).collect();
            return Ok(Some(format!("`{line}` runs in {name}")));
        }
    }
    Ok(None)
}

/// Why the containers of a service cannot be changed as one.
fn differ(all: &[Container]) -> Option<String> {
    let first = all.first()?;
    let other = all.iter().find(|other| other.limits.held() != first.limits.held())?;
    let words = |it: &Container| format!("{} has {}", it.name, it.limits.held().in_words());
    Some(format!("its {} containers have different limits: {}, {}", all.len(), words(first), words(other)))
}

/// The figures that the Engine or its kernel would not take, or that would kill what runs.
fn refusals(
    engine: &Engine,
    info: &SystemInfo,
    containers: &BTreeMap<String, Vec<Container>>,
    address: &str,
    changes: &[Change],
) -> Result<Vec<Refusal>, StackError> {
    let mut refusals = Vec::new();
    for change in changes {
        let mut refuse = |figure: Figure, error: StackError| {
            refusals.push(Refusal { item_id: change.item_id.clone(), figure, error });
        };
        let Some(all) = containers.get(&change.resource) else {
            for figure in change.figures() {
                let (target, resource) = (address.to_owned(), change.resource.clone());
                refuse(figure, StackError::NoResource { target, resource });
            }
            continue;
        };
        let refused = |what: String, hint: &str| StackError::Refused {
            service: change.resource.clone(),
            what,
            hint: hint.to_owned(),
        };
        let whole = all.iter().find_map(|it| it.owner).map(|owner| {
            (format!("it is run by {owner}, which would undo the change"), "change the limits where they are written")
        });
        let whole = whole.or_else(|| {
            differ(all)
                .map(|why| (why, "recreate the containers with equal limits: `docker compose up -d --force-recreate`"))
        });
        if let Some((what, hint)) = whole {
            for figure in change.figures() {
                refuse(figure, refused(what.clone(), hint));
            }
            continue;
        }
        if let Some(cores) = change.after.cpu_cores.filter(|_| change.after.cpu_cores != change.before.cpu_cores)
            && let Some((what, hint)) = cpu_refused(info, all, cores)
        {
            refuse(Figure::Cpu, refused(what, hint));
        }
        if let Some(bytes) =
            change.after.memory_bytes.filter(|_| change.after.memory_bytes != change.before.memory_bytes)
            && let Some((what, hint)) = memory_refused(engine, info, all, change.before, bytes)?
        {
            refuse(Figure::Memory, refused(what, hint));
        }
    }
    Ok(refusals)
}

type Why = (String, &'static str);

fn cpu_refused(info: &SystemInfo, all: &[Container], cores: f64) -> Option<Why> {
    if info.cpu_cfs_quota == Some(false) {
        return Some(("the Engine's kernel has no CPU quota".to_owned(), "use a kernel with CONFIG_CFS_BANDWIDTH"));
    }
    if let Some(there) = info.ncpu.filter(|there| *there > 0 && cores > *there as f64) {
        let what = format!("{cores} cores are more than the {there} of the Engine's machine");
        return Some((what, "plan with --nodes, or set a ceiling in the overrides"));
    }
    let period = all.iter().map(|it| if it.limits.cpu_period > 0 { it.limits.cpu_period } else { 100_000 }).min();
    let quota = cores * period.unwrap_or(100_000) as f64;
    (quota < QUOTA_LEAST).then(|| {
        (format!("{cores} cores are a quota below the 1 ms that the kernel takes"), "set a floor in the overrides")
    })
}

fn memory_refused(
    engine: &Engine,
    info: &SystemInfo,
    all: &[Container],
    before: State,
    bytes: u64,
) -> Result<Option<Why>, StackError> {
    let words = |bytes: u64| format_bytes(bytes as f64);
    if info.memory_limit == Some(false) {
        let what = "the Engine's kernel has no memory limits, or the Engine may not set them";
        return Ok(Some((
            what.to_owned(),
            "boot with cgroup_enable=memory, or delegate the controller to a rootless Engine",
        )));
    }
    if bytes < MEMORY_LEAST {
        return Ok(Some(("the Engine gives no container less than 6 MiB".to_owned(), "set a floor in the overrides")));
    }
    let there = info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).filter(|there| *there > 0);
    if let Some(there) = there.filter(|there| bytes > *there) {
        let what = format!("{} are more than the {} of the Engine's machine", words(bytes), words(there));
        return Ok(Some((what, "plan with --nodes, or set a ceiling in the overrides")));
    }
    for container in all {
        if u64::try_from(container.reservation).is_ok_and(|reserved| reserved > bytes) {
            let reserved = words(container.reservation.unsigned_abs());
            let what = format!("{} reserves {reserved}, more than {}", container.name, words(bytes));
            return Ok(Some((what, "lower the reservation first: `docker update --memory-reservation`")));
        }
        if info.swap_limit == Some(false) && container.limits.held().swap.is_some() {
            let what =
                format!("{} has a limit of swap, and the Engine's kernel does not account for swap", container.name);
            return Ok(Some((what, "boot with swapaccount=1, or recreate the container without the limit")));
        }
        if before.memory_bytes.is_some_and(|before| bytes >= before) {
            continue;
        }
        // A lower limit than what is in use has the kernel kill processes (version 2), or is refused by it (version 1).
        let used = engine.stats(&container.id)?.as_ref().and_then(working_set);
        if let Some(used) = used.filter(|used| *used > bytes) {
            let what = format!("{} uses {} now, more than {}", container.name, words(used), words(bytes));
            return Ok(Some((what, "restart the service, or plan again when it uses less")));
        }
    }
    Ok(None)
}

/// What is charged less the file pages that the kernel takes back first, as `docker stats` has it.
fn working_set(stats: &ContainerStatsResponse) -> Option<u64> {
    let memory = stats.memory_stats.as_ref()?;
    let inactive =
        memory.stats.as_ref().and_then(|all| all.get("total_inactive_file").or_else(|| all.get("inactive_file")));
    Some(memory.usage?.saturating_sub(inactive.copied().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::task::Task;
    use serde_json::json;

    fn container(labels: serde_json::Value) -> Option<Container> {
        let found = json!({
            "Id": "0123456789abcdef", "Name": "/shop-web-1", "State": {"Running": true},
            "HostConfig": {"NanoCpus": 500_000_000, "Memory": 67_108_864, "MemorySwap": 134_217_728},
            "Config": {
                "Image": "shop", "Labels": labels, "Env": ["A=b=c"], "Entrypoint": ["java"], "Cmd": ["-Xmx32m", "x"],
            },
        });
        Container::of(&serde_json::from_value(found).unwrap())
    }

    #[test]
    fn a_container_is_called_by_our_labels_then_composes_then_its_name() {
        let compose = json!({"com.docker.compose.project": "shop", "com.docker.compose.service": "web"});
        assert_eq!(container(compose.clone()).unwrap().resource, "shop/web");
        assert_eq!(container(json!({"pipeline.env": "dev"})).unwrap().resource, "dev/shop-web-1");
        assert_eq!(container(json!({})).unwrap().resource, "docker/shop-web-1");
        let mut ours = compose.clone();
        ours["pipeline.env"] = "dev".into();
        let it = container(ours).unwrap();
        assert_eq!((it.resource.as_str(), it.limits.state().cpu_cores), ("dev/web", Some(0.5)));
        assert_eq!((it.setup.words.len(), it.setup.variables["A"].as_str()), (3, "b=c"));
        let mut oneoff = compose;
        oneoff["com.docker.compose.oneoff"] = "True".into();
        assert!(container(oneoff).is_none());
        let swarm = container(json!({"com.docker.swarm.service.id": "x"})).unwrap();
        assert_eq!(swarm.owner, Some("a Swarm service"));
    }

    #[test]
    fn a_task_is_what_is_not_so_already_and_weights_that_the_kernel_lacks_are_refused() {
        let it = container(json!({})).unwrap();
        let rule = |edit: fn(&mut TaskRule)| {
            let mut rule = TaskRule { resource: "docker/*".into(), ..TaskRule::default() };
            edit(&mut rule);
            tasks::task_of(&rule, std::slice::from_ref(&it))
        };
        assert_eq!(rule(|it| it.cpu_weight = Some(1024)), None, "what is usual where nothing is set");
        assert_eq!(rule(|it| it.running = Some(true)), None);
        assert_eq!(
            (rule(|it| it.running = Some(false)), rule(|it| it.restart = true)),
            (Some(Task::Stop), Some(Task::Restart))
        );
        let weigh = rule(|it| (it.cpu_weight, it.io_weight) = (Some(512), Some(500))).unwrap();
        let refused = tasks::refused(&SystemInfo::default(), std::slice::from_ref(&it), &weigh);
        assert!(refused.unwrap().contains("no I/O weights"));
        let swarm = container(json!({"com.docker.swarm.service.id": "x"})).unwrap();
        let refused = tasks::refused(&SystemInfo::default(), &[swarm], &Task::Stop);
        assert!(refused.unwrap().contains("a Swarm service"));
    }
}
