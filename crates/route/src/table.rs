//! The routing table: one immutable snapshot of the configuration's trunks and routes.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::acl::{Acl, KnownBy};
use crate::agent::{Agent, Template};
use crate::headers::HeaderPattern;
use crate::index::Index;
use crate::locate::Destination;
use crate::number::Numbers;
use crate::pattern::Pattern;
use crate::plan::{Matched, Plan, RouteVerdict, Target};
use crate::trunk::Trunk;

/// A target as written in `connect`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
        /// Where it leads.
        #[serde(flatten)]
        destination: Destination,
    },
    /// `agent:NAME`
    Agent(String),
    /// `reject:CODE`
    Reject(u16),
    /// `{ ring_all = [...] }`: trunks and URIs that ring at once.
    RingAll(Vec<TargetSpec>),
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
    /// Names of agents that listen to both directions.
    pub fork: Vec<String>,
    /// 486 and 600 go on to the next target too.
    pub on_busy: bool,
    /// Per target, zero: no limit; else the trunk's.
    pub ring_timeout: Option<Duration>,
}

/// What a table is built from.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Numbering.
    pub numbers: Numbers,
    /// Trunks in the order of the file.
    pub trunks: Vec<Trunk>,
    /// Agents in the order of the file.
    pub agents: Vec<Agent>,
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
    numbers: Numbers,
    trunks: Vec<Arc<Trunk>>,
    by_name: HashMap<Arc<str>, usize>,
    agents: Vec<Arc<Agent>>,
    /// Headers of a caller's INVITE that agents' parameters ask for, each once.
    headers: Vec<String>,
    /// Every header that some trunk lets pass.
    passed: Vec<HeaderPattern>,
    routes: Vec<Arc<Route>>,
    acl: Acl,
    index: Index,
    /// Trunks that phones register with, by the user that they do it as.
    registrants: HashMap<String, usize>,
}

