//! From lines to columns and rejects, in parallel, chunk by chunk.

use crate::columns::Rows;
use crate::error::LakeError;
use crate::formats::{Format, Head};
use crate::reject::Reject;
use crate::source::{Line, Lines, Source};
use domain::Reason;
use domain::event::LINE_LIMIT;
use domain::identity::hash128;
use domain::privacy::Privacy;
use rayon::prelude::*;
use serde_json::Value;

/// Lines handed to one worker at a time.
const CHUNK_LINES: usize = 4_096;

/// Chunks decoded side by side before the next are read: bounds memory.
const CHUNKS: usize = 8;

/// What a chunk of lines gave.
#[derive(Default)]
pub struct Decoded {
    /// The events, as columns.
    pub rows: Rows,
    /// The rest.
    pub rejects: Vec<Reject>,
}

/// Reads one dump to its end, handing over what each chunk gave. Nothing is written anywhere.
pub fn decode(
    source: &Source,
    format: Option<&'static Format>,
    privacy: &Privacy,
    mut take: impl FnMut(Decoded) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    let mut lines = source.open()?;
    let Some(first) = lines.next_line()? else { return Ok(()) };
    let name = lines.name.clone();
    let values = match serde_json::from_slice::<Value>(&first.bytes) {
        Ok(value) => Some(vec![value]),
        // A pretty-printed batch spans lines: taken whole when it is the only thing in the dump.
        Err(error) if error.is_eof() => whole(&first, &mut lines)?,
        Err(_) => None,
    };
    let Some(values) = values else {
        return stream(&name, &mut lines, vec![first], format, privacy, &mut take);
    };
    let format =
        format.unwrap_or_else(|| values.first().map_or(Format::NATIVE, |value| Format::detect(&Head::Json(value))));
    let mut decoded = Decoded::default();
    for value in values {
        decode_value(&name, &first, value, format, privacy, &mut decoded);
    }
    take(decoded)?;
    stream(&name, &mut lines, Vec::new(), Some(format), privacy, &mut take)
}

fn detect(lines: &[Line]) -> Option<&'static Format> {
    lines
        .iter()
        .find_map(|line| serde_json::from_slice::<Value>(&line.bytes).ok())
        .map(|value| Format::detect(&Head::Json(&value)))
}

fn stream(
    name: &str,
    lines: &mut Lines,
    mut pending: Vec<Line>,
    mut format: Option<&'static Format>,
    privacy: &Privacy,
    take: &mut impl FnMut(Decoded) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    loop {
        let mut bytes: usize = pending.iter().map(|line| line.bytes.len()).sum();
        while pending.len() < CHUNK_LINES * CHUNKS && bytes < 4 * LINE_LIMIT {
            let Some(line) = lines.next_line()? else { break };
            bytes += line.bytes.len();
            pending.push(line);
        }
        if pending.is_empty() {
            return Ok(());
        }
        let chosen = *format.get_or_insert_with(|| detect(&pending).unwrap_or(Format::NATIVE));
        let decoded: Vec<Decoded> =
            pending.par_chunks(CHUNK_LINES).map(|chunk| decode_chunk(name, chunk, chosen, privacy)).collect();
        decoded.into_iter().try_for_each(&mut *take)?;
        pending.clear();
    }
}

/// Tries a dump that began with `first` as one JSON value, or an array of them; otherwise its lines are as they were.
fn whole(first: &Line, lines: &mut Lines) -> Result<Option<Vec<Value>>, LakeError> {
    let Some(rest) = lines.rest()? else { return Ok(None) };
    match serde_json::from_slice::<Value>(&[&first.bytes, b"\n".as_slice(), &rest].concat()) {
        Ok(Value::Array(values)) => Ok(Some(values)),
        Ok(value) => Ok(Some(vec![value])),
        Err(_) => {
            lines.give_back(rest);
            Ok(None)
        }
    }
}

fn decode_chunk(name: &str, lines: &[Line], format: &'static Format, privacy: &Privacy) -> Decoded {
    let mut decoded = Decoded::default();
    for line in lines {
        if line.length > LINE_LIMIT as u64 {
            let text = String::from_utf8_lossy(&line.bytes[..domain::privacy::REJECT_TEXT_LIMIT]).into_owned();
            decoded.reject(name, line, Reason::TooLong, &text, line.long_hash.clone(), line.length, privacy);
            continue;
        }
        match serde_json::from_slice::<Value>(&line.bytes) {
            Ok(value) => decode_value(name, line, value, format, privacy, &mut decoded),
            Err(_) => {
                let text = String::from_utf8_lossy(&line.bytes).into_owned();
                let hash = hash128(&line.bytes);
                decoded.reject(name, line, Reason::NotJson, &text, Some(hash), line.length, privacy);
            }
        }
    }
    decoded
}

fn decode_value(
    name: &str,
    line: &Line,
    value: Value,
    format: &'static Format,
    privacy: &Privacy,
    decoded: &mut Decoded,
) {
    let mut taken = Vec::new();
    format.reader().object(value, &mut taken);
    for result in taken {
        match result.and_then(|object| domain::event::normalise(object, privacy)) {
            Ok(event) => decoded.rows.push(&event),
            Err((value, reason)) => {
                let text = value.to_string();
                let length = text.len() as u64;
                decoded.reject(name, line, reason, &text, None, length, privacy);
            }
        }
    }
}

impl Decoded {
    #[allow(clippy::too_many_arguments)] // one place, all of it needed for the row
    fn reject(
        &mut self,
        name: &str,
        line: &Line,
        reason: Reason,
        text: &str,
        hash: Option<String>,
        length: u64,
        privacy: &Privacy,
    ) {
        let hash = hash.unwrap_or_else(|| hash128(text.as_bytes()));
        self.rejects.push(Reject {
            reject_id: hash128(format!("{hash}\n{reason}").as_bytes()),
            source: privacy.scrub_text(name),
            line: line.number as i64,
            text: privacy.scrub_reject(text),
            length: length as i64,
            reason,
            hash,
        });
    }
}
