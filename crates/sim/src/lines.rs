//! Agents with few sessions: what a seed allows them, and that nobody gets one more, waits in vain or is overtaken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::RngExt as _;
use rand_chacha::ChaCha12Rng;
use trunkgate_media::{EndId, MediaId};
use trunkgate_route::{AnswerTime, Queue};

use crate::world::World;

/// The agent that has few.
pub(crate) const DESK: &str = "desk";

/// What an agent may have, of each version of the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Few {
    /// Sessions; 0: any number.
    pub sessions: [u32; 2],
    /// Who may wait.
    pub queue: [Option<Queue>; 2],
    /// When callers are answered.
    pub answer: AnswerTime,
    /// Whether the odd versions have no such agent at all.
    pub goes: bool,
}

impl Few {
    /// What a seed allows.
    pub(crate) fn draw(rng: &mut ChaCha12Rng) -> Few {
        let mut queue = || {
            let size = rng.random_range(0..4);
            let wait = Duration::from_secs(rng.random_range(2..30));
            (size > 0).then_some(Queue { size, wait })
        };
        let queue = [queue(), queue()];
        Few {
            sessions: [(); 2].map(|()| [0, 1, 1, 2][rng.random_range(0..4usize)]),
            queue,
            answer: [AnswerTime::OnConnect, AnswerTime::OnConnect, AnswerTime::Early, AnswerTime::AtOnce]
                [rng.random_range(0..4usize)],
            goes: rng.random_bool(0.2),
        }
    }
    /// Whether most calls are for that agent.
    pub(crate) fn is_wanted(&self) -> bool {
        self.sessions != [0, 0] && self.queue.iter().any(Option::is_some)
    }
    /// Those of a version.
    pub(crate) fn of(&self, version: u32) -> (u32, Option<Queue>) {
        let at = usize::from(!version.is_multiple_of(2));
        (self.sessions.get(at).copied().unwrap_or_default(), self.queue.get(at).copied().flatten())
    }
    /// Sessions that may begin: one that pauses before its next stream keeps its session over a reload.
    fn most(&self, version: u32) -> u32 {
        match self.sessions {
            sessions if sessions.contains(&0) && version > 0 => 0,
            [first, second] if version > 0 => first.max(second),
            [first, _] => first,
        }
    }
    /// Whether there is the agent.
    pub(crate) fn is_there(&self, version: u32) -> bool {
        !self.goes || version.is_multiple_of(2)
    }
}

/// What the workers know of who talks with whom.
#[derive(Debug, Default)]
pub(crate) struct Talking {
    ends: BTreeMap<(MediaId, EndId), String>,
}

impl Talking {
    /// The edge wants an agent's socket for a caller.
    pub(crate) fn begins(&mut self, id: MediaId, end: EndId, url: &str) {
        let name = url.rsplit('/').next().unwrap_or_default();
        self.ends.insert((id, end), name.to_owned());
    }
    /// It wants it no longer.
    pub(crate) fn ends(&mut self, id: MediaId, end: EndId) {
        self.ends.remove(&(id, end));
    }
    /// It wants none of a session's, or of all.
    pub(crate) fn forget(&mut self, id: Option<MediaId>) {
        self.ends.retain(|(of, _), _| id.is_some_and(|id| *of != id));
    }
    fn with(&self, agent: &str) -> BTreeSet<(MediaId, EndId)> {
        self.ends.iter().filter(|(_, name)| **name == *agent).map(|(at, _)| *at).collect()
    }
}

/// What was so after the step before.
#[derive(Debug, Default)]
pub(crate) struct Before {
    talking: BTreeSet<(MediaId, EndId)>,
    line: Vec<String>,
    /// Calls that have had the agent.
    had: BTreeSet<String>,
}

impl Before {
    /// A restart puts those who wait in line anew.
    pub(crate) fn forget(&mut self) {
        self.talking.clear();
        self.line.clear();
    }
}

impl World {
    /// After each step: no session too many, and nobody was overtaken.
    pub(crate) fn check_line(&mut self) -> Result<(), String> {
        let most = self.options.few.most(self.table_version);
        let talking = self.edge.talking.with(DESK);
        let begun = talking.difference(&self.before.talking).count();
        if begun > 0 && most > 0 && talking.len() > most as usize {
            return Err(format!("{} callers have the desk, which may have {most}", talking.len()));
        }
        let line: Vec<String> = self.edge.gateway.waiting_for(DESK).into_iter().map(str::to_owned).collect();
        let before = std::mem::take(&mut self.before);
        let mut had = before.had;
        let (mut now_had, changed) = (BTreeSet::new(), begun > 0 || line != before.line);
        if changed {
            self.summary.waited += line.iter().filter(|sid| !before.line.contains(sid)).count() as u64;
            let calls = self.edge.gateway.calls(self.now);
            let tried = calls.iter().filter(|call| call.legs.iter().any(|leg| leg.agent == DESK));
            now_had.extend(tried.map(|call| call.sid.clone()));
            overtaken(&before.line, &line, &had, &now_had)?;
        }
        had.append(&mut now_had);
        self.before = Before { talking, line, had };
        Ok(())
    }
}

/// That nobody came in front of those who wait still, but for who had the agent before.
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
