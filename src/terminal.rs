//! The terminal that stdout is, if it is one.

use std::io::IsTerminal as _;

/// Its width, in characters; `None` for a file or a pipe, which take lines of any length.
pub(crate) fn width() -> Option<usize> {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok())??;
    // A serial line says 0.
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}
