//! A promotion of a group and its rollback under traffic, on a real HAProxy, killed at every step: nobody meets a mixed group.
//!
//! Two services of two groups run behind the router that is rendered of the stack. Each answers with the slot that it is in and
//! the version that its Compose file declares at that moment, as if Compose followed at once; the entry calls the inner service
//! through the router. An answer is of one group where both layers are of one slot, in the versions of that group.

use crate::program::{Place, say};
use crate::versions::{kept, killed_everywhere, restore};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

const NOW: &str = "2026-11-01T00:00:00Z";

/// The versions of each group: entry and inner service.
const BLUE: &str = "blue 1.4.1, blue 8.0.0";
const GREEN: &str = "green 1.5.0, green 8.1.0";

/// What the slot of green holds before green is deployed, and after it was taken back.
const FORMER: [&str; 2] = ["1.3.0", "7.9.0"];

/// One request on a connection of its own: its status and its body; none where nothing was answered.
fn get(port: u16, header: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n\r\n").as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// The version of the image in a Compose file.
fn version(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let image = text.lines().find_map(|line| line.trim().strip_prefix("image: "));
    image.and_then(|image| image.trim_matches('\'').rsplit(':').next()).unwrap_or("nothing").to_owned()
}

/// A service in a slot, and the port that it answers on. `inner` is the router's port of the service that it calls.
fn service(slot: &'static str, file: PathBuf, inner: Option<u16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let file = file.clone();
            std::thread::spawn(move || answer(stream, slot, &file, inner));
        }
    });
    port
}

fn answer(mut stream: TcpStream, slot: &str, file: &Path, inner: Option<u16>) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let group = head.lines().find_map(|line| line.strip_prefix("x-stack-group: ")).unwrap_or("none").to_owned();
    let mut body = format!("{slot} {}", version(file));
    // The router asks for /healthz without a group: that says nothing of other services.
    if let Some(inner) = inner.filter(|_| !head.starts_with("get /healthz")) {
        let behind = get(inner, &format!("x-stack-group: {group}"));
        body += &behind.map_or_else(|| ", nothing".to_owned(), |(_, body)| format!(", {body}"));
    }
    let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).ok()
}

/// A port that was free a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn compose(service: &str, version: &str) -> String {
    format!("name: shop\nservices:\n  {service}:\n    image: acme/{service}:{version}\n")
}

fn stack(socket: &Path, edge: u16, inner: u16, nodes: [u16; 4]) -> String {
    let [blue_api, blue_orders, green_api, green_orders] = nodes;
    let mut text = String::new();
    for (name, version, slot, node, requires) in [
        ("api", "1.4.1", "blue", blue_api, "requires = { orders = \"8.0.0\" }\n"),
        ("orders", "8.0.0", "blue", blue_orders, ""),
        ("api", "1.5.0", "green", green_api, "requires = { orders = \"8.1.0\" }\n"),
        ("orders", "8.1.0", "green", green_orders, ""),
    ] {
        text += &format!(
            "[[component]]\nname = \"{name}\"\nkind = \"application\"\nversion = \"{version}\"\n{requires}\
             health = \"http://127.0.0.1:{node}/healthz\"\ntarget = \"compose:{slot}-{name}.yaml#{name}\"\n"
        );
    }
    text + &format!(
        "[[component]]\nname = \"edge\"\nkind = \"load_balancer\"\nversion = \"3.0.0\"\n\
         config = {{ bind = \"127.0.0.1:{edge}\", entry = \"api\", \"bind.orders\" = \"127.0.0.1:{inner}\" }}\n\
         [[group]]\nname = \"blue\"\nmembers = {{ api = \"1.4.1\", orders = \"8.0.0\" }}\n\
         [[group]]\nname = \"green\"\nmembers = {{ api = \"1.5.0\", orders = \"8.1.0\" }}\n\
         [route]\ntarget = \"haproxy-map:routes.map\"\nsocket = \"{}\"\nsteps = [1, 100]\nunit = \"x-user\"\n",
        socket.display()
    )
}

