//! State of `top` and the effect of keys on it, without access to the terminal or the edge.
#![allow(clippy::wildcard_enum_match_arm)] // a terminal has more keys than have a meaning here

use std::collections::BTreeSet;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Value;

use super::feed::{CallPage, FeedData};
use crate::client::{call_row, newest_first};

/// Number of lines that a page key moves.
const PAGE: usize = 20;
/// Maximum length of a filter, in characters.
const FILTER_CHARS: usize = 64;

/// Action that the screen cannot carry out itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ScreenAction {
    /// Ends the program.
    Quit,
    /// Ends the call with this SID.
    HangUp(String),
    /// Writes the page of a call to a file.
    Save {
        /// SID of the call.
        sid: String,
        /// Text of the page.
        text: String,
    },
}

/// Call whose pages are open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenCall {
    pub(super) sid: String,
    pub(super) page: CallPage,
    /// Number of the first visible line.
    pub(super) top: usize,
}

/// State of the screen.
#[derive(Debug, Default)]
pub(crate) struct ScreenState {
    /// Latest data from the edge.
    pub(super) seen: FeedData,
    /// Error of the last poll.
    pub(super) lost: Option<String>,
    /// SID of the selected call; `None` selects the first one.
    pub(super) chosen: Option<String>,
    pub(super) open: Option<OpenCall>,
    pub(super) filter: String,
    /// Whether the filter is being typed.
    pub(super) is_filtering: bool,
    /// SID of the call that will be ended if the next key is `y`.
    pub(super) ending: Option<String>,
    /// SIDs of ended calls that the user has removed from the list.
    cleared: BTreeSet<String>,
    pub(super) is_paused: bool,
    pub(super) is_helping: bool,
    pub(super) colours: bool,
    /// Result of the last action, in words.
    pub(super) note: Option<String>,
}

impl ScreenState {
    /// Creates the state before the first data.
    pub(super) fn new(colours: bool) -> ScreenState {
        ScreenState { colours, ..ScreenState::default() }
    }

    /// Returns the calls of the list that match the filter: SID and cells of each.
    pub(super) fn rows(&self) -> Vec<(&str, [String; 11])> {
        let wanted = self.filter.to_lowercase();
        // Calls found for an earlier filter are ignored.
        let (filter, found) = &self.seen.found;
        let found = if *filter == self.filter { newest_first(found) } else { Vec::new() };
        let is_listed = |call: &&Value| {
            self.seen.calls["calls"].as_array().is_some_and(|all| all.iter().any(|one| one["sid"] == call["sid"]))
        };
        let is_found = |sid: &str| found.iter().any(|call| call["sid"] == sid);
        let older = found.iter().copied().filter(|call| !is_listed(call));
        let shown = newest_first(&self.seen.calls).into_iter().chain(older).filter_map(|call| {
            let sid = call["sid"].as_str().filter(|sid| !self.cleared.contains(*sid))?;
            let row = call_row(call);
            let is_wanted = is_found(sid) || row.iter().any(|cell| cell.to_lowercase().contains(&wanted));
            is_wanted.then_some((sid, row))
        });
        shown.collect()
    }

    /// Returns the position of the selected call.
    pub(super) fn position(&self) -> usize {
        let rows = self.rows();
        let chosen = self.chosen.as_deref();
        rows.iter().position(|(sid, _)| Some(*sid) == chosen).unwrap_or(0)
    }

    /// Returns the list entry of a call.
    pub(super) fn call(&self, sid: &str) -> Option<&Value> {
        let listed = [&self.seen.calls, &self.seen.found.1].map(|list| list["calls"].as_array());
        listed.into_iter().flatten().flatten().find(|call| call["sid"] == sid)
    }

    /// Stores new data from the edge.
    pub(super) fn take(&mut self, seen: FeedData) {
        self.lost = None;
        self.seen = seen;
    }

