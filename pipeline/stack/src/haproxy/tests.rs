//! The map on a real HAProxy, where one is installed; the configuration that is rendered is what it runs.

use super::*;
use crate::apply::{Done, Held, How, Work, apply, rollback};
use crate::files::tests::journal;
use crate::health::Health;
use crate::journal::{Journal, Phase, Progress};
use crate::versions::Manifest;
use domain::Timestamp;
use domain::plan::{PlannedTarget, State};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Rollbacks that are measured.
const ROLLBACKS: usize = 30;

const GROUPS: [(&str, u8); 2] = [("blue", 100), ("green", 0)];

fn shares(canary: u8) -> Shares {
    Shares::from([("blue".to_owned(), 100 - canary), ("green".to_owned(), canary)])
}

/// A map in a folder of its own.
fn map(folder: &Path) -> HaproxyMap {
    let path = folder.join("routes.map");
    let text: String = GROUPS.iter().map(|(group, share)| format!("{group} {share}\n")).collect();
    fs::write(&path, format!("# shares\n{text}")).unwrap();
    HaproxyMap::new(path, Some(folder.join("haproxy.sock")))
}

/// A plan of these shares of the canary, one after the other.
fn changes(steps: &[u8]) -> Vec<Change> {
    let pairs = std::iter::once(0).chain(steps.iter().copied()).zip(steps.iter().copied());
    let change = |(n, (before, after)): (usize, (u8, u8))| Change {
        item_id: format!("i{n}"),
        resource: "stack/routes".into(),
        on: "map".into(),
        before: State::default(),
        after: State::default(),
        task: Some(Task::Route { before: shares(before), after: shares(after) }),
        requests: None,
        text: None,
        follows: false,
    };
    pairs.enumerate().map(change).collect()
}

fn planned(target: &HaproxyMap) -> (PlannedTarget, How) {
    let reference = target.reference();
    let planned = PlannedTarget {
        id: "map".into(),
        kind: reference.kind,
        location: reference.location,
        prior_state_digest: target.read().unwrap().digest,
    };
    (planned, How { now: Timestamp(0), at_once: 1, health: Health::default(), work: Work::IGNORED })
}

/// What is carried out, with its journal.
fn applied(target: &HaproxyMap, changes: &[Change]) -> (Result<Done, StackError>, Journal) {
    let (planned, how) = planned(target);
    let mut journal = journal(&planned);
    let mut held = vec![Held::new(&planned, target).unwrap()];
    let done = apply(&mut held, changes, &mut journal, &how, &mut |_| Ok(()));
    (done, journal)
}

fn back(target: &HaproxyMap, journal: &mut Journal) -> Result<Done, StackError> {
    let (planned, how) = planned(target);
    rollback(&mut [Held::new(&planned, target).unwrap()], journal, &how, &mut |_| Ok(()))
}

#[test]
fn without_a_router_the_file_is_written_and_the_step_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let target = map(folder.path());
    let before = fs::read(folder.path().join("routes.map")).unwrap();
    let (done, mut journal) = applied(&target, &changes(&[10]));
    assert_eq!(done.unwrap(), Done::Written);
    assert_eq!(fs::read_to_string(folder.path().join("routes.map")).unwrap(), "# shares\nblue 90\ngreen 10\n");
    let remark = journal.steps[0].remark.clone().unwrap();
    assert!(remark.contains("no router answers on") && remark.contains("read when it starts"), "{remark}");
    assert_eq!(back(&target, &mut journal).unwrap(), Done::Written);
    assert_eq!(fs::read(folder.path().join("routes.map")).unwrap(), before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn a_plan_of_other_shares_is_refused_and_a_later_edit_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let target = map(folder.path());
    let path = folder.path().join("routes.map");
    fs::write(&path, "blue 50\ngreen 50\n").unwrap();
    let (done, _) = applied(&target, &changes(&[10]));
    let error = done.unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("blue 50 %, green 50 %, not blue 100 %"), "{error}");
    fs::write(&path, "blue 100\n").unwrap();
    let (done, mut journal) = applied(&target, &changes(&[10]));
    done.unwrap();
    fs::write(&path, "blue 90\ngreen 10\namber 0\n").unwrap();
    assert!(back(&target, &mut journal).unwrap_err().is_refusal());
    assert_eq!(fs::read_to_string(&path).unwrap(), "blue 90\ngreen 10\namber 0\n");
}