/// A router that ends with the test.
struct Router {
    process: Child,
    socket: PathBuf,
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Router {
    /// Has it route all users to one group, as the file says that was put back.
    fn reset(&self, group: &str) {
        let other = if group == "blue" { "green" } else { "blue" };
        let ask = |commands: &str| {
            let mut socket = UnixStream::connect(&self.socket).unwrap();
            socket.write_all(format!("{commands}\n").as_bytes()).unwrap();
            let mut said = String::new();
            socket.read_to_string(&mut said).unwrap();
            said
        };
        let maps = ask("show map");
        let map = maps.lines().find(|line| line.contains("routes.map")).unwrap().split(' ').next().unwrap().to_owned();
        let said = ask(&format!("set map #{map} {group} 100; set map #{map} {other} 0"));
        assert_eq!(said.trim(), "");
    }
}

/// Users who ask all the time, but for when the stage is set anew.
#[derive(Default)]
struct Traffic {
    stage: RwLock<()>,
    ends: AtomicBool,
    answered: AtomicUsize,
    green: AtomicUsize,
    failed: AtomicUsize,
    mixed: RwLock<Vec<String>>,
}

impl Traffic {
    fn user(&self, edge: u16, name: usize) {
        let mut n = 0;
        while !self.ends.load(Ordering::Relaxed) {
            n += 1;
            {
                let _acting = self.stage.read().unwrap();
                match get(edge, &format!("x-user: {name}-{n}")) {
                    Some((200, body)) => {
                        self.answered.fetch_add(1, Ordering::Relaxed);
                        self.green.fetch_add(usize::from(body == GREEN), Ordering::Relaxed);
                        if body != BLUE && body != GREEN {
                            self.mixed.write().unwrap().push(body);
                        }
                    }
                    _ => {
                        self.failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn figures(&self) -> [usize; 4] {
        let mixed = self.mixed.read().unwrap().len();
        [&self.answered, &self.green, &self.failed]
            .map(|it| it.load(Ordering::Relaxed))
            .into_iter()
            .chain([mixed])
            .collect::<Vec<_>>()
            .try_into()
            .unwrap()
    }
}

fn stands(place: &Place) -> Vec<String> {
    ["blue-api.yaml", "blue-orders.yaml", "green-api.yaml", "green-orders.yaml", "routes.map"]
        .map(|file| place.read(file))
        .to_vec()
}

#[test]
fn a_group_is_promoted_and_rolled_back_under_traffic_killed_at_every_step_and_nobody_meets_a_mixture() {
    if Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_err() {
        say("NOT TESTED: no haproxy; apt-get install -y --no-install-recommends haproxy");
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let socket = outside.path().join("s");
    let place = Place::new();
    let (edge, inner) = (port(), port());
    let file = |name: &str| place.path(name);
    let nodes = [
        service("blue", file("blue-api.yaml"), Some(inner)),
        service("blue", file("blue-orders.yaml"), None),
        service("green", file("green-api.yaml"), Some(inner)),
        service("green", file("green-orders.yaml"), None),
    ];
    place.write("stack.toml", stack(&socket, edge, inner, nodes));
    for (name, service, version) in [
        ("blue-api.yaml", "api", "1.4.1"),
        ("blue-orders.yaml", "orders", "8.0.0"),
        ("green-api.yaml", "api", FORMER[0]),
        ("green-orders.yaml", "orders", FORMER[1]),
    ] {
        place.write(name, compose(service, version));
    }
    place.write("routes.map", "blue 100\ngreen 0\n");
    let event = r#"{"ts":"2026-10-01T00:00:00Z","type":"annotation","payload":{"note":"n"}}"#;
    place.ingest(&[&place.write("first.ndjson", event)]);
    let rendered = place.run(&["stack", "render", "edge", "-o", outside.path().join("h.cfg").to_str().unwrap()]);
    assert_eq!(rendered.code, 0, "{}", rendered.err);
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(outside.path().join("h.cfg")).stdout(Stdio::null()).stderr(Stdio::null());
    let router = Router { process: command.spawn().unwrap(), socket };
    let until = Instant::now() + Duration::from_secs(30);
    while get(edge, "x-user: first").is_none_or(|(status, body)| (status, body.as_str()) != (200, BLUE)) {
        assert!(Instant::now() < until, "the router does not answer: {:?}", get(edge, "x-user: first"));
        std::thread::sleep(Duration::from_millis(50));
    }

    let made = place.run(&["--now", NOW, "stack", "promote", "green", "-o", "plan.json"]);
    assert_eq!(made.code, 0, "{}", made.err);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let blue = stands(&place);
    let approved = kept(&place);
    let traffic = Arc::new(Traffic::default());
    let users: Vec<_> = (0..3)
        .map(|name| {
            let traffic = Arc::clone(&traffic);
            std::thread::spawn(move || traffic.user(edge, name))
        })
        .collect();
    place.json(&["--now", NOW, "apply", "plan.json"]);
    let green = stands(&place);
    assert_eq!(green[4], "blue 0\ngreen 100\n");
    let applied = kept(&place);
    let anew = |folder: &tempfile::TempDir, group: &str| {
        let _stage = traffic.stage.write().unwrap();
        restore(&place, folder);
        router.reset(group);
    };
    anew(&approved, "blue");
    let forward =
        killed_everywhere(&place, "apply", &|_| anew(&approved, "blue"), &|| stands(&place), &green, &|_| true);
    anew(&applied, "green");
    let backward =
        killed_everywhere(&place, "rollback", &|_| anew(&applied, "green"), &|| stands(&place), &blue, &|_| true);
    let [answered, on_green, failed, mixed] = traffic.figures();
    say(&format!(
        "promotion killed at {forward} steps, rollback at {backward}: {answered} requests, {on_green} on green, {failed} \
         not answered, {mixed} met a mixed group"
    ));
    let seen = traffic.mixed.read().unwrap().clone();
    assert_eq!(mixed, 0, "{seen:?}");
    assert!(forward > 20 && backward > 20 && answered > 1000 && on_green > 100 && answered - on_green > 100);
    assert!(failed * 1000 <= answered, "{failed} of {answered} requests were not answered");

    // And they would see one: a member of green that is changed while green has the users.
    anew(&applied, "green");
    place.write("green-orders.yaml", compose("orders", FORMER[1]));
    std::thread::sleep(Duration::from_millis(300));
    traffic.ends.store(true, Ordering::Relaxed);
    users.into_iter().for_each(|user| user.join().unwrap());
    assert!(traffic.figures()[3] > 0, "the users see no mixture where there is one");
}
