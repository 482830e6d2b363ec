//! A real Docker Engine of its own: installed when it is missing, started by hand, stopped by its process id.

use crate::program::say;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// One Engine at a time: they share the machine's control groups.
static ONE: Mutex<()> = Mutex::new(());

pub struct Engine {
    folder: TempDir,
    child: Option<Child>,
    _one: MutexGuard<'static, ()>,
}

fn has(program: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status().unwrap().success()
}

/// Installs the Engine where it is missing. The reason when it cannot be had.
fn missing() -> Option<&'static str> {
    let parts = ["dockerd", "containerd", "docker", "busybox"];
    if !parts.iter().all(|part| has(part)) {
        let install = "apt-get update && apt-get install -y --no-install-recommends docker.io busybox-static";
        let _ = Command::new("sh").args(["-c", install]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
    if !parts.iter().all(|part| has(part)) {
        return Some("it is not installed and `apt-get install docker.io busybox-static` did not help");
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    (!root).then_some("to start one takes root")
}

impl Engine {
    /// None, and loudly so, where none can be had; in CI that is a failure.
    pub fn start() -> Option<Self> {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = missing() {
            say(&format!("NOT TESTED: what needs a real Docker Engine: {why}."));
            assert!(std::env::var_os("CI").is_none(), "CI has a Docker Engine");
            return None;
        }
        let mut engine = Self { folder: tempfile::tempdir().unwrap(), child: None, _one: one };
        engine.up();
        engine.import();
        Some(engine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn address(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    /// Starts the daemon and waits until it answers.
    pub fn up(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = Command::new("dockerd")
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--shutdown-timeout", "1", "-H"])
            .arg(self.address())
            .arg("--exec-root")
            .arg(self.path("exec"))
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("-p")
            .arg(self.path("pid"))
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let began = Instant::now();
        while !self.docker(&["version"]).0 {
            let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(90), "the Docker Engine does not start: {}", log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Stops the daemon by its process id.
    pub fn down(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = Command::new("kill").arg(child.id().to_string()).status();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > Duration::from_secs(40) {
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// No registry is asked: an image of one static program.
    fn import(&self) {
        let make = "mkdir -p root/bin root/tmp && cp \"$(command -v busybox)\" root/bin/busybox && \
            for name in sh sleep tail dd; do ln -sf busybox root/bin/$name; done && \
            tar -C root -c . | docker -H \"$1\" import - box";
        let made =
            Command::new("sh").args(["-c", make, "sh"]).arg(self.address()).current_dir(self.folder.path()).output();
        let made = made.unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Whether it was done, and what was said.
    pub fn docker(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new("docker").arg("-H").arg(self.address()).args(arguments).output().unwrap();
        let said = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// Runs a container in the background.
    pub fn run(&self, name: &str, options: &[&str], script: &str) {
        let mut all = vec!["run", "-d", "--name", name, "--network", "none"];
        all.extend(options);
        all.extend(["box", "sh", "-c", script]);
        let (done, said) = self.docker(&all);
        assert!(done, "{all:?}: {said}");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.child.is_some() {
            let (_, ids) = self.docker(&["ps", "-aq"]);
            for id in ids.lines() {
                self.docker(&["rm", "-f", id]);
            }
        }
        self.down();
    }
}
