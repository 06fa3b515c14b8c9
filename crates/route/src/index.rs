//! Finding the first route that matches without looking at all of them: routes by the exact numbers and prefixes of
//! their `to`; those with a regular expression, or without `to`, are looked at one by one.

use std::collections::HashMap;

use crate::pattern::Pattern;
use crate::route::Route;

/// Positions of routes, ascending.
type Positions = Vec<usize>;

/// Routes by what they say of the called number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    exact: HashMap<String, Positions>,
    /// By the prefix's length in bytes.
    prefixes: Vec<(usize, HashMap<String, Positions>)>,
    /// Those whose `to` has to be tried.
    others: Positions,
}

impl Index {
    pub(crate) fn new<'a>(routes: impl Iterator<Item = &'a Route>) -> Index {
        let mut index = Index::default();
        for (position, route) in routes.enumerate() {
            if route.to.is_empty() || route.to.iter().any(|to| matches!(to, Pattern::Regex(_))) {
                index.others.push(position);
                continue;
            }
            for pattern in &route.to {
                match pattern {
                    Pattern::Exact(text) => push(&mut index.exact, text, position),
                    Pattern::Prefix(text) => index.push_prefix(text, position),
                    Pattern::Regex(_) => {}
                }
            }
        }
        index
    }
    /// The lowest position that `matches`, among the routes that may take `called`.
    pub(crate) fn first(&self, called: &str, matches: &dyn Fn(usize) -> bool) -> Option<usize> {
        let mut best = None;
        let mut search = |positions: &[usize]| {
            for position in positions {
                if best.is_some_and(|best| *position >= best) {
                    return;
                }
                if matches(*position) {
                    best = Some(*position);
                    return;
                }
            }
        };
        if let Some(positions) = self.exact.get(called) {
            search(positions);
        }
        for (length, by_text) in &self.prefixes {
            if let Some(positions) = called.get(..*length).and_then(|prefix| by_text.get(prefix)) {
                search(positions);
            }
        }
        search(&self.others);
        best
    }

    fn push_prefix(&mut self, text: &str, position: usize) {
        match self.prefixes.iter_mut().find(|(length, _)| *length == text.len()) {
            Some((_, by_text)) => push(by_text, text, position),
            None => {
                let mut by_text = HashMap::new();
                push(&mut by_text, text, position);
                self.prefixes.push((text.len(), by_text));
            }
        }
    }
}

fn push(map: &mut HashMap<String, Positions>, text: &str, position: usize) {
    let positions = map.entry(text.to_owned()).or_default();
    if positions.last() != Some(&position) {
        positions.push(position);
    }
}