impl Table {
    /// Builds a table. Names that do not resolve have been refused by `check` before.
    pub fn new(definition: Definition) -> Table {
        let trunks: Vec<Arc<Trunk>> = definition.trunks.into_iter().map(Arc::new).collect();
        let mut by_name = HashMap::new();
        for (position, trunk) in trunks.iter().enumerate() {
            by_name.entry(trunk.name.clone()).or_insert(position);
        }
        let mut registrants = HashMap::new();
        for (position, trunk) in trunks.iter().enumerate().filter(|(_, trunk)| trunk.accept_register) {
            if let Some(required) = &trunk.require_auth {
                registrants.entry(required.username.clone()).or_insert(position);
            }
        }
        let mut passed: Vec<HeaderPattern> = Vec::new();
        for pattern in trunks.iter().flat_map(|trunk| trunk.headers.pass.iter().flatten()) {
            if !passed.contains(pattern) {
                passed.push(pattern.clone());
            }
        }
        let index = Index::new(definition.routes.iter());
        Table {
            acl: Acl::new(&trunks),
            numbers: definition.numbers,
            trunks,
            by_name,
            headers: headers_of(&definition.agents),
            passed,
            agents: definition.agents.into_iter().map(Arc::new).collect(),
            routes: definition.routes.into_iter().map(Arc::new).collect(),
            index,
            registrants,
        }
    }
    /// The trunk that a user registers with.
    pub fn registrant(&self, user: &str) -> Option<&Arc<Trunk>> {
        self.trunks.get(*self.registrants.get(user)?)
    }
    /// Whether anybody may register: else strangers are not looked at.
    pub fn takes_registrations(&self) -> bool {
        !self.registrants.is_empty()
    }
    /// The trunk that `source` belongs to.
    pub fn trunk_of(&self, source: SocketAddr) -> Option<&Arc<Trunk>> {
        self.trunks.get(self.acl.trunk_of(source)?)
    }
    /// The same, and by what it is known.
    pub fn known(&self, source: SocketAddr) -> Option<(&Arc<Trunk>, KnownBy)> {
        let (position, by) = self.acl.known(source)?;
        Some((self.trunks.get(position)?, by))
    }
    /// A trunk by name.
    pub fn trunk(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.trunks.get(*self.by_name.get(name)?)
    }
    /// The first trunk with a peer of this host, by name or address.
    pub fn trunk_at(&self, host: &str) -> Option<&Arc<Trunk>> {
        let is_peer =
            |trunk: &&Arc<Trunk>| trunk.peers.iter().any(|peer| peer.destination.host.eq_ignore_ascii_case(host));
        self.trunks.iter().find(is_peer)
    }
    /// Trunks in the order of the file.
    pub fn trunks(&self) -> &[Arc<Trunk>] {
        &self.trunks
    }
    /// Agents in the order of the file.
    pub fn agents(&self) -> &[Arc<Agent>] {
        &self.agents
    }
    /// An agent by name.
    pub fn agent(&self, name: &str) -> Option<&Arc<Agent>> {
        self.agents.iter().find(|agent| *agent.name == *name)
    }
    /// Headers of a caller's INVITE that agents' parameters ask for, each once.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }
    /// Whether any trunk lets a header pass by its own list.
    pub fn passes(&self, name: &str) -> bool {
        self.passed.iter().any(|pattern| pattern.matches(name))
    }
    /// Routes in the order of the file.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }
    /// The numbering.
    pub fn numbers(&self) -> &Numbers {
        &self.numbers
    }
    /// The first route that matches, with its targets and their peers in order; `pick(total)` returns a random
    /// number below `total`, for weights (RFC 2782).
    pub fn plan(&self, call: &CallInfo<'_>, pick: &mut dyn FnMut(u32) -> u32) -> Option<Plan> {
        let matches = |at: usize| self.routes.get(at).is_some_and(|route| route.matches(call));
        let route = self.routes.get(self.index.first(call.called, &matches)?)?;
        let targets = route.connect.iter().filter_map(|target| self.target(target, pick)).collect();
        let forks = route.fork.iter().filter_map(|name| self.agent(name).cloned()).collect();
        Some(Plan { route: route.clone(), targets, forks, ring_timeout: route.ring_timeout })
    }
    /// One target as a route would have it, for calls that go past the routes.
    pub fn target(&self, target: &TargetSpec, pick: &mut dyn FnMut(u32) -> u32) -> Option<Target> {
        Some(match target {
            TargetSpec::Trunk { name, number } => {
                let trunk = self.trunk(name)?;
                Target::Trunk { trunk: trunk.clone(), number: number.clone(), peers: trunk.ordered_peers(pick) }
            }
            TargetSpec::Uri { uri, destination } => Target::Uri { uri: uri.clone(), destination: destination.clone() },
            TargetSpec::Agent(name) => Target::Agent(self.agent(name)?.clone()),
            TargetSpec::Reject(code) => Target::Reject(*code),
            TargetSpec::RingAll(targets) => {
                let rings = |target: &&TargetSpec| matches!(target, TargetSpec::Trunk { .. } | TargetSpec::Uri { .. });
                Target::RingAll(targets.iter().filter(rings).filter_map(|target| self.target(target, pick)).collect())
            }
        })
    }
    /// Each route in order with the first condition that failed, up to the match: for `why` and for the trace.
    pub fn explain(&self, call: &CallInfo<'_>) -> Vec<RouteVerdict> {
        let mut taken = false;
        let verdict = |route: &Arc<Route>| {
            let matched = if taken {
                Matched::NotReached
            } else if let Some(failed) = route.failed(call) {
                Matched::No(failed.describe(call))
            } else {
                taken = true;
                Matched::Yes
            };
            RouteVerdict { name: route.name.clone(), matched }
        };
        self.routes.iter().map(verdict).collect()
    }
}

