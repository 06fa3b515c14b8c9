//! `trunkgate top`: live view of a running edge over its HTTP API, with the data of `status`, `calls` and `trace` and
//! the keys of sngrep.

mod feed;
mod quality;
mod state;
mod view;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use hyper::Method;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::cli::EdgeArgs;
use crate::client::PolledEdge;
use feed::{FeedRequest, ScreenUpdate};
use state::{ScreenAction, ScreenState};
use trunkgate_boot::run::{USAGE, refuse};
use trunkgate_system::terminal;

/// Capacity of the queues of updates and keys.
const WAITING: usize = 64;
/// Exit code for an edge that does not respond or an unusable terminal.
const FAILED: u8 = 1;
/// Environment variable that disables colours (no-color.org).
const NO_COLOR: &str = "NO_COLOR";

/// Shows the live view until the user quits. Returns exit code 1 if the edge does not respond at first, 2 if no edge is
/// named or there is no terminal.
pub fn run(config: Option<&Path>, remote: &EdgeArgs) -> ExitCode {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return refuse("error: `top` needs a terminal. Use `trunkgate status` or `trunkgate calls`");
    }
    let Some(edge) = PolledEdge::new(config, remote) else { return ExitCode::from(USAGE) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(|error| (error.to_string(), FAILED)).and_then(|runtime| {
        let done = runtime.block_on(show(edge));
        runtime.shutdown_background();
        done
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((what, code)) => {
            terminal::print_error(&format!("error: {what}"));
            ExitCode::from(code)
        }
    }
}

/// Polls and draws until the user quits.
///
/// # Errors
/// Returns a message and the exit code if the first poll or the terminal fails.
async fn show(edge: PolledEdge) -> Result<(), (String, u8)> {
    // The first poll precedes the screen, so that an error is printed normally.
    let first = feed::see(&edge, &FeedRequest::default()).await.map_err(|what| {
        let code = edge.failure_code(&what);
        (terminal::harmless(&what), code)
    })?;
    let unusable = |error: std::io::Error| (format!("the terminal cannot be used: {error}"), FAILED);
    let colours = std::env::var_os(NO_COLOR).is_none_or(|value| value.is_empty());
    let mut state = ScreenState::new(colours);
    state.take(first);
    let mut terminal = ratatui::try_init().map_err(unusable)?;
    // The guard restores the terminal in any case, also after a panic.
    let restore = TerminalGuard;
    let done = follow(&mut terminal, edge, state).await;
    if terminal.show_cursor().is_err() {
        // The terminal is closed; its destructor would print an error to it and panic.
        std::mem::forget(terminal);
    }
    drop(restore);
    done.map_err(unusable)
}

/// Guard that restores the terminal.
struct TerminalGuard;

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        // A closed terminal cannot be restored.
        let _ = ratatui::try_restore();
    }
}

async fn follow(terminal: &mut DefaultTerminal, edge: PolledEdge, mut state: ScreenState) -> std::io::Result<()> {
    let (mut keys, (tell, mut news)) = (keys(), mpsc::channel(WAITING));
    let (want, wanted) = watch::channel(FeedRequest::default());
    let feed = tokio::spawn(feed::run(edge.clone(), wanted, tell.clone()));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        terminal.draw(|frame| view::draw(frame, &state))?;
        let columns = terminal.size()?.width.into();
        let sid = state.open.as_ref().map(|open| open.sid.clone());
        let now = FeedRequest { is_paused: state.is_paused, sid, columns, filter: state.filter.clone() };
        want.send_if_modified(|before| std::mem::replace(before, now.clone()) != now);
        tokio::select! {
            event = keys.recv() => match event {
                None => break,
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => match state.press(key) {
                    Some(ScreenAction::Quit) => break,
                    Some(ask) => drop(tokio::spawn(act(edge.clone(), ask, tell.clone()))),
                    None => {}
                },
                // Resizing redraws the screen; other events are ignored.
                Some(_) => {}
            },
            told = news.recv() => match told {
                Some(ScreenUpdate::Seen(seen)) => state.take(*seen),
                Some(ScreenUpdate::Lost(what)) => state.lost = Some(what),
                Some(ScreenUpdate::Note(what)) => state.note = Some(what),
                None => break,
            },
            _ = terminate.recv() => break,
            _ = hang_up.recv() => break,
        }
    }
    feed.abort();
    Ok(())
}

/// Reads key events in a thread that ends with the program, because terminal input has no asynchronous interface.
fn keys() -> mpsc::Receiver<Event> {
    let (tell, keys) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if tell.blocking_send(event).is_err() {
                return;
            }
        }
    });
    keys
}

/// Carries out an action and reports its result.
async fn act(edge: PolledEdge, ask: ScreenAction, tell: mpsc::Sender<ScreenUpdate>) {
    let note = match ask {
        ScreenAction::HangUp(sid) => match edge.ask(Method::DELETE, &format!("/v1/calls/{sid}"), None).await {
            Ok(_) => format!("{sid}: hang-up requested"),
            Err(what) => what,
        },
        ScreenAction::Save { sid, text } => save(&sid, &text),
        ScreenAction::Quit => return,
    };
    // After an exit no receiver is left.
    let _ = tell.send(ScreenUpdate::Note(note)).await;
}

/// Writes a call's page to a new file in the current directory and returns the result in words. An existing file is not
/// overwritten.
fn save(sid: &str, text: &str) -> String {
    // The SID comes from the edge, so path separators are removed.
    let name: String = sid.chars().filter(char::is_ascii_alphanumeric).collect();
    let free = |n: &u32| if *n == 1 { format!("{name}.txt") } else { format!("{name}-{n}.txt") };
    for name in (1..100).map(|n| free(&n)) {
        let opened = std::fs::File::options().write(true).create_new(true).open(&name);
        match opened.and_then(|mut file| file.write_all(text.as_bytes())) {
            Ok(()) => return format!("written to {name}"),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return format!("{name} cannot be written: {error}"),
        }
    }
    format!("{name}-99.txt exists already")
}
