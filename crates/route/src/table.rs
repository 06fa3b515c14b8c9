//! Routing table: an immutable snapshot of the trunks and routes of the configuration.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::acl::{Acl, SourceMatch};
use crate::agent::{Agent, ParameterTemplate};
use crate::app::App;
use crate::headers::HeaderPattern;
use crate::locate::{Destination, same_host};
use crate::mailbox::Mailbox;
use crate::nearest::nearest;
use crate::number::{NumberingPlan, SendNumbers};
use crate::plan::{CallTarget, MatchResult, RoutePlan, RouteVerdict};
use crate::route::{CallInfo, Route, RouteDecision, RouteList, TrunkOrder};
use crate::share::ordered;
use crate::target::TargetSpec;
use crate::trunk::Trunk;

/// Maximum length, in bytes, of a user name for which a similar one is searched.
const COMPARED_BYTES: usize = 40;

/// Input for a routing table; the routes may be compiled already.
#[derive(Debug, Clone)]
pub struct TableDefinition<R = Vec<Route>> {
    /// Numbering plan of the edge's country.
    pub numbers: NumberingPlan,
    /// Trunks, in file order.
    pub trunks: Vec<Trunk>,
    /// Agents, in file order.
    pub agents: Vec<Agent>,
    /// Routes, in file order.
    pub routes: R,
}

/// Immutable routing table: trunks, agents, routes and applications by name and address.
#[derive(Debug, Clone)]
pub struct RoutingTable {
    numbers: NumberingPlan,
    trunks: Vec<Arc<Trunk>>,
    by_name: FxHashMap<Arc<str>, usize>,
    agents: Vec<Arc<Agent>>,
    apps: Vec<Arc<App>>,
    mailboxes: Vec<Arc<App>>,
    /// Numbers of the edge in E.164; every application may use them as caller ID.
    own_numbers: BTreeSet<Box<str>>,
    /// Targets of Voice SDK clients, by identity.
    clients: BTreeMap<Box<str>, Vec<TargetSpec>>,
    /// Headers of the caller's INVITE that agent parameters and routes refer to, without duplicates.
    headers: Vec<String>,
    /// Header patterns that at least one trunk forwards.
    passed: Vec<HeaderPattern>,
    routes: RouteList,
    acl: Acl,
    dialled: Acl,
    /// Positions of the trunks of phones that register, by user name.
    registrants: BTreeMap<String, usize>,
}

impl RoutingTable {
    /// Builds a table. Unknown names have already been rejected by `check`.
    pub fn new<R: Into<RouteList>>(definition: TableDefinition<R>) -> RoutingTable {
        let trunks: Vec<Arc<Trunk>> = definition.trunks.into_iter().map(Arc::new).collect();
        let mut by_name = FxHashMap::default();
        for (position, trunk) in trunks.iter().enumerate() {
            by_name.entry(trunk.name.clone()).or_insert(position);
        }
        let mut registrants = BTreeMap::new();
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
        let routes = definition.routes.into();
        RoutingTable {
            acl: Acl::new(&trunks),
            dialled: Acl::dialled(&trunks),
            numbers: definition.numbers,
            trunks,
            by_name,
            headers: headers_of(&definition.agents, &routes),
            passed,
            agents: definition.agents.into_iter().map(Arc::new).collect(),
            apps: Vec::new(),
            mailboxes: Vec::new(),
            own_numbers: BTreeSet::new(),
            clients: BTreeMap::new(),
            routes,
            registrants,
        }
    }

    /// Replaces the applications by these, in file order.
    #[must_use]
    pub fn with_apps(self, apps: Vec<App>) -> RoutingTable {
        RoutingTable { apps: apps.into_iter().map(Arc::new).collect(), ..self }
    }

    /// Replaces the mailboxes by these, in file order.
    #[must_use]
    pub fn with_mailboxes(self, mailboxes: Vec<Mailbox>) -> RoutingTable {
        RoutingTable {
            mailboxes: mailboxes.into_iter().map(|mailbox| Arc::new(App::mailbox(mailbox))).collect(),
            ..self
        }
    }

