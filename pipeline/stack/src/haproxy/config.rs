//! The configuration of an HAProxy 2.6 that routes users to version groups.
//!
//! One draw a request for the whole stack, at the edge: the hash of the user, so that who is on a growing canary stays on it,
//! and nobody stays on one that was taken back. What is drawn travels in the header `x-stack-group`, which the inner layers
//! follow. A group is dead where one of its layers has no node: its users go to another group that has users, so that no
//! request sees a mixture. The log is the native `api_call` event of every request.
//!
//! Requests are repeated only where nothing was answered, and only those that may be: a repeated failure would hide what the
//! canary is judged by.

use crate::StackError;
use crate::versions::{Component, Kind, Manifest, RouteSection};
use std::fmt::Write as _;
use std::path::Path;

/// The longest path of a Unix socket (`unix(7)`), less its end.
const SOCKET_PATH: usize = 107;

/// What users read who cannot be served.
const NO_GROUP: &str = "No valid stack configuration found";
const NO_NODE: &str = "No healthy backend nodes available";

/// A layer of the stack behind an address of its own.
struct Layer<'a> {
    name: &'a str,
    bind: &'a str,
}

/// The text for a load balancer of a stack; relative paths of its route are below `folder`.
///
/// Its `config` has `bind`, the address of the edge; `entry`, the application behind it, where it is not the only one that no
/// other requires; and `bind.NAME` for each inner application that is called through the router. Nodes are where the `health`
/// of an application points, or what its `nodes` lists.
///
/// # Errors
/// What is missing, and where it is to be said.
pub fn render(manifest: &Manifest, edge: &Component, folder: &Path) -> Result<String, StackError> {
    let missing = |what: String, hint: &str| StackError::Unclear { what, hint: hint.to_owned() };
    let Some(route) = &manifest.route else {
        return Err(missing("the stack has no [route]".to_owned(), "it names the map of shares: haproxy-map:FILE"));
    };
    let bind = edge.config.get("bind").ok_or_else(|| {
        missing(format!("{} has no address", edge.in_words()), "give it config = { bind = \"127.0.0.1:8080\" }")
    })?;
    let entry = entry(manifest, edge)?;
    let inner = edge.config.iter().filter_map(|(key, bind)| Some(Layer { name: key.strip_prefix("bind.")?, bind }));
    let inner: Vec<Layer> = inner.collect();
    let groups: Vec<Group> = manifest
        .groups
        .iter()
        .filter_map(|section| {
            let members = manifest.members(&section.name)?;
            let of = |name: &str| members.iter().copied().find(|it| it.name == name && it.kind == Kind::Application);
            let layers = std::iter::once(of(entry)?).chain(inner.iter().filter_map(|layer| of(layer.name)));
            Some(Group { name: &section.name, layers: layers.collect() })
        })
        .collect();
    if groups.is_empty() {
        return Err(missing(format!("no group has the application {entry}"), "name it in the members of a [[group]]"));
    }
    let mut out = head(edge, route, folder)?;
    out += &front(bind, entry, &groups, route, folder)?;
    for layer in &inner {
        let with: Vec<&str> = groups.iter().filter(|group| group.has(layer.name)).map(|group| group.name).collect();
        put(&mut out, &format!("\nfrontend {}\n    bind {}", layer.name, layer.bind));
        put(
            &mut out,
            &format!(
                "    {}",
                refuse(NO_GROUP, &format!("unless {{ req.fhdr(x-stack-group) -m str {} }}", with.join(" ")))
            ),
        );
        put(&mut out, &format!("    use_backend {}_%[req.fhdr(x-stack-group)]", layer.name));
    }
    for group in &groups {
        for component in &group.layers {
            out += &backend(group, component)?;
        }
    }
    Ok(out)
}

/// A group and those of its applications that are reached through the router, the entry first.
struct Group<'a> {
    name: &'a str,
    layers: Vec<&'a Component>,
}

impl Group<'_> {
    fn has(&self, layer: &str) -> bool {
        self.layers.iter().any(|it| it.name == layer)
    }
}

fn put(out: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}

fn refuse(text: &str, when: &str) -> String {
    format!("http-request return status 503 content-type text/plain string \"{text}\" {when}")
}

/// The application that users call.
fn entry<'a>(manifest: &'a Manifest, edge: &'a Component) -> Result<&'a str, StackError> {
    if let Some(entry) = edge.config.get("entry") {
        return Ok(entry);
    }
    let applications = || manifest.components.iter().filter(|it| it.kind == Kind::Application);
    let is_required = |name: &str| applications().any(|it| it.requires.contains_key(name));
    let mut names: Vec<&str> = applications().map(|it| it.name.as_str()).filter(|name| !is_required(name)).collect();
    names.dedup();
    match names[..] {
        [entry] => Ok(entry),
        _ => Err(StackError::Unclear {
            what: format!("which application {} leads to is not said", edge.in_words()),
            hint: format!(
                "give it config = {{ entry = \"NAME\" }}; those that no other requires: {}",
                names.join(", ")
            ),
        }),
    }
}

fn head(edge: &Component, route: &RouteSection, folder: &Path) -> Result<String, StackError> {
    let mut out = format!("# {}, rendered from stack.toml: changes belong there.\n", edge.in_words());
    put(&mut out, "global\n    maxconn 4000\n    hard-stop-after 30s");
    if let Some(socket) = &route.socket {
        let path = plain(&folder.join(socket))?;
        if path.len() > SOCKET_PATH {
            return Err(StackError::Unclear {
                what: format!("{path} is longer than a socket's path may be, {SOCKET_PATH} bytes"),
                hint: "name a shorter one in `socket` of [route], such as /run/haproxy/admin.sock".to_owned(),
            });
        }
        put(&mut out, &format!("    stats socket {path} mode 600 level admin expose-fd listeners"));
    }
    put(
        &mut out,
        "\ndefaults
    mode http
    timeout connect 1s
    timeout http-request 10s
    timeout client 30s
    timeout server 30s
    option redispatch
    option idle-close-on-response
    option dontlognull
    retries 3
    retry-on conn-failure empty-response
    default-server check inter 500ms fall 2 rise 2",
    );
    put(&mut out, &format!("    http-error status 503 content-type text/plain string \"{NO_NODE}\""));
    Ok(out)
}

