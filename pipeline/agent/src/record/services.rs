//! What a command talked to: the TCP connections that its processes hold, each seen while it was open.
//!
//! Read from `/proc/<pid>/fd` and `/proc/<pid>/net/tcp{,6}` (proc_pid_net(5)), so without any right that the command's
//! owner has not. A connection that opens and closes between two looks is not seen, nor is one over UDP or a Unix socket.
//! Connections that others made to the command, and those it made to itself, are no services.

use crate::kernel;
use domain::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Services that are known by where they listen. Others are named by their port.
const NAMES: &[(u16, &str)] = &[
    (22, "ssh"),
    (25, "smtp"),
    (53, "dns"),
    (80, "http"),
    (389, "ldap"),
    (443, "https"),
    (1433, "mssql"),
    (1521, "oracle"),
    (2375, "docker"),
    (2376, "docker"),
    (2379, "etcd"),
    (3306, "mysql"),
    (4222, "nats"),
    (4317, "otlp"),
    (4318, "otlp"),
    (5432, "postgresql"),
    (5672, "amqp"),
    (6379, "redis"),
    (6443, "kubernetes"),
    (8086, "influxdb"),
    (9000, "s3"),
    (9042, "cassandra"),
    (9092, "kafka"),
    (9200, "elasticsearch"),
    (11211, "memcached"),
    (27017, "mongodb"),
];

/// What was seen so far.
pub(crate) struct Services {
    proc: PathBuf,
    sockets: HashSet<u64>,
    /// Local ports that the command itself listens on.
    own_ports: HashSet<u16>,
    connections: HashMap<(SocketAddr, SocketAddr), (Timestamp, Timestamp)>,
}

/// One place that was connected to.
#[derive(Debug, PartialEq)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) endpoint: String,
    pub(crate) connections: usize,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

impl Services {
    pub(crate) fn new(proc: PathBuf) -> Self {
        Self { proc, sockets: HashSet::new(), own_ports: HashSet::new(), connections: HashMap::new() }
    }

    pub(crate) fn look(&mut self, pids: &[i32], now: Timestamp) {
        let mut namespace: HashMap<PathBuf, i32> = HashMap::new();
        self.sockets.clear();
        for pid in pids {
            let folder = self.proc.join(pid.to_string());
            let before = self.sockets.len();
            sockets(&folder.join("fd"), &mut self.sockets);
            if self.sockets.len() > before {
                // A test may start a process with a network of its own.
                namespace.entry(fs::read_link(folder.join("ns/net")).unwrap_or_default()).or_insert(*pid);
            }
        }
        for pid in namespace.values() {
            for file in ["tcp", "tcp6"] {
                let path = self.proc.join(pid.to_string()).join("net").join(file);
                for line in kernel::text(&path).unwrap_or_default().lines().skip(1) {
                    self.line(line, now);
                }
            }
        }
    }

    fn line(&mut self, line: &str, now: Timestamp) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(local), Some(remote), Some(state)) = (fields.get(1), fields.get(2), fields.get(3)) else { return };
        if !fields.get(9).and_then(|inode| inode.parse().ok()).is_some_and(|inode| self.sockets.contains(&inode)) {
            return;
        }
        let (Some(local), Some(remote)) = (address(local), address(remote)) else { return };
        // include/net/tcp_states.h
        match *state {
            "0A" => {
                self.own_ports.insert(local.port());
            }
            "01" | "02" | "04" | "05" | "08" if remote.port() != 0 => {
                self.connections.entry((local, remote)).or_insert((now, now)).1 = now;
            }
            _ => {}
        }
    }

    /// One for each place, the first that was connected to first.
    pub(crate) fn found(&self) -> Vec<Service> {
        let mut places: BTreeMap<SocketAddr, Service> = BTreeMap::new();
        for ((local, remote), (first, last)) in &self.connections {
            let to_itself =
                self.own_ports.contains(&remote.port()) && (remote.ip().is_loopback() || remote.ip() == local.ip());
            if to_itself || self.own_ports.contains(&local.port()) {
                continue;
            }
            let service = places.entry(*remote).or_insert_with(|| Service {
                name: name(remote.port()),
                endpoint: remote.to_string(),
                connections: 0,
                first: *first,
                last: *last,
            });
            service.connections += 1;
            service.first = service.first.min(*first);
            service.last = service.last.max(*last);
        }
        let mut found: Vec<Service> = places.into_values().collect();
        found.sort_by(|a, b| (a.first, &a.endpoint).cmp(&(b.first, &b.endpoint)));
        found
    }
}

fn sockets(folder: &Path, found: &mut HashSet<u64>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let inode: Option<u64> =
            target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        found.extend(inode);
    }
}

fn name(port: u16) -> String {
    NAMES.iter().find(|(known, _)| *known == port).map_or_else(|| format!("tcp/{port}"), |(_, name)| (*name).to_owned())
}

/// `0100007F:1F90`: each 32 bits of the address are a number in the machine's own order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words: Option<Vec<u32>> =
        ip.as_bytes().chunks(8).map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()).collect();
    let bytes: Vec<u8> = words?.into_iter().flat_map(u32::to_ne_bytes).collect();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)).to_canonical(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn addresses_are_read_in_both_versions() {
        assert_eq!(address("0100007F:1F90").unwrap().to_string(), "127.0.0.1:8080");
        assert_eq!(address("00000000000000000000000001000000:0050").unwrap().to_string(), "[::1]:80");
        assert_eq!(address("0000000000000000FFFF00000100007F:0050").unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(address("nonsense"), None);
    }

    #[test]
    fn a_connection_to_a_foreign_listener_is_a_service_and_one_to_itself_is_not() {
        let here = PathBuf::from("/proc");
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        let _to_itself = TcpStream::connect(own.local_addr().unwrap()).unwrap();
        let mut services = Services::new(here);
        let me = std::process::id() as i32;
        services.look(&[me], Timestamp(1));
        assert_eq!(services.found(), []);
        // The same connection, where the listener is somebody else's.
        services.own_ports.clear();
        let connections = services.found();
        assert!(connections.iter().any(|s| s.endpoint == own.local_addr().unwrap().to_string()), "{connections:?}");
    }
}