    /// Replaces the edge's own numbers by these, which must be normalised.
    #[must_use]
    pub fn with_own_numbers(self, numbers: impl IntoIterator<Item = Box<str>>) -> RoutingTable {
        RoutingTable { own_numbers: numbers.into_iter().collect(), ..self }
    }

    /// Replaces the targets of Voice SDK clients by these, by identity.
    #[must_use]
    pub fn with_clients(self, clients: BTreeMap<Box<str>, Vec<TargetSpec>>) -> RoutingTable {
        RoutingTable { clients, ..self }
    }

    /// Returns the targets of a Voice SDK client, or `None` for an unknown identity.
    pub fn client(&self, identity: &str) -> Option<&[TargetSpec]> {
        self.clients.get(identity).map(Vec::as_slice)
    }

    /// Returns whether a normalised number is one of the edge's own (`with_own_numbers`).
    pub fn is_own_number(&self, number: &str) -> bool {
        self.own_numbers.contains(number)
    }

    /// Returns the trunk with which a user may register, or `None` for an unknown user.
    pub fn registrant(&self, user: &str) -> Option<&Arc<Trunk>> {
        self.trunks.get(*self.registrants.get(user)?)
    }

    /// Returns the user name of a registration that is most similar to `user`; `None` for names of more than 40
    /// bytes.
    pub fn nearest_registrant(&self, user: &str) -> Option<&str> {
        // Unknown sources can trigger this search, so it is bounded; longer names are not typed by hand.
        if user.len() > COMPARED_BYTES { None } else { nearest(user, self.registrants.keys().map(String::as_str)) }
    }

    /// Returns whether any user may register. If not, requests from unknown sources are not examined.
    pub fn takes_registrations(&self) -> bool {
        !self.registrants.is_empty()
    }

    /// Returns the trunk that messages from `source` belong to.
    pub fn trunk_of(&self, source: SocketAddr) -> Option<&Arc<Trunk>> {
        self.trunks.get(self.acl.trunk_of(source)?)
    }

    /// Returns the trunk that messages from `source` belong to, and the kind of entry that matched.
    pub fn known(&self, source: SocketAddr) -> Option<(&Arc<Trunk>, SourceMatch)> {
        let (position, by) = self.acl.known(source)?;
        Some((self.trunks.get(position)?, by))
    }

    /// Returns the trunk with this name.
    pub fn trunk(&self, name: &str) -> Option<&Arc<Trunk>> {
        self.trunks.get(*self.by_name.get(name)?)
    }

    /// Returns the trunk that a request sent to this address would reach.
    pub fn owner_of(&self, remote: SocketAddr) -> Option<&Arc<Trunk>> {
        self.trunks.get(self.dialled.owner_of(remote)?)
    }

    /// Returns the trunk with a peer at exactly this address and port.
    pub fn peer_at(&self, remote: SocketAddr) -> Option<&Arc<Trunk>> {
        self.owner_of(remote).filter(|_| self.dialled.is_peer(remote))
    }

    /// Returns whether an address and port are exactly those of a trunk's peer.
    pub fn is_peer(&self, socket: SocketAddr) -> bool {
        self.acl.is_peer(socket)
    }

    /// Returns the first trunk that has a peer or registrar with this host name or address.
    pub fn trunk_at(&self, host: &str) -> Option<&Arc<Trunk>> {
        let is_its = |trunk: &&Arc<Trunk>| {
            let peers = trunk.peers.iter().map(|peer| &peer.destination);
            let registrar = trunk.register.iter().map(|register| &register.registrar);
            peers.chain(registrar).any(|destination| same_host(&destination.host, host))
        };
        self.trunks.iter().find(is_its)
    }

    /// Returns the trunk that a destination belongs to, as far as this is known without a DNS lookup.
    pub fn trunk_towards(&self, destination: &Destination) -> Option<&Arc<Trunk>> {
        match destination.literal() {
            Some(server) => server.sockets().find_map(|socket| self.owner_of(socket)),
            None => self.trunk_at(&destination.host),
        }
    }

    /// Returns the trunks, in file order.
    pub fn trunks(&self) -> &[Arc<Trunk>] {
        &self.trunks
    }

