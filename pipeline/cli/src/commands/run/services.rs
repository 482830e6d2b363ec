//! The services of a job: programs that run while its steps do, and not a moment longer.
//!
//! Each runs in a process group of its own below a guard, a few lines of shell that end the group when this program stops
//! holding a pipe: also when it is killed, and can no longer end anything by itself.

use super::expand;
use crate::failure::{Exit, Failure};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs a program, and ends its group when standard input does.
const GUARD: &str = r#"exec 3<&0 </dev/null
"$@" 3<&- & child=$!
{
    read -r _ <&3
    kill -TERM $child 2>/dev/null
    i=0
    while kill -0 $child 2>/dev/null && [ $i -lt 50 ]; do sleep 0.1; i=$((i + 1)); done
    kill -KILL 0
} &
wait $child"#;

/// So long a service has until it is ready.
const READY: Duration = Duration::from_secs(60);
/// So long one has to end by itself, and its guard to see to it.
const END: Duration = Duration::from_secs(7);
const PAUSE: Duration = Duration::from_millis(20);

/// A `[[service]]` of a job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its output goes to NAME.log and NAME.err in the job's folder.
    pub name: String,
    /// A program and its arguments; `${NAME:-default}` takes an environment variable.
    pub run: Vec<String>,
    /// When it is ready: `http://HOST:PORT/PATH` answers, `tcp:HOST:PORT` is open, or `end`: it has ended with 0.
    pub ready: String,
    /// The step that it is started for; none: the first.
    pub before: Option<String>,
    /// What to do where its program is missing.
    pub install: Option<String>,
}

/// When a service is ready.
#[derive(Debug, PartialEq, Eq)]
enum Ready {
    /// A path of a server answers with a status below 400.
    Http { address: String, path: String },
    /// A port is open.
    Tcp(String),
    /// It has ended, and well.
    End,
}

impl Ready {
    fn parse(text: &str) -> Option<Self> {
        if text == "end" {
            return Some(Self::End);
        }
        let is_address = |text: &str| text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if let Some(rest) = text.strip_prefix("http://") {
            let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
            let (address, path) = (address.to_owned(), format!("/{path}"));
            return is_address(&address).then_some(Self::Http { address, path });
        }
        text.strip_prefix("tcp:").filter(|address| is_address(address)).map(|address| Self::Tcp(address.to_owned()))
    }

    fn address(&self) -> Option<&str> {
        match self {
            Self::Http { address, .. } | Self::Tcp(address) => Some(address),
            Self::End => None,
        }
    }

    fn is_there(&self) -> bool {
        let open = |address: &str| {
            let found = address.to_socket_addrs().ok()?.next()?;
            TcpStream::connect_timeout(&found, Duration::from_secs(1)).ok()
        };
        match self {
            Self::Tcp(address) => open(address).is_some(),
            Self::Http { address, path } => {
                let answers = |mut stream: TcpStream| {
                    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
                    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
                    stream.write_all(request.as_bytes()).ok()?;
                    let mut head = [0; 12];
                    stream.read_exact(&mut head).ok()?;
                    std::str::from_utf8(&head[9..]).ok()?.parse::<u16>().ok()
                };
                open(address).and_then(answers).is_some_and(|status| (100..400).contains(&status))
            }
            Self::End => false,
        }
    }
}

impl Service {
    /// What of it cannot be: before anything is started.
    pub fn check(&self, steps: &[String]) -> Result<(), Failure> {
        let wrong = |what: String| Failure::new(Exit::Usage, format!("service {}: {what}", self.name));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.is_empty() || !self.name.chars().all(is_plain) {
            return Err(wrong("its name has letters, digits, - and _ only: a file is called so".to_owned()));
        }
        if self.run.is_empty() {
            return Err(wrong("it runs nothing".to_owned()));
        }
        if Ready::parse(&self.ready).is_none() {
            return Err(
                wrong(format!("ready is {:?}", self.ready)).hint("write http://HOST:PORT/PATH, tcp:HOST:PORT, or end")
            );
        }
        match &self.before {
            Some(step) if !steps.contains(step) => {
                Err(wrong(format!("there is no step {step}")).hint(format!("the steps are {}", steps.join(", "))))
            }
            _ => Ok(()),
        }
    }