/// The first condition of a route that does not hold.
enum Failed<'a> {
    From(&'a [String]),
    To(&'a [Pattern]),
    Caller(&'a [Pattern]),
}

impl Failed<'_> {
    fn describe(&self, call: &CallInfo<'_>) -> String {
        match self {
            Failed::From(names) => format!("from: {} is none of {}", call.from, names.join(", ")),
            Failed::To(patterns) => format!("to: {} is none of {}", call.called, list(patterns)),
            Failed::Caller(patterns) if call.caller.is_empty() => {
                format!("caller: an anonymous caller is none of {}", list(patterns))
            }
            Failed::Caller(patterns) => format!("caller: {} is none of {}", call.caller, list(patterns)),
        }
    }
}

fn list(patterns: &[Pattern]) -> String {
    patterns.iter().map(Pattern::to_string).collect::<Vec<_>>().join(", ")
}

fn headers_of(agents: &[Agent]) -> Vec<String> {
    let templates = agents.iter().flat_map(|agent| &agent.parameters).map(|(_, template)| template);
    let names: BTreeSet<String> = templates.flat_map(Template::headers).map(str::to_ascii_lowercase).collect();
    names.into_iter().collect()
}

impl Route {
    /// Whether it takes the call, were no route before it.
    pub fn matches(&self, call: &CallInfo<'_>) -> bool {
        self.failed(call).is_none()
    }

    /// The conditions by which it takes a call, in words; `None` where it has none.
    pub fn because(&self, call: &CallInfo<'_>) -> Option<String> {
        let first =
            |patterns: &[Pattern], number: &str| patterns.iter().find(|p| p.matches(number)).map(Pattern::to_string);
        let from = (!self.from.is_empty()).then(|| format!("from {}", call.from));
        let to = first(&self.to, call.called).map(|pattern| format!("to {pattern}"));
        let caller = first(&self.caller, call.caller).map(|pattern| format!("caller {pattern}"));
        let all: Vec<String> = [from, to, caller].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    fn failed(&self, call: &CallInfo<'_>) -> Option<Failed<'_>> {
        if !self.from.is_empty() && !self.from.iter().any(|name| name == call.from) {
            return Some(Failed::From(&self.from));
        }
        if !self.to.is_empty() && !self.to.iter().any(|pattern| pattern.matches(call.called)) {
            return Some(Failed::To(&self.to));
        }
        if !self.caller.is_empty() && !self.caller.iter().any(|pattern| pattern.matches(call.caller)) {
            return Some(Failed::Caller(&self.caller));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trunk::{Peer, Transport};

    fn route(name: &str, from: &[&str], to: &[&str], caller: &[&str], connect: Vec<TargetSpec>) -> Route {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        Route {
            name: name.into(),
            from: from.iter().map(|name| name.to_string()).collect(),
            to: patterns(to),
            caller: patterns(caller),
            connect,
            fork: vec!["scribe".into(), "absent".into()],
            on_busy: false,
            ring_timeout: Some(Duration::from_secs(15)),
        }
    }

    fn table() -> Table {
        let mut carrier = Trunk::named("carrier");
        carrier.peers = vec![Peer::at("198.51.100.7".parse().unwrap(), None, Transport::Udp)];
        let mut pbx = Trunk::named("pbx");
        pbx.peers = vec![Peer::at("10.0.0.5".parse().unwrap(), Some(5080), Transport::Tcp)];
        let to_pbx = || TargetSpec::Trunk { name: "pbx".into(), number: Some("100".into()) };
        let uri = TargetSpec::Uri {
            uri: "sip:bob@sbc.example:5070;transport=tcp".into(),
            destination: Destination {
                host: "sbc.example".into(),
                port: Some(5070),
                transport: Transport::Tcp,
                is_fixed: true,
            },
        };
        Table::new(Definition {
            numbers: Numbers::new("US").unwrap(),
            trunks: vec![carrier, pbx],
            agents: vec![Agent::at("desk", "ws://127.0.0.1/"), Agent::at("scribe", "ws://127.0.0.1/")],
            routes: vec![
                route("london", &["carrier"], &["+4420*"], &[], vec![to_pbx(), uri]),
                route("friends", &["carrier"], &[], &["+1*"], vec![to_pbx()]),
                route("emergency", &[], &["911", "112"], &[], vec![TargetSpec::Reject(604)]),
                route("desk", &["carrier"], &["100"], &[], vec![TargetSpec::Agent("desk".into()), to_pbx()]),
                route("out", &["pbx"], &[], &[], vec![TargetSpec::Trunk { name: "carrier".into(), number: None }]),
            ],
        })
    }

    fn planned(table: &Table, from: &str, called: &str, caller: &str) -> Option<String> {
        let plan = table.plan(&CallInfo { from, called, caller }, &mut |_| 0)?;
        Some(plan.route.name.to_string())
    }

    #[test]
    fn the_first_match_wins() {
        let table = table();
        assert_eq!(planned(&table, "carrier", "+442079460018", "+14155551234").as_deref(), Some("london"));
        assert_eq!(planned(&table, "carrier", "+14155550000", "+14155551234").as_deref(), Some("friends"));
        assert_eq!(planned(&table, "carrier", "911", "").as_deref(), Some("emergency"));
        assert_eq!(planned(&table, "pbx", "911", "").as_deref(), Some("emergency"));
        assert_eq!(planned(&table, "pbx", "+442079460018", "").as_deref(), Some("out"));
        assert_eq!(planned(&table, "carrier", "+14155550000", ""), None);
        assert_eq!(planned(&table, "stranger", "+14155550000", "+1"), None);
    }

    #[test]
    fn a_plan_has_the_targets_in_order() {
        let table = table();
        let call = CallInfo { from: "carrier", called: "+442079460018", caller: "" };
        let plan = table.plan(&call, &mut |_| 0).unwrap();
        assert_eq!(plan.ring_timeout, Some(Duration::from_secs(15)));
        let [Target::Trunk { trunk, number, peers }, Target::Uri { destination, .. }] = &plan.targets[..] else {
            panic!("{:?}", plan.targets);
        };
        assert_eq!((trunk.name.as_ref(), number.as_deref()), ("pbx", Some("100")));
        assert_eq!(peers[0].uri, "sip:10.0.0.5:5080;transport=tcp");
        assert_eq!((destination.host.as_str(), destination.port), ("sbc.example", Some(5070)));
        assert_eq!(destination.transport, Transport::Tcp);
    }

    #[test]
    fn agents_are_targets_and_listeners() {
        let table = table();
        let plan = table.plan(&CallInfo { from: "carrier", called: "100", caller: "" }, &mut |_| 0).unwrap();
        let [Target::Agent(desk), Target::Trunk { .. }] = &plan.targets[..] else { panic!("{:?}", plan.targets) };
        assert_eq!(desk.name.as_ref(), "desk");
        let forks: Vec<&str> = plan.forks.iter().map(|agent| agent.name.as_ref()).collect();
        assert_eq!(forks, ["scribe"]);
    }

    #[test]
    fn what_a_route_takes_a_call_by() {
        let route = route("r", &["carrier"], &["100", "+44*"], &["/^[+]1/"], vec![]);
        let call = CallInfo { from: "carrier", called: "+4420", caller: "+1415" };
        assert_eq!(route.because(&call).as_deref(), Some("from carrier, to +44*, caller /^[+]1/"));
        let any = Route { from: vec![], to: vec![], caller: vec![], ..route };
        assert_eq!(any.because(&call), None);
    }

    #[test]
    fn explain_names_the_first_condition_that_failed() {
        let verdicts = table().explain(&CallInfo { from: "carrier", called: "112", caller: "" });
        let expected = [
            ("london", Matched::No("to: 112 is none of +4420*".into())),
            ("friends", Matched::No("caller: an anonymous caller is none of +1*".into())),
            ("emergency", Matched::Yes),
            ("desk", Matched::NotReached),
            ("out", Matched::NotReached),
        ];
        for ((name, matched), verdict) in expected.iter().zip(&verdicts) {
            assert_eq!((verdict.name.as_ref(), &verdict.matched), (*name, matched));
        }
        let verdicts = table().explain(&CallInfo { from: "x", called: "5", caller: "7" });
        assert_eq!(verdicts[0].matched, Matched::No("from: x is none of carrier".into()));
        assert_eq!(verdicts[2].matched, Matched::No("to: 5 is none of 911, 112".into()));
    }

    #[test]
    fn sources_and_names_find_their_trunk() {
        let table = table();
        assert_eq!(table.trunk_of("198.51.100.7:5060".parse().unwrap()).unwrap().name.as_ref(), "carrier");
        assert!(table.trunk_of("198.51.100.8:5060".parse().unwrap()).is_none());
        assert_eq!(table.trunk("pbx").unwrap().name.as_ref(), "pbx");
        assert!(table.trunk("absent").is_none());
    }
}