    /// Returns the agents, in file order.
    pub fn agents(&self) -> &[Arc<Agent>] {
        &self.agents
    }

    /// Returns the agent with this name.
    pub fn agent(&self, name: &str) -> Option<&Arc<Agent>> {
        self.agents.iter().find(|agent| *agent.name == *name)
    }

    /// Returns the applications, in file order.
    pub fn apps(&self) -> &[Arc<App>] {
        &self.apps
    }

    /// Returns the application with this name.
    pub fn app(&self, name: &str) -> Option<&Arc<App>> {
        self.apps.iter().find(|app| *app.name == *name)
    }

    /// Returns the application of the mailbox with this name.
    pub fn mailbox(&self, name: &str) -> Option<&Arc<App>> {
        self.mailboxes.iter().find(|app| app.as_mailbox().is_some_and(|mailbox| *mailbox.name == *name))
    }

    /// Returns the mailboxes, in file order.
    pub fn mailboxes(&self) -> impl Iterator<Item = &Mailbox> {
        self.mailboxes.iter().filter_map(|app| app.as_mailbox())
    }

    /// Returns the headers of the caller's INVITE that agent parameters and routes refer to, without duplicates.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// Returns whether the `pass` list of any trunk contains a header.
    pub fn passes(&self, name: &str) -> bool {
        self.passed.iter().any(|pattern| pattern.matches(name))
    }

    /// Returns the routes, in file order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Returns whether any route takes only a percentage of calls.
    pub fn has_shares(&self) -> bool {
        self.routes.has_shares()
    }

    /// Returns the numbering plan of the edge's country.
    pub fn numbers(&self) -> &NumberingPlan {
        &self.numbers
    }

    /// Returns whether a trunk gets numbers in the national format, which needs [`NumberingPlan::warm_up`].
    pub fn formats_nationally(&self) -> bool {
        self.trunks().iter().any(|trunk| trunk.send_numbers == SendNumbers::National)
    }

    /// Returns the first route that takes the call, with its targets and their peers in order; `None` if no route does.
    /// `pick(total)` returns a random number below `total`, for weights (RFC 2782).
    pub fn plan(&self, call: &CallInfo<'_>, pick: &mut dyn FnMut(u32) -> u32) -> Option<RoutePlan> {
        let (position, route) = self.routes.first(call)?;
        let route = route.for_call(call, position)?;
        let (mut targets, mut by_ratio) = (Vec::with_capacity(route.connect.len()), Vec::new());
        for (part, order) in route.parts() {
            let from = targets.len();
            let part = in_order(part, pick).into_iter().map(|target| route.target_for(target, call));
            let part = part.filter(|target| self.is_dialable(target));
            targets.extend(part.filter_map(|target| self.target(&target, pick)));
            if order == TrunkOrder::AnswerRatio {
                RoutePlan::trunk_ranges(&targets, from, &mut by_ratio);
            }
        }
        let forks = route.fork.iter().filter_map(|name| self.agent(name).cloned()).collect();
        Some(RoutePlan { targets, by_ratio, forks, ring_timeout: route.ring_timeout, route })
    }

    /// Returns whether a target is still valid after its placeholders were replaced by values of the call.
    fn is_dialable(&self, target: &TargetSpec) -> bool {
        match target {
            TargetSpec::Trunk { number: Some(number), .. } => self.numbers.normalise(number, None).is_ok(),
            TargetSpec::Uri { uri, .. } => !uri.split_once(':').is_some_and(|(_, rest)| rest.starts_with('@')),
            TargetSpec::Trunk { .. } | TargetSpec::Agent(_) | TargetSpec::App(_) => true,
            TargetSpec::Play(_) | TargetSpec::Voicemail(_) | TargetSpec::Conference(_) => true,
            TargetSpec::Reject(_) | TargetSpec::RingAll(_) => true,
        }
    }

