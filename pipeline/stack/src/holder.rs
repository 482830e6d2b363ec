//! Names that the kernel gives to one process, and who holds a lock, for people who are told to wait.

use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

/// A command that is just being started holds what its parent holds, until it is what it is to be.
const TRIES: usize = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// Takes a name for this process (a socket in the abstract namespace, `unix(7)`), which has it as long as the listener lives;
/// none where another process has it.
pub(crate) fn take_name(name: &str) -> io::Result<Option<UnixListener>> {
    let place = SocketAddr::from_abstract_name(name)?;
    for i in 0..TRIES {
        match UnixListener::bind_addr(&place) {
            Ok(listener) => return Ok(Some(listener)),
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Err(error),
            Err(_) if i + 1 < TRIES => std::thread::sleep(PAUSE),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// The process that has a name, where it may be seen.
pub(crate) fn of_name(name: &str) -> Option<String> {
    let sockets = fs::read_to_string("/proc/net/unix").ok()?;
    let line = sockets.lines().find(|line| line.ends_with(&format!("@{name}")))?;
    let wanted = format!("socket:[{}]", line.split_whitespace().nth(6)?);
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has = |id: &u32| {
        let open = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().filter_map(Result::ok);
        open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|to| to.as_os_str() == wanted.as_str())
    };
    ids.find(has).map(process)
}

/// The process that holds a lock on a file, by what the kernel lists (`proc_locks(5)`); none where it does not say.
pub(crate) fn of_file(device: u64, inode: u64) -> Option<String> {
    let wanted = format!("{:02x}:{:02x}:{inode}", rustix::fs::major(device), rustix::fs::minor(device));
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let held = locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // `1: FLOCK  ADVISORY  WRITE 4711 fd:00:123 0 EOF`; those that wait have an arrow in the second place.
        (fields.get(5) == Some(&wanted.as_str())).then(|| fields.get(4)?.parse::<u32>().ok())?
    })?;
    Some(process(held))
}

/// A process in words.
pub(crate) fn process(id: u32) -> String {
    let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let words: Vec<String> =
        command.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let command = words.join(" ");
    match command.trim() {
        "" => format!("process {id}"),
        command => format!("process {id}: {command}"),
    }
}