/// Steps that were done one by one, as by the ticks of a rollout; then all of them are taken back by one write.
#[test]
fn steps_on_one_map_go_back_to_before_the_first_from_wherever_they_were_broken_off() {
    let all = changes(&[1, 10, 50]);
    for done in 0..=3 {
        for half in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let target = map(folder.path());
            let before = fs::read(folder.path().join("routes.map")).unwrap();
            let (planned, how) = planned(&target);
            let mut journal = journal(&planned);
            let mut held = vec![Held::new(&planned, &target).unwrap()];
            crate::apply::rehearse(&mut held, &all, &journal, &how).unwrap();
            for _ in 0..done {
                crate::apply::step(&mut held, &all, &mut journal, &how, &mut |_| Ok(())).unwrap();
            }
            if half && done < 3 && done > 0 {
                // Killed after the journal said what is begun, before the file was written.
                journal.steps[done].progress = Progress::Doing;
            }
            drop(held);
            let ended = back(&target, &mut journal);
            assert_eq!(fs::read(folder.path().join("routes.map")).unwrap(), before, "{done} {half}");
            match done {
                0 => assert!(matches!(ended, Err(StackError::NotApplied { .. }))),
                _ => {
                    assert_eq!(ended.unwrap(), Done::Written);
                    assert_eq!(journal.state, Phase::RolledBack);
                }
            }
        }
    }
}

/// Processes that end with the test.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A node that answers its own name to every request, and the group that the router named.
fn node(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream, name));
        }
    });
    port
}

fn serve(mut stream: TcpStream, name: &str) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            head.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&head);
        let group = text.lines().find_map(|line| line.strip_prefix("x-stack-group: ")).unwrap_or("-");
        if text.contains("x-user: slow") {
            std::thread::sleep(Duration::from_secs(2));
        }
        let body = format!("{name} {group}");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

struct Edge {
    folder: tempfile::TempDir,
    target: HaproxyMap,
    port: u16,
    router: Running,
}