    /// Resolves one target of a call that bypasses the routes; `None` for an unknown name.
    pub fn target(&self, target: &TargetSpec, pick: &mut dyn FnMut(u32) -> u32) -> Option<CallTarget> {
        Some(match target {
            TargetSpec::Trunk { name, number, .. } => {
                let trunk = self.trunk(name).filter(|trunk| trunk.siprec.is_none())?;
                CallTarget::Trunk { trunk: trunk.clone(), number: number.clone(), peers: trunk.ordered_peers(pick) }
            }
            TargetSpec::Uri { uri, destination, in_call } => {
                let (uri, destination) = (uri.clone(), destination.clone());
                CallTarget::Uri { uri, destination, in_call: *in_call, headers: Vec::new() }
            }
            TargetSpec::Agent(name) => CallTarget::Agent(self.agent(name)?.clone()),
            TargetSpec::App(name) => CallTarget::App(self.app(name)?.clone()),
            TargetSpec::Play(file) => CallTarget::App(Arc::new(App::playing(file))),
            TargetSpec::Voicemail(name) => CallTarget::App(self.mailbox(name)?.clone()),
            TargetSpec::Conference(name) => CallTarget::App(Arc::new(App::conference(name))),
            TargetSpec::Reject(code) => CallTarget::Reject(*code),
            TargetSpec::RingAll(targets) => {
                let rings = |target: &&TargetSpec| matches!(target, TargetSpec::Trunk { .. } | TargetSpec::Uri { .. });
                CallTarget::RingAll(
                    targets.iter().filter(rings).filter_map(|target| self.target(target, pick)).collect(),
                )
            }
        })
    }

    /// Returns whether calls still reach a target if all `missing` ones fail: some route names a missing target, and
    /// every such route also has another target for which `serves` is true.
    pub fn goes_on_without(&self, missing: impl Fn(&TargetSpec) -> bool, serves: impl Fn(&TargetSpec) -> bool) -> bool {
        let mut is_named = false;
        for list in self.target_lists() {
            let each = || list.iter().flat_map(TargetSpec::singles);
            let names_it = each().any(&missing);
            if names_it && !each().any(|target| !missing(target) && serves(target)) {
                return false;
            }
            is_named |= names_it;
        }
        is_named
    }

    /// Returns whether a route, or a line of its file, names a target for which `is_it` is true.
    pub fn names_target(&self, is_it: impl Fn(&TargetSpec) -> bool) -> bool {
        self.target_lists().any(|list| list.iter().flat_map(TargetSpec::singles).any(&is_it))
    }

    fn target_lists(&self) -> impl Iterator<Item = Cow<'_, Vec<TargetSpec>>> {
        self.routes.iter().flat_map(|route| {
            let lines = route.file.iter().flat_map(|file| file.targets());
            lines.map(Cow::Owned).chain([Cow::Borrowed(&route.connect)])
        })
    }

    /// Returns whether a route may try the trunk with this name before all its other targets.
    pub fn is_first(&self, trunk: &str) -> bool {
        let is_it = |target: &TargetSpec| matches!(target, TargetSpec::Trunk { name, .. } if name == trunk);
        self.routes.iter().any(|route| {
            let lines = route.file.iter().flat_map(|file| file.targets());
            let mut lists = lines.map(Cow::Owned).chain([Cow::Borrowed(&route.connect)]);
            lists.any(|list| match route.order == TrunkOrder::Listed && route.by_ratio.is_empty() {
                true => list.first().is_some_and(|first| first.singles().iter().any(is_it)),
                false => list.iter().flat_map(TargetSpec::singles).any(is_it),
            })
        })
    }

    /// Returns the name of the next trunk, agent or application after a trunk, in the first route that has one.
    pub fn fallback_of(&self, trunk: &str) -> Option<&str> {
        let is_it = |target: &TargetSpec| matches!(target, TargetSpec::Trunk { name, .. } if name == trunk);
        self.routes.iter().find_map(|route| {
            let at = route.connect.iter().position(|target| target.singles().iter().any(is_it))?;
            route.connect.get(at + 1..)?.iter().find_map(|target| match target {
                TargetSpec::Trunk { name, .. } if name != trunk => Some(name.as_str()),
                TargetSpec::Agent(name) | TargetSpec::App(name) => Some(name.as_str()),
                TargetSpec::Trunk { .. } | TargetSpec::Uri { .. } | TargetSpec::Play(_) => None,
                TargetSpec::Voicemail(_) | TargetSpec::Conference(_) => None,
                TargetSpec::Reject(_) | TargetSpec::RingAll(_) => None,
            })
        })
    }

    /// Returns the result of matching each route, in order, with the first condition that failed; for `why` and
    /// traces.
    pub fn explain(&self, call: &CallInfo<'_>) -> Vec<RouteVerdict> {
        let mut taken = false;
        let verdict = |(position, route): (usize, &Arc<Route>)| {
            let matched = match route.match_call(call, position) {
                _ if taken => MatchResult::NotReached,
                RouteDecision::Leaves(why) => MatchResult::No(why),
                RouteDecision::Perhaps(share) => MatchResult::Share(share),
                RouteDecision::Takes => {
                    taken = true;
                    MatchResult::Yes
                }
            };
            RouteVerdict { name: route.name.clone(), matched }
        };
        self.routes.iter().enumerate().map(verdict).collect()
    }
}

