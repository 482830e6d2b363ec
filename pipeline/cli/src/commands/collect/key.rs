//! The token that plugins send as their API key.

use crate::context::{secret, secret_path};
use crate::failure::{Exit, Failure};

const VARIABLE: &str = "PIPELINE_EDITOR_TOKEN";

/// `PIPELINE_EDITOR_TOKEN`, else `editor.token` in the user's configuration folder, made on first use.
pub fn token() -> Result<String, Failure> {
    if let Some(token) = std::env::var(VARIABLE).ok().map(|token| token.trim().to_owned()).filter(|it| !it.is_empty()) {
        // Nobody guesses sixteen characters in this life, and a colon ends a name in the header it comes in.
        if token.len() < 16 || token.contains(':') || !token.is_ascii() {
            return Err(Failure::new(Exit::Usage, format!("{VARIABLE} is no token"))
                .hint("write at least 16 letters, digits and dashes; plugins want a UUID"));
        }
        return Ok(token);
    }
    secret(&secret_path("editor.token", VARIABLE)?, "remove it: a new one is made", uuid)
}

/// A random UUID (RFC 9562, version 4): plugins refuse other keys.
fn uuid(random: &[u8; 32]) -> String {
    let mut bytes: Vec<u8> = random[..16].to_vec();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
