//! What the daemon says on stderr: one line each, nothing else writes there.
//!
//! Lines may quote what came from outside (a plugin's stderr, a reason it gave), so control characters are escaped:
//! nobody can forge a line of the daemon's, or steer the terminal it is read in.

use std::io::Write as _;

/// A line longer than this is cut: a plugin may write anything.
const LINE_BYTES: usize = 8 * 1024;

/// Says one line.
pub(crate) fn say(text: &str) {
    let mut line = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if line.len() > LINE_BYTES {
            line.push('…');
            break;
        }
        if character.is_control() && character != '\t' {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    // There is nobody to tell that stderr is gone.
    drop(std::io::stderr().lock().write_all(line.as_bytes()));
}