    /// Handles a key and returns the action that it requests, if any.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<ScreenAction> {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        if is_control && key.code == KeyCode::Char('c') {
            return Some(ScreenAction::Quit);
        }
        self.note = None;
        if self.is_filtering {
            self.write(key.code);
            return None;
        }
        if let Some(sid) = self.ending.take() {
            return matches!(key.code, KeyCode::Char('y' | 'Y')).then_some(ScreenAction::HangUp(sid));
        }
        if self.is_helping {
            self.is_helping = false;
            return None;
        }
        let code = match key.code {
            KeyCode::Char('f') if is_control => KeyCode::PageDown,
            KeyCode::Char('b') if is_control => KeyCode::PageUp,
            KeyCode::Char('a') if is_control => KeyCode::Home,
            KeyCode::Char('e') if is_control => KeyCode::End,
            code => code,
        };
        match code {
            KeyCode::F(1) | KeyCode::Char('h' | 'H' | '?') => self.is_helping = true,
            KeyCode::F(8) | KeyCode::Char('C') => self.colours = !self.colours,
            KeyCode::Char('p') => self.is_paused = !self.is_paused,
            KeyCode::Delete | KeyCode::Char('K') => self.ask_to_end(),
            _ => {
                return match self.open.is_some() {
                    true => self.in_call(code),
                    false => self.in_list(code),
                };
            }
        }
        None
    }

    fn write(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter | KeyCode::Tab | KeyCode::F(3) => self.is_filtering = false,
            KeyCode::Esc => {
                self.is_filtering = false;
                self.filter.clear();
            }
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Char(c) if self.filter.chars().count() < FILTER_CHARS => self.filter.push(c),
            _ => {}
        }
    }

    fn ask_to_end(&mut self) {
        let sid = self.open.as_ref().map_or_else(|| self.under_bar(), |open| Some(open.sid.clone()));
        self.ending = sid.filter(|sid| self.call(sid).is_some_and(|call| call["state"] != "ended"));
        if self.ending.is_none() {
            self.note = Some("the call has ended".to_owned());
        }
    }

    fn under_bar(&self) -> Option<String> {
        self.rows().get(self.position()).map(|(sid, _)| (*sid).to_owned())
    }

    fn in_list(&mut self, code: KeyCode) -> Option<ScreenAction> {
        match code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => return Some(ScreenAction::Quit),
            KeyCode::Enter | KeyCode::F(4 | 6) | KeyCode::Char('x' | 'X' | 'r' | 'R') => {
                let page = if matches!(code, KeyCode::F(6) | KeyCode::Char('r' | 'R')) {
                    CallPage::Raw
                } else {
                    CallPage::Ladder
                };
                self.open = self.under_bar().map(|sid| OpenCall { sid, page, top: 0 });
            }
            KeyCode::F(3 | 7) | KeyCode::Char('/' | 'f' | 'F') | KeyCode::Tab => self.is_filtering = true,
            KeyCode::F(5) => self.clear(),
            _ => {
                let last = self.rows().len().saturating_sub(1);
                let to = moved(code, self.position(), last);
                self.chosen = self.rows().get(to).map(|(sid, _)| (*sid).to_owned());
            }
        }
        None
    }

    /// Removes all ended calls from the list.
    fn clear(&mut self) {
        let all = [&self.seen.calls, &self.seen.found.1].map(|list| list["calls"].as_array());
        let ended = all.into_iter().flatten().flatten();
        let ended = ended.filter(|call| call["state"] == "ended").filter_map(|call| call["sid"].as_str());
        // A SID is forgotten once the edge no longer lists the call.
        self.cleared = ended.map(str::to_owned).collect();
    }

    fn in_call(&mut self, code: KeyCode) -> Option<ScreenAction> {
        let lines = self.lines().len();
        let open = self.open.as_mut()?;
        let page = match code {
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => {
                self.open = None;
                return None;
            }
            KeyCode::Char('r' | 'R') | KeyCode::F(6) if open.page == CallPage::Raw => CallPage::Ladder,
            KeyCode::Char('d' | 'D') if open.page == CallPage::Sdp => CallPage::Ladder,
            KeyCode::Char('r' | 'R') | KeyCode::F(6) => CallPage::Raw,
            KeyCode::Char('d' | 'D') => CallPage::Sdp,
            KeyCode::Enter | KeyCode::F(4) | KeyCode::Char('x' | 'X') => CallPage::Ladder,
            KeyCode::F(2) | KeyCode::Char('s' | 'S') => {
                let sid = open.sid.clone();
                return Some(ScreenAction::Save { sid, text: self.lines().join("\n") + "\n" });
            }
            _ => {
                open.top = moved(code, open.top, lines.saturating_sub(1));
                return None;
            }
        };
        (open.page, open.top) = (page, 0);
        None
    }

    /// Returns the lines of the open page.
    pub(super) fn lines(&self) -> Vec<String> {
        let Some(open) = &self.open else { return Vec::new() };
        match self.seen.call.as_ref().filter(|call| call.sid == open.sid) {
            Some(call) => call.lines(open.page),
            None => vec!["one moment …".to_owned()],
        }
    }
}

