//! Routes of a configuration, compiled once and shared by all tables built from it.

use std::ops::Deref;
use std::sync::Arc;

use super::index::RouteIndex;
use super::{CallInfo, Route};

/// Routes in file order, with an index.
#[derive(Debug, Clone)]
pub struct RouteList(Arc<CompiledRoutes>);

#[derive(Debug)]
struct CompiledRoutes {
    all: Vec<Arc<Route>>,
    index: RouteIndex,
    has_shares: bool,
}

impl From<Vec<Route>> for RouteList {
    fn from(routes: Vec<Route>) -> RouteList {
        let index = RouteIndex::new(&routes);
        let has_shares = routes.iter().any(Route::has_shares);
        RouteList(Arc::new(CompiledRoutes { all: routes.into_iter().map(Arc::new).collect(), index, has_shares }))
    }
}

impl Deref for RouteList {
    type Target = [Arc<Route>];

    fn deref(&self) -> &[Arc<Route>] {
        &self.0.all
    }
}

impl RouteList {
    /// Returns the first route that takes a call, with its position.
    pub fn first(&self, call: &CallInfo<'_>) -> Option<(usize, &Arc<Route>)> {
        let at = |at: u32| usize::try_from(at).ok().and_then(|at| Some((at, self.0.all.get(at)?)));
        let mut takes = |position| at(position).is_some_and(|(at, route)| route.takes(call, at));
        at(self.0.index.first(call, u32::MAX, &mut takes)?)
    }

    /// Returns whether any route takes only a percentage of calls.
    pub fn has_shares(&self) -> bool {
        self.0.has_shares
    }
}
