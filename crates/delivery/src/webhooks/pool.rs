//! Idle connections to applications, kept for further requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connection::HttpConnection;
use super::target::HttpOrigin;
use trunkgate_system::limits::{
    WEBHOOK_CONNECTION_MILLISECONDS, WEBHOOK_IDLE_CONNECTIONS, WEBHOOK_IDLE_CONNECTIONS_OF_ONE,
    WEBHOOK_IDLE_MILLISECONDS,
};
use trunkgate_system::reach::ReachRules;

/// Limits for reusing an idle connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolLifetimes {
    /// Maximum time since the last request.
    pub(super) idle: Duration,
    /// Maximum time since the connection was opened.
    pub(super) age: Duration,
}

impl Default for PoolLifetimes {
    fn default() -> PoolLifetimes {
        PoolLifetimes {
            idle: Duration::from_millis(WEBHOOK_IDLE_MILLISECONDS),
            age: Duration::from_millis(WEBHOOK_CONNECTION_MILLISECONDS),
        }
    }
}

/// Idle connections by origin, each list ordered by last use.
pub(super) struct Pool {
    keeping: PoolLifetimes,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    idle: HashMap<HttpOrigin, Vec<IdleConnection>>,
    /// Whether a task is closing expired connections.
    is_swept: bool,
}

struct IdleConnection {
    connection: HttpConnection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(keeping: PoolLifetimes) -> Pool {
        Pool { keeping, state: Mutex::default() }
    }

    /// Takes an idle connection to an origin, if its address is permitted by these rules, which may differ from those
    /// under which it was opened.
    pub(super) fn take(&self, origin: &HttpOrigin, reach: &ReachRules) -> Option<HttpConnection> {
        let mut state = self.lock();
        self.sweep(&mut state);
        let idle = state.idle.get_mut(origin)?;
        let at = idle.iter().rposition(|idle| reach.judge(idle.connection.remote).is_ok())?;
        Some(idle.remove(at).connection)
    }

    /// Keeps a connection for the next request to its origin. If there are too many, the oldest one is closed.
    pub(super) fn put(self: &Arc<Self>, connection: HttpConnection) {
        let mut state = self.lock();
        let idle = state.idle.entry(connection.origin.clone()).or_default();
        idle.push(IdleConnection { connection, since: Instant::now() });
        if idle.len() > WEBHOOK_IDLE_CONNECTIONS_OF_ONE {
            idle.remove(0);
        }
        self.sweep(&mut state);
        if state.len() > WEBHOOK_IDLE_CONNECTIONS {
            state.drop_oldest();
        }
        if !state.is_swept {
            state.is_swept = true;
            tokio::spawn(Arc::clone(self).keep_swept());
        }
    }

    /// Closes expired connections, until no connection is left.
    async fn keep_swept(self: Arc<Self>) {
        loop {
            sleep(self.keeping.idle).await;
            let mut state = self.lock();
            self.sweep(&mut state);
            state.is_swept = !state.idle.is_empty();
            if !state.is_swept {
                return;
            }
        }
    }

    fn sweep(&self, state: &mut PoolState) {
        let keeping = self.keeping;
        let is_good = |idle: &IdleConnection| {
            !idle.connection.is_closed()
                && idle.since.elapsed() < keeping.idle
                && idle.connection.opened.elapsed() < keeping.age
        };
        state.idle.retain(|_, idle| {
            idle.retain(is_good);
            !idle.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}

impl PoolState {
    fn len(&self) -> usize {
        self.idle.values().map(Vec::len).sum()
    }

    fn drop_oldest(&mut self) {
        let oldest = self.idle.iter().min_by_key(|(_, idle)| idle.first().map(|idle| idle.since));
        let Some(origin) = oldest.map(|(origin, _)| origin.clone()) else { return };
        if let Some(idle) = self.idle.get_mut(&origin) {
            idle.remove(0);
            if idle.is_empty() {
                self.idle.remove(&origin);
            }
        }
    }
}