impl Edge {
    /// A router with two groups of one service; none where no HAProxy is installed.
    fn start() -> Option<Self> {
        if Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_err() {
            let said = b"NOT TESTED: no haproxy; apt-get install -y --no-install-recommends haproxy\n";
            std::io::stderr().write_all(said).unwrap();
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (port, blue, green) = (port(), node("blue"), node("green"));
        let text = format!(
            "[[component]]\nname = \"api\"\nkind = \"application\"\nversion = \"1.4.2\"\n\
             health = \"http://127.0.0.1:{blue}/healthz\"\n\
             [[component]]\nname = \"api\"\nkind = \"application\"\nversion = \"1.5.0\"\n\
             health = \"http://127.0.0.1:{green}/healthz\"\n\
             [[component]]\nname = \"edge\"\nkind = \"load_balancer\"\nversion = \"3.0.0\"\n\
             config = {{ bind = \"127.0.0.1:{port}\" }}\n\
             [[group]]\nname = \"blue\"\nmembers = {{ api = \"1.4.2\", edge = \"3.0.0\" }}\n\
             [[group]]\nname = \"green\"\nmembers = {{ api = \"1.5.0\", edge = \"3.0.0\" }}\n\
             [route]\ntarget = \"haproxy-map:routes.map\"\nsocket = \"haproxy.sock\"\nsteps = [1, 100]\nunit = \"x-user\"\n"
        );
        let manifest = Manifest::parse(&text).unwrap();
        let config = render(&manifest, &manifest.components[2], folder.path()).unwrap();
        fs::write(folder.path().join("haproxy.cfg"), config).unwrap();
        let target = map(folder.path());
        let mut edge = Self { folder, target, port, router: Running(Vec::new()) };
        edge.run();
        Some(edge)
    }

    fn run(&mut self) {
        let log = |name: &str| fs::File::create(self.folder.path().join(name)).unwrap();
        let config = self.folder.path().join("haproxy.cfg");
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(config)
            .stdout(log("events.ndjson"))
            .stderr(log("haproxy.err"))
            .spawn()
            .unwrap();
        self.router.0.push(child);
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let said = || fs::read_to_string(self.folder.path().join("haproxy.err")).unwrap_or_default();
            assert!(Instant::now() < until, "{}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        for mut child in self.router.0.drain(..) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }
}

/// The status and the body of a request of a user.
fn get(stream: &mut TcpStream, user: &str) -> (u16, String) {
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\nx-user: {user}\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    let (mut begins, mut length) = (None, 0);
    while begins.is_none_or(|begins| answer.len() < begins + length) {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            break;
        }
        answer.push(byte[0]);
        if begins.is_none() && answer.ends_with(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer).to_lowercase();
            length =
                head.split("content-length: ").nth(1).and_then(|it| it.split('\r').next()?.parse().ok()).unwrap_or(0);
            begins = Some(answer.len());
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text[begins.unwrap_or(text.len())..].to_owned())
}

#[test]
fn the_split_is_as_the_file_says_users_stay_and_a_killed_router_keeps_it() {
    let Some(mut edge) = Edge::start() else { return };
    let users: Vec<String> = (0..2000).map(|n| format!("u-{n}")).collect();
    let seen = |edge: &Edge| -> Vec<bool> {
        let mut stream = edge.client();
        users
            .iter()
            .map(|user| {
                let (status, body) = get(&mut stream, user);
                assert_eq!(status, 200, "{body}");
                let (name, group) = body.split_once(' ').unwrap();
                assert_eq!(name, group, "a request that saw a mixed group");
                name == "green"
            })
            .collect()
    };
    let mut last = vec![false; users.len()];
    let mut before = 0;
    for share in [1, 10, 25, 50, 100] {
        let change = Task::Route { before: shares(before), after: shares(share) };
        let (done, journal) = applied(&edge.target, &[Change { task: Some(change), ..changes(&[1]).remove(0) }]);
        assert_eq!(done.unwrap(), Done::Written);
        assert_eq!(journal.steps[0].remark, None);
        let now = seen(&edge);
        let count = now.iter().filter(|on| **on).count() as f64;
        // 99.9 % of a binomial distribution lie within 3.29 standard deviations.
        let (n, p) = (users.len() as f64, f64::from(share) / 100.0);
        let band = 3.29 * (n * p * (1.0 - p)).sqrt() + 0.5;
        assert!((count - n * p).abs() <= band, "{share} %: {count} of {n}");
        assert!(last.iter().zip(&now).all(|(last, now)| now >= last), "a user left the growing canary");
        (last, before) = (now, share);
        if share == 25 {
            edge.kill();
            edge.run();
            assert_eq!(seen(&edge), last, "the route of a killed router");
        }
    }
}

#[test]
fn after_a_rollback_no_request_reaches_the_canary_and_none_fails_under_changes() {
    let Some(edge) = Edge::start() else { return };
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut took, mut all) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let worker = |n: usize| {
            let (stop, edge) = (&stop, &edge);
            move || {
                let mut stream = edge.client();
                let mut seen = Vec::new();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let sent = Instant::now();
                    let (status, body) = get(&mut stream, &format!("sticky-{n}-{}", seen.len() % 50));
                    seen.push((sent, status, body.starts_with("green")));
                    std::thread::sleep(Duration::from_millis(1));
                }
                seen
            }
        };
        let workers: Vec<_> = (0..4).map(|n| scope.spawn(worker(n))).collect();
        let mut answered = Vec::new();
        for _ in 0..ROLLBACKS {
            let (done, mut journal) = applied(&edge.target, &changes(&[50]));
            done.unwrap();
            let grown = Instant::now();
            std::thread::sleep(Duration::from_millis(100));
            let began = Instant::now();
            back(&edge.target, &mut journal).unwrap();
            took.push(began.elapsed());
            answered.push((grown, Instant::now()));
            std::thread::sleep(Duration::from_millis(60));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for worker in workers {
            all.extend(worker.join().unwrap().into_iter().map(|it| (it, answered.clone())));
        }
    });
    let failed = all.iter().filter(|((_, status, _), _)| *status != 200).count();
    assert_eq!(failed, 0, "of {} requests", all.len());
    let on_canary = all.iter().filter(|((_, _, green), _)| *green).count();
    assert!(on_canary > 50, "{on_canary} of {} were on the canary at all", all.len());
    let late = all.iter().filter(|((sent, _, green), answered)| {
        let next = |end: &Instant| answered.iter().map(|(grown, _)| *grown).find(|grown| grown > end);
        // From the answer of a rollback to when the canary may have begun to grow again.
        let out = answered
            .iter()
            .any(|(_, end)| sent > end && next(end).is_none_or(|grown| *sent + Duration::from_millis(50) < grown));
        *green && out
    });
    assert_eq!(late.count(), 0, "requests reached the canary after the answer");
    took.sort();
    let figures = format!(
        "{ROLLBACKS} rollbacks under {} requests, {on_canary} of them on the canary: median {:.1} ms, longest {:.1} ms, 0 \
         requests on it after the answer, {failed} failed\n",
        all.len(),
        took[ROLLBACKS / 2].as_secs_f64() * 1000.0,
        took[ROLLBACKS - 1].as_secs_f64() * 1000.0
    );
    std::io::stderr().write_all(figures.as_bytes()).unwrap();
    // The bar is of what it takes: the slower ones waited for a processor that others had.
    assert!(took[ROLLBACKS / 5] <= Duration::from_millis(50), "with fsync, router told and read back: {took:?}");
}