    /// Its program, found as a shell would.
    fn is_installed(&self, program: &str) -> bool {
        let is_file = |path: &Path| path.is_file();
        if program.contains('/') {
            return is_file(Path::new(program));
        }
        std::env::var_os("PATH")
            .is_some_and(|all| std::env::split_paths(&all).any(|folder| is_file(&folder.join(program))))
    }
}

/// The services of a job that run now; dropped, they are ended.
pub struct Services<'a> {
    all: &'a [Service],
    folder: PathBuf,
    running: Vec<(usize, Child)>,
    begun: usize,
}

impl<'a> Services<'a> {
    /// None of them is started yet; those whose program is missing are told of.
    pub fn new(all: &'a [Service], folder: Option<&Path>, steps: &[String]) -> Result<Self, Failure> {
        for service in all {
            service.check(steps)?;
            let program = expand(&service.run[0])?;
            if !service.is_installed(&program) {
                let hint = service.install.clone().unwrap_or_else(|| format!("install {program}, and run it again"));
                return Err(
                    Failure::new(Exit::Failed, format!("service {}: there is no {program}", service.name)).hint(hint)
                );
            }
        }
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None if all.is_empty() => PathBuf::new(),
            None => {
                return Err(Failure::new(Exit::Usage, "the job has services and names no folder of its own")
                    .hint("folder = \"…\" at its top; what they print goes there"));
            }
        };
        Ok(Self { all, folder, running: Vec::new(), begun: 0 })
    }

    /// Starts those that a step is the first to need, in their order, each when the one before is ready.
    pub fn before(&mut self, step: usize, steps: &[String]) -> Result<(), Failure> {
        let place = |service: &Service| match &service.before {
            Some(name) => steps.iter().position(|step| step == name).unwrap_or(0),
            None => 0,
        };
        while let Some(service) = self.all.get(self.begun).filter(|service| place(service) <= step) {
            self.start(service)?;
            self.begun += 1;
        }
        Ok(())
    }

    /// That all that are to go on do: a step that fails because of one that ended says so.
    pub fn ended(&mut self) -> Option<String> {
        let all = self.all;
        self.running.iter_mut().find_map(|(i, child)| {
            let status = child.try_wait().ok().flatten()?;
            Some(format!("service {} ended meanwhile: {status}", all[*i].name))
        })
    }

    fn start(&mut self, service: &Service) -> Result<(), Failure> {
        let failed = |what: String| Failure::new(Exit::Failed, format!("service {}: {what}", service.name));
        let ready = Ready::parse(&service.ready).ok_or_else(|| failed("it is never ready".to_owned()))?;
        if let Some(address) = ready.address().filter(|_| ready.is_there()) {
            return Err(
                failed(format!("something answers on {address} already")).hint("end it, or give the job other ports")
            );
        }
        let arguments = service.run.iter().map(|text| expand(text)).collect::<Result<Vec<_>, _>>()?;
        let log = |end: &str| {
            let path = self.folder.join(format!("{}.{end}", service.name));
            File::create(&path).map_err(|error| Failure::file("write", &path, &error))
        };
        let mut child = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .args(&arguments)
            .stdin(Stdio::piped())
            .stdout(log("log")?)
            .stderr(log("err")?)
            .process_group(0)
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let until = Instant::now() + READY;
        loop {
            let status = child.try_wait().map_err(|error| failed(error.to_string()))?;
            match status {
                Some(status) if status.success() && ready == Ready::End => {
                    stop(&mut child);
                    return Ok(());
                }
                Some(status) => {
                    stop(&mut child);
                    return Err(
                        failed(format!("it ended before it was ready: {status}")).hint(self.last_words(service))
                    );
                }
                None if ready.is_there() => break,
                None if Instant::now() < until => sleep(PAUSE),
                None => {
                    stop(&mut child);
                    let what = format!("it was not ready within {} s: {}", READY.as_secs(), service.ready);
                    return Err(failed(what).hint(self.last_words(service)));
                }
            }
        }
        self.running.push((self.begun, child));
        Ok(())
    }

    /// What it last said, where it said something.
    fn last_words(&self, service: &Service) -> String {
        let path = self.folder.join(format!("{}.err", service.name));
        let text = fs::read_to_string(&path).unwrap_or_default();
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        last.map_or_else(|| format!("it said nothing in {}", path.display()), |line| format!("it said: {line}"))
    }
}

