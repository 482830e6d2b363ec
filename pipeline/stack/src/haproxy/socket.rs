//! The runtime socket of an HAProxy: what it has of a map in its memory, and how that is exchanged without a moment between.
//!
//! The management guide, section 9.3: one line of commands, then the answers, then the end. A map of several keys is exchanged
//! by `prepare map`, `add map @VERSION` and `commit map`: no request sees half of it.

use domain::task::{Shares, shares_in_words as in_words};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// An answer takes well below a millisecond.
const MOST: Duration = Duration::from_secs(2);
/// A map of shares is short.
const MOST_BYTES: u64 = 1 << 20;

/// Why a router could not be told.
#[derive(Debug)]
pub(super) enum Deaf {
    /// Nobody listens: it reads the file when it starts.
    Dead(String),
    /// It answers, and does not do it.
    Refuses(String),
}

/// The socket of one router, and the map file that is asked about.
#[derive(Clone, Debug)]
pub(super) struct Router {
    socket: PathBuf,
    map: PathBuf,
}

impl Router {
    pub(super) fn new(socket: PathBuf, map: PathBuf) -> Self {
        Self { socket, map }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// The shares that it routes by.
    pub(super) fn shares(&self) -> Result<Shares, Deaf> {
        let id = self.id()?;
        self.shares_of(&id)
    }

    /// Has it route by these shares from now on, and reads them back.
    pub(super) fn set(&self, shares: &Shares) -> Result<(), Deaf> {
        let id = self.id()?;
        let prepared = self.ask(&format!("prepare map {id}"))?;
        let version = prepared.rsplit(' ').next().and_then(|last| last.parse::<u32>().ok());
        let version = version.ok_or_else(|| Deaf::Refuses(prepared.clone()))?;
        let adds: String =
            shares.iter().map(|(group, share)| format!("add map @{version} {id} {group} {share}; ")).collect();
        let said = self.ask(&format!("{adds}commit map @{version} {id}"))?;
        if !said.is_empty() {
            return Err(Deaf::Refuses(said));
        }
        let found = self.shares_of(&id)?;
        if found != *shares {
            return Err(Deaf::Refuses(format!("it was told {}, and has {}", in_words(shares), in_words(&found))));
        }
        Ok(())
    }

    /// Requests that groups without users are still answering: what their backends, `LAYER_GROUP`, serve now.
    pub(super) fn under_way(&self, shares: &Shares) -> Result<usize, Deaf> {
        let said = self.ask("show stat -1 2 -1")?;
        // Of groups of which one is called as the end of another, it is the longest that a backend belongs to.
        let share = |backend: &str| {
            let groups = shares.iter().filter(|(group, _)| {
                backend.strip_suffix(group.as_str()).is_some_and(|layer| layer.len() > 1 && layer.ends_with('_'))
            });
            groups.max_by_key(|(group, _)| group.len()).map(|(_, share)| *share)
        };
        // `pxname,svname,qcur,qmax,scur,…`
        let serving = said.lines().filter_map(|line| {
            let mut fields = line.split(',');
            let backend = fields.next()?;
            let now: usize = fields.nth(3)?.parse().ok()?;
            (share(backend) == Some(0)).then_some(now)
        });
        Ok(serving.sum())
    }

    fn shares_of(&self, id: &str) -> Result<Shares, Deaf> {
        let said = self.ask(&format!("show map {id}"))?;
        let entries = said.lines().filter(|line| !line.trim().is_empty()).map(|line| {
            // `0x55d0c8 blue 100`
            let mut words = line.split_whitespace().skip(1);
            let (group, share) = (words.next(), words.next().and_then(|share| share.parse().ok()));
            group.map(str::to_owned).zip(share).ok_or_else(|| Deaf::Refuses(format!("its map has the line {line:?}")))
        });
        entries.collect()
    }

    /// How it calls the map: `#0`. It may name the file by another way to it than we do.
    fn id(&self) -> Result<String, Deaf> {
        let said = self.ask("show map")?;
        let ours = std::fs::canonicalize(&self.map).ok();
        // `0 (/srv/routes.map) pattern loaded from file '/srv/routes.map' used by map at file …`
        let named = said.lines().filter_map(|line| {
            let (id, rest) = line.split_once(' ')?;
            id.parse::<u32>().ok()?;
            Some((id, Path::new(rest.strip_prefix('(')?.split_once(')')?.0)))
        });
        let all: Vec<(&str, &Path)> = named.collect();
        let same = |file: &Path| file.is_absolute() && std::fs::canonicalize(file).ok() == ours;
        // A relative path is one of the folder that it was started in, which only it knows.
        let alike = |file: &Path| file.is_relative() && file.file_name() == self.map.file_name();
        let found = all.iter().find(|(_, file)| same(file)).or_else(|| all.iter().find(|(_, file)| alike(file)));
        found.map(|(id, _)| format!("#{id}")).ok_or_else(|| {
            Deaf::Refuses(format!("it has no map {}: its configuration routes by something else", self.map.display()))
        })
    }

    /// One line of commands, and all that it answers.
    fn ask(&self, commands: &str) -> Result<String, Deaf> {
        let failed = |error: io::Error| match error.kind() {
            // An end in the middle is one of the process.
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Deaf::Dead(error.to_string())
            }
            _ => Deaf::Refuses(error.to_string()),
        };
        let mut stream = UnixStream::connect(&self.socket).map_err(failed)?;
        stream.set_read_timeout(Some(MOST)).and_then(|()| stream.set_write_timeout(Some(MOST))).map_err(failed)?;
        stream.write_all(format!("{commands}\n").as_bytes()).map_err(failed)?;
        let mut said = String::new();
        stream.take(MOST_BYTES).read_to_string(&mut said).map_err(failed)?;
        Ok(said.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n").trim().to_owned())
    }
}
