//! Where a result goes: standard output, memory, or a file that is there whole or not at all.

use crate::context::{Context, emit_bytes, reader_gone};
use crate::failure::{Exit, Failure};
use lake::visible;
use std::fs;
use std::io::{BufWriter, Error, ErrorKind, IsTerminal, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A place for a result.
pub enum Sink {
    /// Standard output.
    Stdout(BufWriter<Stdout>),
    /// For a pager, or to be counted.
    Memory(Vec<u8>),
    /// A draft that takes its file's place at the end.
    Draft(BufWriter<NamedTempFile>, PathBuf),
    /// A device or a pipe: written as it is.
    Device(BufWriter<fs::File>, PathBuf),
}

/// Standard output. Data cannot command a terminal: its control characters are written out.
pub struct Stdout {
    guarded: bool,
}

impl Sink {
    /// Standard output; `text` says that what comes is for reading and may hold anything.
    pub fn stdout(text: bool) -> Self {
        let guarded = text && std::io::stdout().is_terminal();
        Self::Stdout(BufWriter::with_capacity(1 << 16, Stdout { guarded }))
    }

    /// A file. A folder is refused, and so is what lies inside the lake.
    pub fn file(context: &Context, path: &Path) -> Result<Self, Failure> {
        let refused = |why: &str| Failure::new(Exit::Usage, format!("cannot write {}: {why}", path.display()));
        let found = fs::metadata(path);
        if let Ok(found) = &found {
            let kind = found.file_type();
            if kind.is_dir() {
                return Err(refused("it is a folder").hint("name a file"));
            }
            if kind.is_char_device() || kind.is_block_device() || kind.is_fifo() || kind.is_socket() {
                let device = fs::OpenOptions::new().write(true).open(path);
                let device = device.map_err(|error| Failure::file("write", path, &error))?;
                return Ok(Self::Device(BufWriter::new(device), path.to_owned()));
            }
        }
        // What a link points to is replaced, not the link.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        if !folder.is_dir() {
            return Err(refused(&format!("there is no folder {}", folder.display())));
        }
        outside_the_lake(context, &folder)?;
        Self::draft(&folder, target, found.map_or(0o666, |found| found.permissions().mode() & 0o777))
    }

    /// A file of a folder that a person named. Whatever has its name there is replaced: a link is not followed.
    pub fn within(folder: &Path, name: &str) -> Result<Self, Failure> {
        Self::draft(folder, folder.join(name), 0o666)
    }

    /// The draft has a name that nobody knows beforehand, and is made by its maker or not at all.
    fn draft(folder: &Path, target: PathBuf, mode: u32) -> Result<Self, Failure> {
        let Some(name) = target.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return Err(Failure::new(Exit::Usage, format!("cannot write {}: it has no name", target.display())));
        };
        let draft = tempfile::Builder::new()
            .prefix(&format!(".{name}."))
            .suffix(".draft")
            .permissions(fs::Permissions::from_mode(mode))
            .tempfile_in(folder)
            .map_err(|error| Failure::file("write", &target, &error))?;
        Ok(Self::Draft(BufWriter::with_capacity(1 << 16, draft), target))
    }

    /// Puts everything in its place.
    pub fn finish(self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Memory(bytes) => return Ok(bytes),
            Self::Stdout(mut out) => {
                // A reader that has gone away is no error; a full disk is told at the end.
                let _ = out.flush();
            }
            Self::Draft(out, path) => {
                let failed = |error: Error| Failure::file("write", &path, &error);
                let draft = out.into_inner().map_err(|error| failed(error.into_error()))?;
                draft.as_file().sync_all().map_err(failed)?;
                draft.persist(&path).map_err(|error| failed(error.error))?;
            }
            Self::Device(mut out, path) => out.flush().map_err(|error| Failure::file("write", &path, &error))?,
        }
        Ok(Vec::new())
    }
}

/// That a folder is none of the lake: results are no part of it.
pub fn outside_the_lake(context: &Context, folder: &Path) -> Result<(), Failure> {
    let lake = lake::local_folder(&context.global.lake).and_then(|lake| fs::canonicalize(lake).ok());
    match (lake, fs::canonicalize(folder)) {
        (Some(lake), Ok(folder)) if folder.starts_with(&lake) => {
            let what = format!("cannot write to {}: it lies inside the lake", folder.display());
            Err(Failure::new(Exit::Usage, what).hint("name a place outside; results change no lake"))
        }
        _ => Ok(()),
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::Memory(out) => out.write(bytes),
            Self::Draft(out, _) => out.write(bytes),
            Self::Device(out, _) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::Memory(_) => Ok(()),
            Self::Draft(out, _) => out.flush(),
            Self::Device(out, _) => out.flush(),
        }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = if self.guarded {
            // A character cut in two waits for its other half, unless nothing else is there.
            let whole = match std::str::from_utf8(bytes) {
                Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
                _ => bytes.len(),
            };
            let text = String::from_utf8_lossy(&bytes[..whole]);
            let lines: Vec<_> = text.split('\n').map(visible).collect();
            emit_bytes(lines.join("\n").as_bytes());
            whole
        } else {
            emit_bytes(bytes);
            bytes.len()
        };
        if reader_gone() { Err(Error::from(ErrorKind::BrokenPipe)) } else { Ok(taken) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
