//! One run at a time on an Engine: a name that the kernel gives to one process, and takes back when that ends, however it ends.
//!
//! An Engine has no file of its own to lock, so the lock is a socket in the abstract namespace (`unix(7)`), named after the
//! Engine's address. It keeps out runs on this machine (in this network namespace), not those of another machine that reaches
//! the same Engine; for those every step is compared with what is there before it is done.

use crate::{StackError, holder};
use domain::ledger::sha256_hex;
use std::fs;
use std::io;
use std::os::unix::net::UnixListener;

/// Nobody else has it while this lives.
#[derive(Debug)]
pub(super) struct Lock {
    _name: UnixListener,
}

impl Lock {
    pub(super) fn take(address: &str) -> Result<Self, StackError> {
        let name = name(address);
        let failed = |source: io::Error| StackError::Asked {
            doing: format!("lock the Docker Engine {address}"),
            source: Box::new(source),
        };
        match holder::take_name(&name).map_err(failed)? {
            Some(listener) => Ok(Self { _name: listener }),
            None => {
                Err(StackError::Locked { what: format!("the Docker Engine {address}"), by: holder::of_name(&name) })
            }
        }
    }
}

/// The same for every way to write the path of one socket.
fn name(address: &str) -> String {
    let real = address.strip_prefix("unix://").and_then(|path| fs::canonicalize(path).ok());
    let real = real.map_or_else(|| address.to_owned(), |path| format!("unix://{}", path.display()));
    format!("pipeline-engine-{}", &sha256_hex(real.as_bytes())[..32])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_told_who_has_it_and_a_dead_one_blocks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        fs::write(&socket, "").unwrap();
        let address = format!("unix://{}", socket.display());
        let first = Lock::take(&address).unwrap();
        let link = folder.path().join("link.sock");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        let error = Lock::take(&format!("unix://{}", link.display())).unwrap_err();
        assert!(error.is_refusal(), "{error}");
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        let _other = Lock::take("tcp://127.0.0.1:1").unwrap();
        drop(first);
        Lock::take(&address).unwrap();
    }
}