impl Drop for Services<'_> {
    fn drop(&mut self) {
        // The last first: a router before what it routes to.
        for (_, mut child) in self.running.drain(..).rev() {
            stop(&mut child);
        }
    }
}

/// Ends a service and everything that it started: asked first, then made to.
fn stop(child: &mut Child) {
    drop(child.stdin.take());
    let until = Instant::now() + END;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
        sleep(PAUSE);
    }
    if let Ok(id) = i32::try_from(child.id()) {
        // What is gone already is as good.
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
    // Waited for, so that it does not stay as a zombie; an error says that it was already.
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_written_in_three_ways() {
        let http = Ready::Http { address: "127.0.0.1:80".into(), path: "/healthz".into() };
        assert_eq!(Ready::parse("http://127.0.0.1:80/healthz"), Some(http));
        assert_eq!(Ready::parse("tcp:localhost:18060"), Some(Ready::Tcp("localhost:18060".into())));
        assert_eq!(Ready::parse("end"), Some(Ready::End));
        for wrong in ["", "soon", "tcp:localhost", "http://localhost/", "https://a:1/"] {
            assert_eq!(Ready::parse(wrong), None, "{wrong}");
        }
    }

    fn service(run: &str, ready: &str) -> Service {
        let run = ["sh", "-c", run].map(str::to_owned).to_vec();
        Service { name: "it".into(), run, ready: ready.into(), before: None, install: None }
    }

    fn is_alive(pid: &str) -> bool {
        // A zombie has ended.
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    }

    #[test]
    fn a_service_ends_with_all_that_it_started_also_one_that_will_not() {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = format!(
            "trap '' TERM; sleep 600 & echo $$ $!; python3 -m http.server {port} --bind 127.0.0.1 >/dev/null 2>&1"
        );
        let all = [service(&script, &format!("http://127.0.0.1:{port}/"))];
        let steps = ["first".to_owned()];
        let mut services = Services::new(&all, Some(folder.path()), &steps).unwrap();
        services.before(0, &steps).unwrap();
        assert_eq!(services.ended(), None);
        let pids = fs::read_to_string(folder.path().join("it.log")).unwrap();
        assert!(pids.split_whitespace().count() == 2 && pids.split_whitespace().all(is_alive), "{pids}");
        drop(services);
        assert!(!pids.split_whitespace().any(is_alive), "{pids}");
        // Its socket goes with it, a moment after the signal.
        let until = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(("127.0.0.1", port)).is_ok() {
            assert!(Instant::now() < until, "somebody still listens on {port}");
            sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn one_that_ends_early_is_a_failure_unless_its_end_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let steps = ["first".to_owned()];
        let begun = |service: Service| {
            let all = [service];
            let mut services = Services::new(&all, Some(folder.path()), &steps)?;
            services.before(0, &steps)
        };
        begun(service("true", "end")).unwrap();
        for (run, ready) in [("echo broken >&2; exit 3", "end"), ("echo broken >&2", "tcp:127.0.0.1:9")] {
            let failure = begun(service(run, ready)).unwrap_err();
            assert!(failure.what.contains("ended before") && failure.hint.unwrap().contains("broken"));
        }
        let missing =
            Service { run: vec!["no-such-program".into()], install: Some("get it".into()), ..service("", "end") };
        assert_eq!(begun(missing).unwrap_err().hint.as_deref(), Some("get it"));
    }
}
