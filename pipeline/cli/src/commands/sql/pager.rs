//! A result taller than the terminal goes through the user's pager.

use crate::context::emit_bytes;
use std::io::Write;
use std::process::{Command, Stdio};

/// Shows bytes of text: through `$PAGER` (else `less`) when they have more lines than the terminal.
pub fn show(text: &[u8]) {
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let height = usize::from(console::Term::stdout().size().0);
    if lines < height || !page(text) {
        emit_bytes(text);
    }
}

/// Whether a pager took it.
fn page(text: &[u8]) -> bool {
    let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
    let mut command = Command::new("sh");
    command.arg("-c").arg(pager.as_deref().unwrap_or("less")).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        // F: leave when it fits; R: colours pass; S: long lines are not folded; X: the text stays on the screen.
        command.env("LESS", "FRSX");
    }
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut stdin) = child.stdin.take() {
        // A pager that was left early reads no further: that is its right.
        let _ = stdin.write_all(text);
    }
    // 127: the shell found no such program.
    child.wait().is_ok_and(|status| status.code() != Some(127))
}
