//! The routes of a configuration, compiled once and shared by all tables that are made of it.

use std::ops::Deref;
use std::sync::Arc;

use super::index::Index;
use super::{CallInfo, Route};

/// Routes in the order of the file, with where to look for a call's.
#[derive(Debug, Clone)]
pub struct Routes(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    all: Vec<Arc<Route>>,
    index: Index,
    has_shares: bool,
}

impl From<Vec<Route>> for Routes {
    fn from(routes: Vec<Route>) -> Routes {
        let index = Index::new(&routes);
        let has_shares = routes.iter().any(Route::has_shares);
        Routes(Arc::new(Compiled { all: routes.into_iter().map(Arc::new).collect(), index, has_shares }))
    }
}

impl Deref for Routes {
    type Target = [Arc<Route>];

    fn deref(&self) -> &[Arc<Route>] {
        &self.0.all
    }
}

impl Routes {
    /// The first route that takes a call, and its position.
    pub fn first(&self, call: &CallInfo<'_>) -> Option<(usize, &Arc<Route>)> {
        let at = |at: u32| usize::try_from(at).ok().and_then(|at| Some((at, self.0.all.get(at)?)));
        let mut takes = |position| at(position).is_some_and(|(at, route)| route.takes(call, at));
        at(self.0.index.first(call, u32::MAX, &mut takes)?)
    }

    /// Whether chance decides on any of them.
    pub fn has_shares(&self) -> bool {
        self.0.has_shares
    }
}