fn front(bind: &str, entry: &str, groups: &[Group], route: &RouteSection, folder: &Path) -> Result<String, StackError> {
    let map = route.target.split_once(':').map_or(route.target.as_str(), |(_, map)| map);
    let map = plain(&folder.join(map))?;
    let unit = &route.unit;
    let mut out = format!("\nfrontend edge\n    bind {bind}\n    log stdout len 8192 format raw local0 info\n");
    let mut rule = |line: &str| put(&mut out, &format!("    {line}"));
    rule("unique-id-format %[uuid()]");
    rule("unique-id-header x-request-id");
    // Microseconds with all their zeros: 1000005 without its first digit, as a text.
    rule("http-request set-var(txn.second) date,utime(%Y-%m-%dT%H:%M:%S)");
    rule("http-request set-var(txn.micros) date_us,add(1000000),regsub(^1,)");
    rule("http-request set-var(txn.path) path,bytes(0,256)");
    rule(&format!("http-request set-var(txn.user) req.fhdr({unit}),bytes(0,256)"));
    rule("http-request disable-l7-retry unless METH_GET || { method HEAD OPTIONS }");
    rule("http-request del-header x-stack-group");
    rule(&format!(
        "http-request set-var(txn.left) req.fhdr({unit}),xxh32(7),mod(100) if {{ req.fhdr({unit}) -m found }}"
    ));
    rule(&format!("http-request set-var(txn.left) rand(100) unless {{ req.fhdr({unit}) -m found }}"));
    for (n, group) in groups.iter().enumerate() {
        let name = group.name;
        rule(&format!("http-request set-var(txn.share{n}) str({name}),map_str_int({map},0)"));
        rule(&format!(
            "http-request set-var(txn.assigned) str({name}) if !{{ var(txn.assigned) -m found }} {{ var(txn.left),sub(txn.share{n}) -m int lt 0 }}"
        ));
        rule(&format!("http-request set-var(txn.left) var(txn.left),sub(txn.share{n})"));
    }
    rule(&refuse(NO_GROUP, "unless { var(txn.assigned) -m found }"));
    for (n, group) in groups.iter().enumerate() {
        for layer in &group.layers {
            rule(&format!("acl dead{n} nbsrv({}_{}) lt 1", layer.name, group.name));
        }
        let name = group.name;
        rule(&format!("http-request set-var(txn.group) str({name}) if {{ var(txn.assigned) -m str {name} }} !dead{n}"));
    }
    for (n, group) in groups.iter().enumerate() {
        let name = group.name;
        rule(&format!(
            "http-request set-var(txn.group) str({name}) if !{{ var(txn.group) -m found }} {{ var(txn.share{n}) -m int gt 0 }} !dead{n}"
        ));
    }
    rule(&refuse(NO_NODE, "unless { var(txn.group) -m found }"));
    rule("http-request set-header x-stack-group %[var(txn.group)]");
    rule(&format!("log-format '{}'", event(entry)));
    rule(&format!("use_backend {entry}_%[var(txn.group)]"));
    Ok(out)
}

/// A request as an `api_call` event. `assigned` is what was drawn, `stack_group` who answered.
fn event(entry: &str) -> String {
    format!(
        r#"{{"ts":"%[var(txn.second)].%[var(txn.micros)]Z","type":"api_call","payload":{{"service":"{entry}","method":"%HM","endpoint":"%[var(txn.path),json(utf8s)]","status":%ST,"duration_ms":%Ta,"stack_group":"%[var(txn.group)]","assigned":"%[var(txn.assigned)]","user":"%[var(txn.user),json(utf8s)]","retries":"%rc","termination":"%ts","request_id":"%ID"}}}}"#
    )
}

fn backend(group: &Group, component: &Component) -> Result<String, StackError> {
    let unreachable = |what: &str| StackError::Unclear {
        what: format!("{} {what}", component.in_words()),
        hint: "give it health = \"http://HOST:PORT/PATH\": its node is there".to_owned(),
    };
    let health = component.health.as_deref().ok_or_else(|| unreachable("has no address"))?;
    let rest = health.strip_prefix("http://").ok_or_else(|| unreachable("is not reached by http"))?;
    let (node, path) = rest.split_once('/').unwrap_or((rest, ""));
    let node = if node.contains(':') { node.to_owned() } else { format!("{node}:80") };
    let nodes = component.config.get("nodes").map_or(node, Clone::clone);
    let mut out = format!("\nbackend {}_{}\n    option httpchk GET /{path}\n", component.name, group.name);
    for (n, node) in nodes.split_whitespace().enumerate() {
        put(&mut out, &format!("    server {}-{}-{} {node}", component.name, component.version, n + 1));
    }
    Ok(out)
}

/// A path as it may stand in a configuration.
fn plain(path: &Path) -> Result<String, StackError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = path.to_string_lossy().into_owned();
    if text.contains(|c: char| c.is_whitespace() || "\"'\\,()#%$".contains(c)) {
        return Err(StackError::Unclear {
            what: format!("the path {text:?} cannot stand in a configuration of HAProxy"),
            hint: "move the stack to a folder without spaces, quotes and brackets in its name".to_owned(),
        });
    }
    Ok(text)
}
