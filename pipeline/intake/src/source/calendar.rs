//! Where a calendar (RFC 5545) begins and ends in a dump, and its lines unfolded: a line may be cut inside a letter, so this is
//! done before anybody looks at letters.

const BEGIN: &[u8] = b"BEGIN:VCALENDAR";
const END: &[u8] = b"END:VCALENDAR";

/// Whether a calendar begins with this line.
pub(super) fn begins(bytes: &[u8]) -> bool {
    is(&bytes[..bytes.len().min(BEGIN.len() + 8)], BEGIN)
}

/// Whether a line is this, in any case, with blanks behind it.
fn is(bytes: &[u8], line: &[u8]) -> bool {
    let Some((head, behind)) = bytes.split_at_checked(line.len()) else { return false };
    head.eq_ignore_ascii_case(line)
        && matches!(behind.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r')), None | Some(b'\n'))
}

/// After how many bytes the calendar ends that goes on here, at the beginning of a line; none where its last line is not
/// there.
pub(super) fn end(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    while start < bytes.len() {
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at + 1);
        if is(&bytes[start..end], END) {
            return Some(end);
        }
        start = end;
    }
    None
}

/// A calendar without the breaks inside its lines: a line that begins with a blank goes on the one before.
pub(crate) fn unfolded(bytes: &[u8]) -> Vec<u8> {
    let mut whole: Vec<u8> = Vec::with_capacity(bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line {
            [b' ' | b'\t', rest @ ..] if !whole.is_empty() => {
                let end = whole
                    .strip_suffix(b"\n")
                    .map_or(whole.len(), |line| line.strip_suffix(b"\r").unwrap_or(line).len());
                whole.truncate(end);
                whole.extend_from_slice(rest);
            }
            line => whole.extend_from_slice(line),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_joined_also_inside_a_letter() {
        let folded = "BEGIN:VCALENDAR\r\nSUMMARY:h\u{e4}lt\r\n  an\r\n\tger\r\n".as_bytes();
        let cut = folded.iter().position(|byte| *byte == 0xc3).unwrap() + 1;
        let cut = [&folded[..cut], b"\r\n ", &folded[cut..]].concat();
        for bytes in [folded, &cut[..]] {
            assert_eq!(String::from_utf8(unfolded(bytes)).unwrap(), "BEGIN:VCALENDAR\r\nSUMMARY:h\u{e4}lt anger\r\n");
        }
    }

    #[test]
    fn only_a_whole_line_begins_or_ends_it() {
        assert!(begins(b"begin:vcalendar \r\nX:1") && begins(b"BEGIN:VCALENDAR"));
        assert!(!begins(b"BEGIN:VCALENDARS\n") && !begins(b"NOTE:BEGIN:VCALENDAR\n") && !begins(b"BEGIN"));
        assert_eq!(end(b"X:END:VCALENDAR\nEND:VCALENDAR\nrest"), Some(30));
        assert_eq!(end(b"END:VCALENDARS\n"), None);
    }
}