/// A request that was drawn before the users were taken from its group is waited for, and no longer than was said.
#[test]
fn requests_under_way_are_over_before_what_serves_them_is_changed() {
    let Some(edge) = Edge::start() else { return };
    let router = edge.target.router().unwrap();
    router.set(&shares(100)).unwrap();
    let slow = || {
        let mut stream = edge.client();
        move || get(&mut stream, "slow")
    };
    let mut held = edge.target.hold().unwrap();
    for (most, is_over) in [(Duration::from_millis(50), false), (Duration::from_secs(20), true)] {
        router.set(&shares(100)).unwrap();
        let asked = std::thread::spawn(slow());
        let until = Instant::now() + Duration::from_secs(20);
        while router.under_way(&shares(0)).unwrap() == 0 {
            assert!(Instant::now() < until, "the request never came");
        }
        router.set(&shares(0)).unwrap();
        // The file never gave green any users.
        let left = held.settle(most).unwrap();
        assert_eq!(left.is_none(), is_over, "{left:?}");
        assert_eq!(asked.join().unwrap(), (200, "green green".to_owned()));
    }
    assert_eq!(router.under_way(&shares(100)).unwrap(), 0, "those of groups with users are not counted");
}

#[test]
fn a_dead_group_falls_back_and_nobody_is_sent_where_nothing_is_valid() {
    let Some(edge) = Edge::start() else { return };
    let mut stream = edge.client();
    let router = edge.target.router().unwrap();
    // A share to a group that is not there: no group for anybody.
    router.set(&Shares::from([("amber".to_owned(), 100)])).unwrap();
    assert_eq!(get(&mut stream, "ann"), (503, "No valid stack configuration found".to_owned()));
    router.set(&shares(100)).unwrap();
    let mut stream = edge.client();
    assert_eq!(get(&mut stream, "ann"), (200, "green green".to_owned()));
    router.set(&shares(50)).unwrap();
    let off = |server: &str, state: &str| {
        let mut socket = std::os::unix::net::UnixStream::connect(edge.folder.path().join("haproxy.sock")).unwrap();
        socket.write_all(format!("set server {server} state {state}\n").as_bytes()).unwrap();
        let mut said = String::new();
        socket.read_to_string(&mut said).unwrap();
        assert_eq!(said.trim(), "");
    };
    off("api_green/api-1.5.0-1", "maint");
    let bodies: Vec<_> = (0..20).map(|n| get(&mut stream, &format!("u-{n}"))).collect();
    assert!(bodies.iter().all(|it| *it == (200, "blue blue".to_owned())), "{bodies:?}");
    off("api_blue/api-1.4.2-1", "maint");
    assert_eq!(get(&mut edge.client(), "ann"), (503, "No healthy backend nodes available".to_owned()));
    drop(edge.router);
    let log = fs::read_to_string(edge.folder.path().join("events.ndjson")).unwrap();
    let fell_back = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["payload"]["assigned"] == "green" && event["payload"]["stack_group"] == "blue");
    assert!(fell_back.count() > 3, "{log}");
}

#[test]
fn a_router_that_has_another_map_is_no_router_of_this_one() {
    let Some(edge) = Edge::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let other = HaproxyMap::new(map(folder.path()).map, edge.target.socket.clone());
    let (done, _) = applied(&other, &changes(&[10]));
    let why = std::error::Error::source(&done.unwrap_err()).map(ToString::to_string).unwrap_or_default();
    assert!(why.contains("it has no map"), "{why}");
    assert_eq!(other.shares().unwrap(), shares(0));
}
