//! Who holds a lock, for people who are told to wait.

use std::fs;

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
