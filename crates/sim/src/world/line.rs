//! Agents with limited sessions: sessions never exceed the limit, and no caller waits without need or is overtaken.

use std::collections::BTreeSet;
use std::time::Instant;

use trunkgate_media::{EndId, MediaId};

use crate::edge::SimEdge;
use crate::options::SeedOptions;
use crate::places::DESK;

/// Sessions and queue of the limited agent after the previous step.
#[derive(Debug, Default)]
pub(crate) struct PreviousQueueState {
    talking: BTreeSet<(MediaId, EndId)>,
    line: Vec<String>,
    /// Calls that have ever had a session with the agent.
    had: BTreeSet<String>,
}

impl PreviousQueueState {
    /// Forgets sessions and queue before a restart, after which queued callers wait again.
    pub(crate) fn forget(&mut self) {
        self.talking.clear();
        self.line.clear();
    }

    /// Checks, after each step, that sessions do not exceed the limit and that no caller was overtaken. Returns the
    /// number of newly queued callers.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        options: &SeedOptions,
        version: u32,
        edge: &SimEdge,
    ) -> Result<u64, String> {
        let most = options.few.most(version);
        let talking = edge.talking.with(DESK);
        let begun = talking.difference(&self.talking).count();
        if begun > 0 && most > 0 && talking.len() > most as usize {
            return Err(format!("{} callers have the desk, which may have {most}", talking.len()));
        }
        let line: Vec<String> = edge.gateway.waiting_for(DESK).into_iter().map(str::to_owned).collect();
        let before = std::mem::take(self);
        let mut had = before.had;
        let (mut now_had, mut waited) = (BTreeSet::new(), 0);
        if begun > 0 || line != before.line {
            waited = line.iter().filter(|sid| !before.line.contains(sid)).count() as u64;
            let calls = edge.gateway.calls(now);
            let tried = calls.iter().filter(|call| call.legs.iter().any(|leg| leg.agent == DESK));
            now_had.extend(tried.map(|call| call.sid.clone()));
            overtaken(&before.line, &line, &had, &now_had)?;
        }
        had.append(&mut now_had);
        *self = PreviousQueueState { talking, line, had };
        Ok(waited)
    }
}

/// Checks that no caller overtook a waiting one; callers that had a session before may do so.
fn overtaken(
    before: &[String],
    now: &[String],
    had: &BTreeSet<String>,
    now_had: &BTreeSet<String>,
) -> Result<(), String> {
    let stayed: Vec<&String> = before.iter().filter(|sid| now.contains(sid)).collect();
    let still: Vec<&String> = now.iter().filter(|sid| before.contains(sid)).collect();
    if stayed != still {
        return Err(format!("the line was {before:?} and is {now:?}"));
    }
    let Some(first) = stayed.first() else { return Ok(()) };
    if let Some(sid) =
        now.iter().take_while(|sid| sid != first).find(|sid| !had.contains(*sid) && !now_had.contains(*sid))
    {
        return Err(format!("{sid} came in front of {first}, which waits"));
    }
    let ahead: Vec<&String> = before.iter().take_while(|sid| sid != first).collect();
    if let Some(sid) = now_had.iter().find(|sid| !had.contains(*sid) && !ahead.contains(sid)) {
        return Err(format!("{sid} has the desk, and {first} came before it and waits"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_overtaken_is_seen() {
        let calls = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let set = |text: &str| calls(text).into_iter().collect::<BTreeSet<_>>();
        let check = |before: &str, now: &str, had: &str, now_had: &str| {
            overtaken(&calls(before), &calls(now), &set(had), &set(now_had)).is_ok()
        };
        assert!(check("a b c", "b c d", "", "a"), "the first got its turn, another came");
        assert!(check("a b c", "a c", "", ""), "one left");
        assert!(check("a b", "x a b", "x", "x"), "one that had it is back");
        assert!(!check("a b c", "b a c", "", ""), "two changed places");
        assert!(!check("a b", "x a b", "", ""), "one came in front");
        assert!(!check("a b", "a", "", "b"), "the second got the turn of the first");
        assert!(!check("a", "a", "", "x"), "one did not wait at all");
    }
}
