//! The terminal that stdout is, if it is one.

use std::io::IsTerminal as _;

/// Its width, in characters; `None` for a file or a pipe, which take lines of any length.
pub(crate) fn width() -> Option<usize> {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok())??;
    // A serial line says 0.
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Whether it is to have colours: not where `NO_COLOR` is set (no-color.org), nor on one that has none.
pub(crate) fn has_colour() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    width().is_some() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
