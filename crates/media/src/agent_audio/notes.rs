//! Notes about one agent for its call's trace. Repeated events of one kind are noted the first times, then at the 10th,
//! the 100th … time, and at the end with their number.

use crate::limits::AGENT_NOTES_OF_A_KIND;

/// Notes about one agent so far, by kind. Kinds are string literals of this program, hence few; an agent without faults
/// allocates nothing.
#[derive(Debug, Default)]
pub(super) struct FaultNotes(Vec<NotedFault>);

#[derive(Debug)]
struct NotedFault {
    name: &'static str,
    noted: Vec<String>,
    count: u64,
}

impl FaultNotes {
    /// Counts an event of the kind `name`; returns the note for the call's trace, or `None` if the event is only
    /// counted.
    pub(super) fn count_event(&mut self, name: &'static str, text: String) -> Option<String> {
        let at = self.0.iter().position(|kind| kind.name == name).unwrap_or(self.0.len());
        if at == self.0.len() {
            self.0.push(NotedFault { name, noted: Vec::new(), count: 0 });
        }
        let kind = self.0.get_mut(at)?;
        kind.count += 1;
        if kind.noted.len() < AGENT_NOTES_OF_A_KIND && !kind.noted.contains(&text) {
            kind.noted.push(text.clone());
            return Some(text);
        }
        let is_round = kind.count >= 10 && kind.count == 10u64.pow(kind.count.ilog10());
        is_round.then(|| format!("{text}: the {}th of its kind", kind.count))
    }

    /// Removes all notes; returns a final note for each kind with more events than were noted in full.
    pub(super) fn sum_up(&mut self) -> impl Iterator<Item = String> + use<> {
        std::mem::take(&mut self.0).into_iter().filter_map(|kind| {
            let more = kind.count.saturating_sub(kind.noted.len() as u64);
            (more > 0).then(|| format!("{more} more like this: {}", kind.noted.first().map_or("", String::as_str)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_told_once_then_by_powers_of_ten_and_in_the_end() {
        let mut notes = FaultNotes::default();
        let said: Vec<String> = (0..12_345).filter_map(|_| notes.count_event("spoke", "it spoke".to_owned())).collect();
        let nth = |n: u32| format!("it spoke: the {n}th of its kind");
        assert_eq!(said, ["it spoke".to_owned(), nth(10), nth(100), nth(1000), nth(10_000)]);
        assert_eq!(notes.count_event("slow", "it is slow".to_owned()).as_deref(), Some("it is slow"));
        assert_eq!(notes.sum_up().collect::<Vec<_>>(), ["12344 more like this: it spoke"]);
        assert_eq!(notes.sum_up().count(), 0);
    }

    /// Part of the text comes from the agent, which must not defeat the limit by varying it.
    #[test]
    fn so_many_texts_of_a_kind_are_told() {
        let mut notes = FaultNotes::default();
        let said =
            (0..1000).filter_map(|n| notes.count_event("unknown_event", format!("unknown event \"{n}\""))).count();
        assert_eq!(said, AGENT_NOTES_OF_A_KIND + 3);
        let rest = format!("{} more like this: unknown event \"0\"", 1000 - AGENT_NOTES_OF_A_KIND);
        assert_eq!(notes.sum_up().collect::<Vec<_>>(), [rest]);
    }
}