/// Orders the targets of a route for one call: adjacent targets with weights at random (RFC 2782), others as listed.
fn in_order<'a>(targets: &'a [TargetSpec], pick: &mut dyn FnMut(u32) -> u32) -> Vec<&'a TargetSpec> {
    let weight = |target: &TargetSpec| match target {
        TargetSpec::Trunk { weight, .. } => *weight,
        TargetSpec::Uri { .. } | TargetSpec::Agent(_) | TargetSpec::App(_) => None,
        TargetSpec::Play(_) | TargetSpec::Voicemail(_) | TargetSpec::Conference(_) => None,
        TargetSpec::Reject(_) | TargetSpec::RingAll(_) => None,
    };
    let runs = targets.chunk_by(|one, next| weight(one).is_some() && weight(next).is_some());
    let ordered = |run: &'a [TargetSpec]| match run {
        [_] => run.iter().collect(),
        _ => ordered(run.iter().collect(), |_| (), |target| weight(target).unwrap_or_default(), pick),
    };
    runs.flat_map(ordered).collect()
}

fn headers_of(agents: &[Agent], routes: &[Arc<Route>]) -> Vec<String> {
    let templates = agents.iter().flat_map(|agent| &agent.parameters).map(|(_, template)| template);
    let conditions = routes.iter().flat_map(|route| &route.header).map(|condition| condition.name.as_str());
    let names = templates.flat_map(ParameterTemplate::headers).chain(conditions);
    let names: BTreeSet<String> = names.map(str::to_ascii_lowercase).collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pattern::Pattern;
    use crate::trunk::Peer;
    use trunkgate_terms::Transport;

    fn route(name: &str, from: &[&str], to: &[&str], caller: &[&str], connect: Vec<TargetSpec>) -> Route {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        Route {
            from: from.iter().map(|name| name.to_string()).collect(),
            to: patterns(to),
            caller: patterns(caller),
            fork: vec!["scribe".into(), "absent".into()],
            ring_timeout: Some(Duration::from_secs(15)),
            ..Route::named(name, connect)
        }
    }

    fn table() -> RoutingTable {
        let mut carrier = Trunk::named("carrier");
        carrier.peers = vec![Peer::at("198.51.100.7".parse().unwrap(), None, Transport::Udp)];
        let mut pbx = Trunk::named("pbx");
        pbx.peers = vec![Peer::at("10.0.0.5".parse().unwrap(), Some(5080), Transport::Tcp)];
        let to_pbx = || TargetSpec::Trunk { name: "pbx".into(), number: Some("100".into()), weight: None };
        let uri = TargetSpec::Uri {
            in_call: false,
            uri: "sip:bob@sbc.example:5070;transport=tcp".into(),
            destination: Destination {
                host: "sbc.example".into(),
                port: Some(5070),
                transport: Transport::Tcp,
                is_fixed: true,
            },
        };
        RoutingTable::new(TableDefinition {
            numbers: NumberingPlan::new("US").unwrap(),
            trunks: vec![carrier, pbx],
            agents: vec![Agent::at("desk", "ws://127.0.0.1/"), Agent::at("scribe", "ws://127.0.0.1/")],
            routes: vec![
                route("london", &["carrier"], &["+4420*"], &[], vec![to_pbx(), uri]),
                route("friends", &["carrier"], &[], &["+1*"], vec![to_pbx()]),
                route("emergency", &[], &["911", "112"], &[], vec![TargetSpec::Reject(604)]),
                route("desk", &["carrier"], &["100"], &[], vec![TargetSpec::Agent("desk".into()), to_pbx()]),
                route(
                    "out",
                    &["pbx"],
                    &[],
                    &[],
                    vec![TargetSpec::Trunk { name: "carrier".into(), number: None, weight: None }],
                ),
            ],
        })
    }

    fn planned(table: &RoutingTable, from: &str, called: &str, caller: &str) -> Option<String> {
        let plan = table.plan(&CallInfo { from, called, caller, ..CallInfo::default() }, &mut |_| 0)?;
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
        let call = CallInfo { from: "carrier", called: "+442079460018", caller: "", ..CallInfo::default() };
        let plan = table.plan(&call, &mut |_| 0).unwrap();
        assert_eq!(plan.ring_timeout, Some(Duration::from_secs(15)));
        let [CallTarget::Trunk { trunk, number, peers }, CallTarget::Uri { destination, .. }] = &plan.targets[..]
        else {
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
        let plan = table
            .plan(&CallInfo { from: "carrier", called: "100", caller: "", ..CallInfo::default() }, &mut |_| 0)
            .unwrap();
        let [CallTarget::Agent(desk), CallTarget::Trunk { .. }] = &plan.targets[..] else {
            panic!("{:?}", plan.targets)
        };
        assert_eq!(desk.name.as_ref(), "desk");
        let forks: Vec<&str> = plan.forks.iter().map(|agent| agent.name.as_ref()).collect();
        assert_eq!(forks, ["scribe"]);
    }

    #[test]
    fn what_a_route_takes_a_call_by() {
        let route = route("r", &["carrier"], &["100", "+44*"], &["/^[+]1/"], vec![]);
        let call = CallInfo { from: "carrier", called: "+4420", caller: "+1415", ..CallInfo::default() };
        assert_eq!(route.matched_conditions(&call).as_deref(), Some("from carrier, to +44*, caller /^[+]1/"));
        let any = Route { from: vec![], to: vec![], caller: vec![], ..route };
        assert_eq!(any.matched_conditions(&call), None);
    }

    #[test]
    fn trunks_side_by_side_go_by_their_ratio_and_the_others_keep_their_places() {
        let trunks: Vec<Trunk> = ["a", "b", "c", "d"].map(Trunk::named).into();
        let to = |name: &str| TargetSpec::Trunk { name: name.into(), number: None, weight: None };
        let connect = vec![
            to("a"),
            to("b"),
            TargetSpec::Agent("desk".into()),
            to("gone"),
            to("c"),
            to("d"),
            TargetSpec::Reject(480),
        ];
        let order = |route: Route| {
            let (numbers, agents) = (NumberingPlan::new("US").unwrap(), vec![Agent::at("desk", "ws://127.0.0.1/")]);
            let table =
                RoutingTable::new(TableDefinition { numbers, trunks: trunks.clone(), agents, routes: vec![route] });
            let mut plan = table.plan(&CallInfo::default(), &mut |_| 0).unwrap();
            // Names later in the alphabet rank higher.
            plan.sort(|trunk| std::cmp::Reverse(trunk.name.clone()));
            let name = |target: &CallTarget| target.trunk().map_or("-".to_owned(), |trunk| trunk.name.to_string());
            plan.targets.iter().map(name).collect::<String>()
        };
        let listed = Route::named("r", connect);
        assert_eq!(order(listed.clone()), "ab-cd-");
        assert_eq!(order(Route { order: TrunkOrder::AnswerRatio, ..listed.clone() }), "ba-dc-");
        // Only the trunks of the groups; a group that extends beyond the last target ends with it.
        let grouped = |from, to| Route { by_ratio: std::iter::once(from..to).collect(), ..listed.clone() };
        assert_eq!(order(grouped(4, 6)), "ab-dc-");
        assert_eq!(order(Route { by_ratio: vec![0..2, 4..99], ..listed.clone() }), "ba-dc-");
        assert_eq!(order(grouped(1, 3)), "ab-cd-");
    }

    #[test]
    fn explain_names_the_first_condition_that_failed() {
        let verdicts = table().explain(&CallInfo { from: "carrier", called: "112", caller: "", ..CallInfo::default() });
        let expected = [
            ("london", MatchResult::No("to: 112 matches none of +4420*".into())),
            ("friends", MatchResult::No("caller: an anonymous caller matches none of +1*".into())),
            ("emergency", MatchResult::Yes),
            ("desk", MatchResult::NotReached),
            ("out", MatchResult::NotReached),
        ];
        for ((name, matched), verdict) in expected.iter().zip(&verdicts) {
            assert_eq!((verdict.name.as_ref(), &verdict.matched), (*name, matched));
        }
        let verdicts = table().explain(&CallInfo { from: "x", called: "5", caller: "7", ..CallInfo::default() });
        assert_eq!(verdicts[0].matched, MatchResult::No("from: x matches none of carrier".into()));
        assert_eq!(verdicts[2].matched, MatchResult::No("to: 5 matches none of 911, 112".into()));
    }

    #[test]
    fn sources_and_names_find_their_trunk() {
        let table = table();
        assert_eq!(table.trunk_of("198.51.100.7:5060".parse().unwrap()).unwrap().name.as_ref(), "carrier");
        assert!(table.trunk_of("198.51.100.8:5060".parse().unwrap()).is_none());
        assert_eq!(table.trunk("pbx").unwrap().name.as_ref(), "pbx");
        assert!(table.trunk("absent").is_none());
    }

    #[test]
    fn those_with_weights_take_turns_by_chance_and_stay_each_other_s_fallback() {
        let target = |name: &str, weight| TargetSpec::Trunk { name: name.into(), number: None, weight };
        let connect = [target("a", Some(70)), target("b", Some(30)), target("c", None), target("d", Some(1))];
        let mut state = 7_u32;
        let mut pick = |total: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % total
        };
        let mut first = 0;
        for _ in 0..10_000 {
            let order = in_order(&connect, &mut pick);
            first += u32::from(*order[0] == connect[0]);
            let swapped = *order[0] == connect[1] && *order[1] == connect[0];
            assert!(swapped || (*order[0] == connect[0] && *order[1] == connect[1]), "{order:?}");
            assert_eq!(order[2..], [&connect[2], &connect[3]]);
        }
        assert!((6_700..7_300).contains(&first), "{first}");
    }

    #[test]
    fn calls_go_on_without_a_target_where_each_route_has_another_that_serves() {
        let agent = |name: &str| TargetSpec::Agent(name.to_owned());
        let trunk = |name: &str| TargetSpec::Trunk { name: name.to_owned(), number: None, weight: None };
        let table = |lists: Vec<Vec<TargetSpec>>| {
            let routes: Vec<Route> = lists.into_iter().map(|connect| Route::named("r", connect)).collect();
            RoutingTable::new(TableDefinition {
                numbers: NumberingPlan::default(),
                trunks: vec![],
                agents: vec![],
                routes,
            })
        };
        let bot = |target: &TargetSpec| *target == agent("bot");
        let serves = |target: &TargetSpec| *target == trunk("pbx");
        for (lists, expected) in [
            (vec![vec![agent("bot"), trunk("pbx")]], true),
            (vec![vec![agent("bot"), TargetSpec::RingAll(vec![trunk("pstn"), trunk("pbx")])]], true),
            (vec![vec![agent("bot"), trunk("pstn")]], false),
            (vec![vec![agent("bot"), TargetSpec::Reject(503)]], false),
            (vec![vec![agent("bot"), trunk("pbx")], vec![agent("bot")]], false),
            (vec![vec![trunk("pbx")]], false),
        ] {
            assert_eq!(table(lists.clone()).goes_on_without(bot, serves), expected, "{lists:?}");
        }
    }
}