/// Returns the position after a movement key (arrows or vi's letters). `last` is the last valid position.
fn moved(code: KeyCode, at: usize, last: usize) -> usize {
    let to = match code {
        KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => at + 1,
        KeyCode::PageUp => at.saturating_sub(PAGE),
        KeyCode::PageDown => at + PAGE,
        KeyCode::Home => 0,
        KeyCode::End => last,
        _ => at,
    };
    to.min(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::feed::OpenCallData;
    use super::*;

    fn state() -> ScreenState {
        let call = |sid: &str, from: &str, state: &str| json!({"sid": sid, "from": from, "to": "+1415****199", "state": state});
        let mut state = ScreenState::new(true);
        let calls = json!({"calls": [
            call("CA1", "+1415****101", "answered"), call("CA2", "+1415****102", "ended"), call("CA3", "+1415****103", "ringing"),
        ]});
        state.take(FeedData { calls, ..FeedData::default() });
        state
    }

    fn press(state: &mut ScreenState, codes: &[KeyCode]) -> Option<ScreenAction> {
        codes.iter().fold(None, |_, code| state.press(KeyEvent::new(*code, KeyModifiers::NONE)))
    }

    #[test]
    fn the_bar_stays_on_its_call_and_within_the_list() {
        let mut state = state();
        press(&mut state, &[KeyCode::Down, KeyCode::Char('j'), KeyCode::Down]);
        assert_eq!((state.position(), state.chosen.as_deref()), (2, Some("CA3")));
        let fewer = json!({"calls": [{"sid": "CA9"}, {"sid": "CA3"}]});
        state.take(FeedData { calls: fewer, ..FeedData::default() });
        assert_eq!(state.position(), 1, "it moved with its call");
        state.take(FeedData { calls: json!({"calls": []}), ..FeedData::default() });
        assert_eq!((state.position(), press(&mut state, &[KeyCode::Down, KeyCode::Enter])), (0, None));
        assert_eq!(state.open, None);
    }

    #[test]
    fn keys_are_those_of_sngrep() {
        let mut state = state();
        for (keys, page) in [
            (&[KeyCode::Enter][..], CallPage::Ladder),
            (&[KeyCode::Char('r')], CallPage::Raw),
            (&[KeyCode::Char('d')], CallPage::Sdp),
            (&[KeyCode::Char('d')], CallPage::Ladder),
            (&[KeyCode::F(6)], CallPage::Raw),
            (&[KeyCode::Char('x')], CallPage::Ladder),
            (&[KeyCode::Char('q'), KeyCode::F(4)], CallPage::Ladder),
            (&[KeyCode::Esc, KeyCode::F(6)], CallPage::Raw),
        ] {
            assert_eq!(press(&mut state, keys), None);
            assert_eq!(state.open.as_ref().map(|open| open.page), Some(page), "{keys:?}");
        }
        let lines = OpenCallData { sid: "CA1".into(), ladder: "a\nb".into(), ..OpenCallData::default() };
        state.seen.call = Some(lines);
        press(&mut state, &[KeyCode::Char('x')]);
        let saved = press(&mut state, &[KeyCode::F(2)]);
        assert!(matches!(saved, Some(ScreenAction::Save { sid, text }) if sid == "CA1" && text.starts_with("a\nb\n")));
        assert_eq!(press(&mut state, &[KeyCode::Esc, KeyCode::Char('q')]), Some(ScreenAction::Quit));
        let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(state.press(interrupt), Some(ScreenAction::Quit));
    }

    #[test]
    fn a_filter_is_written_and_cleared() {
        let mut state = state();
        press(
            &mut state,
            &[KeyCode::Char('/'), KeyCode::Char('1'), KeyCode::Char('0'), KeyCode::Char('3'), KeyCode::Enter],
        );
        assert_eq!(state.rows().iter().map(|(sid, _)| *sid).collect::<Vec<_>>(), ["CA3"]);
        press(&mut state, &[KeyCode::F(7), KeyCode::Char('q'), KeyCode::Esc]);
        assert!(state.filter.is_empty() && state.rows().len() == 3);
        press(&mut state, &[KeyCode::F(5)]);
        assert_eq!(state.rows().len(), 2, "what has ended is gone");
        (0..200).for_each(|_| drop(press(&mut state, &[KeyCode::F(3), KeyCode::Char('x')])));
        assert!(state.filter.chars().count() <= FILTER_CHARS);
    }

    #[test]
    fn what_the_edge_finds_is_shown_beyond_the_loaded_rows() {
        let mut state = state();
        press(
            &mut state,
            &"lost".chars().fold(vec![KeyCode::Char('/')], |mut keys, char| {
                keys.push(KeyCode::Char(char));
                keys
            }),
        );
        assert!(state.rows().is_empty());
        let calls = state.seen.calls.clone();
        let found =
            json!({"calls": [{"sid": "CA2", "started_at": "2026-01-02"}, {"sid": "CA0", "started_at": "2026-01-01"}]});
        state.take(FeedData { calls, found: ("lost".into(), found), ..FeedData::default() });
        let sids = |state: &ScreenState| state.rows().iter().map(|(sid, _)| (*sid).to_owned()).collect::<Vec<_>>();
        assert_eq!(sids(&state), ["CA2", "CA0"]);
        assert!(state.call("CA0").is_some());
        press(&mut state, &[KeyCode::Backspace]);
        assert!(sids(&state).is_empty(), "found for another filter");
    }

    #[test]
    fn a_call_is_ended_only_if_that_is_confirmed() {
        let mut state = state();
        assert_eq!(press(&mut state, &[KeyCode::Delete, KeyCode::Char('n')]), None);
        assert_eq!(state.ending, None);
        assert_eq!(
            press(&mut state, &[KeyCode::Char('K'), KeyCode::Char('y')]),
            Some(ScreenAction::HangUp("CA1".into()))
        );
        assert_eq!(press(&mut state, &[KeyCode::Down, KeyCode::Delete, KeyCode::Char('y')]), None);
        assert!(state.note.is_none(), "a key takes the note away");
        press(&mut state, &[KeyCode::Delete]);
        assert_eq!(state.note.as_deref(), Some("the call has ended"));
    }
}
