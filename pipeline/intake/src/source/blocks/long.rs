//! Lines, documents and calendars over the limit: read over without being held, hashed whole, and only their beginning kept.

use super::{BLOCK, Blocks, Piece, calendar};
use crate::error::IntakeError;
use domain::json::ends::{End, Ends};
use domain::privacy::REJECT_TEXT_LIMIT;

impl Blocks {
    /// Reads over a calendar that is too long, hashing it.
    pub(super) fn long_calendar(&mut self, start: usize) -> Result<Piece, IntakeError> {
        let (mut hasher, mut length) = (blake3::Hasher::new(), 0);
        self.take(start);
        let line = self.line + 1;
        let head = self.rest()[..REJECT_TEXT_LIMIT].to_vec();
        loop {
            let rest = self.rest();
            let found = calendar::end(rest);
            // Of a part the last line is kept for the next, as it may be the end.
            let whole = memchr::memrchr(b'\n', rest).map(|end| end + 1).filter(|_| !self.ended);
            let end = found.or(whole).unwrap_or(rest.len());
            hasher.update(&rest[..end]);
            length += end as u64;
            self.take(end);
            if found.is_some() || end == 0 {
                self.plain = 0;
                return Ok(Piece::Long { line, head, length, hash: short(&hasher) });
            }
            self.fill(BLOCK)?;
        }
    }

    /// Reads over a document that is too long, hashing it. It begins what is ahead, all of which was fed. Where it
    /// breaks, it ends with its line.
    pub(super) fn long_document(&mut self, mut ends: Ends) -> Result<Piece, IntakeError> {
        let (mut hasher, mut length) = (blake3::Hasher::new(), 0);
        let line = self.line + 1;
        let head = self.rest()[..REJECT_TEXT_LIMIT].to_vec();
        let mut is_broken = false;
        let mut end = self.rest().len();
        loop {
            hasher.update(&self.rest()[..end]);
            length += end as u64;
            self.take(end);
            self.fill(BLOCK)?;
            let rest = self.rest();
            let ended = match ends.feed(if is_broken { &[] } else { rest }) {
                End::At(end) => Some(end),
                End::Broken(from) => {
                    is_broken = true;
                    memchr::memchr(b'\n', &rest[from..]).map(|end| from + end)
                }
                End::Open if is_broken => memchr::memchr(b'\n', rest),
                End::Open => None,
            };
            end = ended.unwrap_or(rest.len());
            if ended.is_some() || end == 0 {
                hasher.update(&self.rest()[..end]);
                length += end as u64;
                self.take_text(end);
                return Ok(Piece::Long { line, head, length, hash: short(&hasher) });
            }
        }
    }

    /// Reads over a line that is too long, hashing it. It begins what was read ahead, which holds no line end.
    pub(super) fn long_line(&mut self) -> Result<Piece, IntakeError> {
        let mut hasher = blake3::Hasher::new();
        let head = self.rest()[..REJECT_TEXT_LIMIT].to_vec();
        let line = self.line + 1;
        let (mut length, mut carriage_return) = (0, false);
        loop {
            let rest = self.rest();
            let end = memchr::memchr(b'\n', rest);
            let part = &rest[..end.unwrap_or(rest.len())];
            // A carriage return counts only when something but the line end follows.
            if carriage_return && !part.is_empty() {
                hasher.update(b"\r");
                length += 1;
                carriage_return = false;
            }
            let kept = part.strip_suffix(b"\r").unwrap_or(part);
            carriage_return |= kept.len() < part.len();
            hasher.update(kept);
            length += kept.len() as u64;
            self.take(end.map_or(rest.len(), |end| end + 1));
            if end.is_some() {
                break;
            }
            self.fill(BLOCK)?;
            if self.rest().is_empty() {
                self.line += 1;
                break;
            }
        }
        self.plain = 0;
        Ok(Piece::Long { line, head, length, hash: short(&hasher) })
    }
}

/// What is kept of a whole text over the limit.
pub(super) fn long(line: u64, bytes: &[u8]) -> Piece {
    let mut hasher = blake3::Hasher::new();
    hasher.update(bytes);
    Piece::Long { line, head: bytes[..REJECT_TEXT_LIMIT].to_vec(), length: bytes.len() as u64, hash: short(&hasher) }
}

fn short(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..32].to_owned()
}
