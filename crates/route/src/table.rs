//! The routing table: one immutable snapshot of the configuration's trunks and routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::number::Numbers;
use crate::pattern::Pattern;
use crate::plan::{Matched, Plan, RouteVerdict};
use crate::trunk::{Transport, Trunk};

/// A target as written in `connect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetSpec {
    /// `trunk:NAME[/NUMBER]`
    Trunk {
        /// Its name.
        name: String,
        /// The number to call instead of the called one.
        number: Option<String>,
    },
    /// `sip:URI`
    Uri {
        /// As written.
        uri: String,
        /// Host.
        host: String,
        /// Port, where written.
        port: Option<u16>,
        /// Transport.
        transport: Transport,
    },
    /// `reject:CODE`
    Reject(u16),
}

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name; `route-N` (position from 1) where none is written.
    pub name: Arc<str>,
    /// Trunks it takes calls from; empty: any.
    pub from: Vec<String>,
    /// Called numbers; empty: any.
    pub to: Vec<Pattern>,
    /// Calling numbers; empty: any.
    pub caller: Vec<Pattern>,
    /// Targets in order.
    pub connect: Vec<TargetSpec>,
    /// 486 and 600 go on to the next target too.
    pub on_busy: bool,
    /// Per target; else the trunk's.
    pub ring_timeout: Option<Duration>,
}

/// What a table is built from.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Numbering.
    pub numbers: Numbers,
    /// Trunks in the order of the file.
    pub trunks: Vec<Trunk>,
    /// Routes in the order of the file.
    pub routes: Vec<Route>,
}

/// What is known of a call when its route is asked for.
#[derive(Debug, Clone, Copy)]
pub struct CallInfo<'a> {
    /// The trunk it comes from.
    pub from: &'a str,
    /// The called number, normalised.
    pub called: &'a str,
    /// The calling number, normalised; empty where anonymous.
    pub caller: &'a str,
}

/// The snapshot.
#[derive(Debug, Clone)]
pub struct Table {
    definition: Arc<Definition>,
}

impl Table {
    /// Builds a table. Names that do not resolve have been refused by `check` before.
    pub fn new(definition: Definition) -> Table {
        let _ = Table { definition: Arc::new(definition) };
        unimplemented!()
    }
    /// The trunk that `source` belongs to.
    pub fn trunk_of(&self, source: SocketAddr) -> Option<&Arc<Trunk>> {
        let _ = source;
        unimplemented!()
    }
    /// A trunk by name.
    pub fn trunk(&self, name: &str) -> Option<&Arc<Trunk>> {
        let _ = name;
        unimplemented!()
    }
    /// Trunks in the order of the file.
    pub fn trunks(&self) -> &[Arc<Trunk>] {
        unimplemented!()
    }
    /// The numbering.
    pub fn numbers(&self) -> &Numbers {
        &self.definition.numbers
    }
    /// The first route that matches, with its targets and their peers in order; `pick(total)` returns a random
    /// number below `total`, for weights (RFC 2782).
    pub fn plan(&self, call: &CallInfo<'_>, pick: &mut dyn FnMut(u32) -> u32) -> Option<Plan> {
        let _ = (call, pick);
        unimplemented!()
    }
    /// Each route in order with the first condition that failed, up to the match: for `why` and for the trace.
    pub fn explain(&self, call: &CallInfo<'_>) -> Vec<RouteVerdict> {
        let _ = (call, Matched::Yes);
        unimplemented!()
    }
}
