//! State of the trunks: calls and limits, health of addresses, and registrations in both directions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use trunkgate_route::{CallTarget, Peer, PerformanceFigures, ReferMode, RoutePlan, Trunk, TrunkRank};
use trunkgate_sip::{Method, OwnHosts, ResponseSpec, SipEndpoint, SipPartyId};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::{PeerView, RegistrationsView, TrunkView, state_word};

use crate::edge::base::{EdgeBase, not_served};
use crate::io::GatewayOutput;
use crate::limits::{ALARM_SECONDS, PROBED_ONE_IN};
use crate::registration::register::Registrations;
use crate::registration::registrar::Registrar;
use crate::trunks::health::HealthTable;
use crate::trunks::quotas::{CallNumbers, CountedCall, Quotas, ReachedQuota};
use crate::trunks::unproven::UnprovenEarly;
use crate::trunks::{Trunks, WaitingAttempt};

/// Sets the endpoint's rules for requests from and to a trunk.
fn set_trunk(endpoint: &mut SipEndpoint, party: SipPartyId, trunk: &Trunk) {
    let of_peers = trunk.peers.iter().flat_map(|peer| peer.addresses().map(IpNet::from));
    let transfers = trunk.refer != ReferMode::Refuse;
    endpoint.set_credentials(party, trunk.auth.clone());
    endpoint.require_credentials(party, trunk.require_auth.clone());
    endpoint.challenge_with(party, &trunk.challenge_with);
    endpoint.compare_digest_uri(party, !trunk.any_digest_uri);
    endpoint.offer_reuse(party, trunk.shows_certificate);
    endpoint.allow_replaces(party, transfers && trunk.siprec.is_none());
    endpoint.allow_refer(party, transfers);
    endpoint.set_recorder(party, trunk.siprec.is_some());
    endpoint.show_hosts(party, trunk.own_hosts.clone());
    endpoint.set_reach(party, trunk.accept_from.iter().copied().chain(of_peers).collect());
}

/// Resets the settings of [`set_trunk`] for a removed trunk, except credentials, which a registration may still need.
fn forget_trunk(endpoint: &mut SipEndpoint, party: SipPartyId) {
    endpoint.require_credentials(party, None);
    endpoint.offer_reuse(party, false);
    endpoint.allow_replaces(party, false);
    endpoint.allow_refer(party, true);
    endpoint.set_recorder(party, false);
    endpoint.show_hosts(party, OwnHosts::default());
}

/// State of all trunks: limits, health, registrations, and bindings of phones.
#[derive(Debug, Default)]
pub(super) struct TrunkStates {
    /// Calls, results and problems of each trunk.
    pub(super) trunks: Trunks,
    /// Use of the trunks' limits for certain called numbers and callers.
    pub(super) quotas: Quotas,
    /// Calls with early media to an unproven address.
    pub(super) unproven_early: UnprovenEarly,
    /// Health of each address.
    pub(super) health: HealthTable,
    /// Registrations of this edge with trunks.
    pub(super) registrations: Registrations,
    /// Phones registered at this edge.
    pub(super) registrar: Registrar,
}

/// Metric labels for the wrong part of credentials: the user name, or the password.
pub(super) const UNKNOWN_USER: &str = "unknown_user";
pub(super) const WRONG_PASSWORD: &str = "wrong_password";

impl TrunkStates {
    /// Applies the table's limits and addresses of each trunk.
    pub(super) fn configure_trunks(&mut self, base: &mut EdgeBase, now: Instant) {
        self.trunks.configure(&base.table);
        self.quotas.configure(&base.table);
        self.count_limits(base);
        self.configure_health(base, now);
        let table = Arc::clone(&base.table);
        for (party, name) in base.parties.all() {
            if table.trunk(&name).is_none() {
                if !self.registrations.needs_credentials(party) {
                    base.endpoint.set_credentials(party, None);
                }
                forget_trunk(&mut base.endpoint, party);
            }
        }
        for trunk in table.trunks() {
            let party = base.party(&trunk.name);
            set_trunk(&mut base.endpoint, party, trunk);
        }
    }

    /// Starts the counters of limits and wrong credentials at zero, so that the first event appears as an increase.
    pub(super) fn count_limits(&mut self, base: &mut EdgeBase) {
        for trunk in base.table.trunks().iter().filter(|trunk| trunk.require_auth.is_some()) {
            for fault in [UNKNOWN_USER, WRONG_PASSWORD] {
                base.metrics.wrong_credentials.entry((trunk.name.clone(), fault)).or_default();
            }
        }
        let trunks = base.table.trunks().iter().map(|trunk| trunk.name.clone()).chain(["".into()]);
        for trunk in trunks {
            for reason in [ReasonSlug::LimitCalls, ReasonSlug::LimitRate, ReasonSlug::LimitEmergency] {
                base.metrics.limits_reached.entry((trunk.clone(), reason.as_str())).or_default();
            }
        }
    }

    /// Records that a setting has refused a call from or to a trunk, and warns at intervals.
    pub(super) fn alarm(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        call: &str,
        trunk: &Arc<str>,
        reason: ReasonSlug,
        what: &str,
    ) {
        let key = (trunk.clone(), reason.as_str());
        *base.metrics.limits_reached.entry(key.clone()).or_default() += 1;
        let again = Duration::from_secs(ALARM_SECONDS);
        let is_due = self.trunks.may_alarm(now, key, again);
        let text = format!("trunk {trunk}: {} ({what})", reason.sentence());
        self.trunks.problem(now, trunk, text.clone());
        if is_due {
            base.warn(call, format!("alarm: {text}"), Some(reason));
        }
    }

    /// Sorts the trunks of a plan that are ordered by answer-seizure ratio. Returns a trace line for each run of such
    /// trunks. `may_probe`: a trunk with a low ratio may be tried first to measure it again.
    pub(super) fn by_ratio(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        plan: &mut RoutePlan,
        may_probe: bool,
    ) -> Vec<String> {
        let mut orders = Vec::new();
        let runs = plan.by_ratio.clone();
        let trunks =
            runs.iter().filter_map(|run| plan.targets.get(run.clone())).flatten().filter_map(CallTarget::trunk);
        let known = |trunk: &Arc<Trunk>| {
            let is_down = self.is_trunk_up(trunk) == Some(false);
            (trunk.name.clone(), RankFigures { figures: self.trunks.figures(now, &trunk.name), is_down })
        };
        let known: BTreeMap<Arc<str>, RankFigures> = trunks.map(known).collect();
        plan.sort(|trunk| known.get(&trunk.name).map(RankFigures::rank));
        for run in runs {
            let Some(run) = plan.targets.get_mut(run) else { continue };
            let probed = may_probe && self.probe(base, now, run, &known);
            let of = |target: &CallTarget| {
                let trunk = target.trunk()?;
                let RankFigures { figures, is_down } = known.get(&trunk.name)?;
                let down = if *is_down { "down, " } else { "" };
                Some(format!("{} ({down}{figures})", trunk.name))
            };
            let order = run.iter().filter_map(of).collect::<Vec<_>>().join(", ");
            let why = if probed { "; tried first to measure it again" } else { "" };
            orders.push(format!("order asr: {order}{why}"));
        }
        orders
    }

    /// Occasionally moves a trunk with a lower answer-seizure ratio to the front, to measure it again. Returns whether
    /// one was moved.
    fn probe(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        run: &mut [CallTarget],
        known: &BTreeMap<Arc<str>, RankFigures>,
    ) -> bool {
        let of = |target: &CallTarget| known.get(&target.trunk()?.name);
        let Some(best) = run.first().and_then(of).map(RankFigures::rank) else { return false };
        let is_worse = |target: &CallTarget| of(target).is_some_and(|known| !known.is_down && known.rank() > best);
        let may = |target: &CallTarget| target.trunk().is_some_and(|trunk| self.trunks.may_probe(now, &trunk.name));
        let worse = run.iter().enumerate().filter(|(_, target)| is_worse(target) && may(target));
        let worse: Vec<usize> = worse.map(|(at, _)| at).collect();
        if worse.is_empty() || base.random.below(PROBED_ONE_IN) != 0 {
            return false;
        }
        let chosen = base.random.below(u32::try_from(worse.len()).unwrap_or(1));
        let chosen = usize::try_from(chosen).ok().and_then(|chosen| worse.get(chosen).copied()).unwrap_or(0);
        if let Some(part) = run.get_mut(..=chosen) {
            part.rotate_right(1);
        }
        if let Some(trunk) = run.first().and_then(CallTarget::trunk) {
            self.trunks.probed(now, &trunk.name);
        }
        true
    }

    /// Returns the trunk that serves an address: by its peers and networks, or by a phone registered from there.
    pub(super) fn owner_of(&self, base: &EdgeBase, remote: SocketAddr) -> Option<Arc<Trunk>> {
        let by_table = base.table.owner_of(remote).cloned();
        by_table.or_else(|| base.table.trunk(&self.registrar.trunk_at(remote)?).cloned())
    }

    /// Returns the 405 response to a method that is not served outside a dialog, and records it as a problem of the
    /// trunk.
    pub(super) fn refuse_method(&mut self, now: Instant, trunk: &str, method: Method) -> ResponseSpec {
        self.trunks.problem(now, trunk, format!("its {} was rejected with 405", method.as_str()));
        not_served(method)
    }

    /// Counts a new call from a trunk.
    ///
    /// # Errors
    /// The limit that refuses the call.
    pub(super) fn begin_trunk_call(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        name: &Arc<str>,
    ) -> Result<(), ReasonSlug> {
        self.trunks.begin(now, name)?;
        *base.metrics.calls_active.entry(name.clone()).or_default() += 1;
        Ok(())
    }

    /// Counts an attempt to call a trunk against the trunk's limits.
    ///
    /// # Errors
    /// The limit that refuses the attempt; [`ReasonSlug::LimitRate`] also while an earlier attempt waits.
    pub(super) fn begin_target_call(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        name: &Arc<str>,
        who: WaitingAttempt,
    ) -> Result<(), ReasonSlug> {
        self.trunks.begin_outbound(now, name, who)?;
        *base.metrics.calls_active.entry(name.clone()).or_default() += 1;
        Ok(())
    }

    /// Counts a call that no limit refuses: an emergency call, or one restored from a snapshot.
    pub(super) fn resume_trunk_call(&mut self, base: &mut EdgeBase, name: &Arc<str>) {
        self.trunks.resume(name);
        *base.metrics.calls_active.entry(name.clone()).or_default() += 1;
    }

    /// Removes an ended call of a trunk from its limits.
    pub(super) fn end_trunk_call(&mut self, base: &mut EdgeBase, name: &Arc<str>) {
        self.trunks.end(name);
        if let Some(active) = base.metrics.calls_active.get_mut(name) {
            *active = active.saturating_sub(1);
        }
    }

    /// Counts a call towards the trunk's limits that match its numbers.
    ///
    /// # Errors
    /// The limit that is reached; the call is then counted towards none.
    pub(super) fn take_quota(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        trunk: &str,
        call: CallNumbers<'_>,
        who: CountedCall,
    ) -> Result<(), ReachedQuota> {
        let at = base.timestamp(now);
        let counts = self.quotas.begin((now, at), trunk, call, who)?;
        base.turn.outputs.extend(counts.into_iter().map(GatewayOutput::Counted));
        Ok(())
    }

    /// Returns the state of a trunk.
    pub(super) fn trunk_view(&self, base: &EdgeBase, now: Instant, trunk: &Trunk) -> TrunkView {
        let peer = |peer: &Peer| PeerView {
            uri: peer.uri.clone(),
            state: state_word(self.health.is_peer_up(&trunk.name, peer)),
            addresses: self
                .health
                .of(&trunk.name)
                .filter(|(_, health)| health.peer == peer.uri)
                .map(|(spot, health)| health.view(now, spot, |at| base.date(at)))
                .collect(),
        };
        let peers = trunk.peers.iter().map(peer).collect();
        let view = self.trunks.view(now, |at| base.date(at), trunk, self.is_trunk_up(trunk), peers);
        let phones = trunk.accept_register.then(|| self.phones_view(base, &trunk.name));
        let announced = base.addressing.announced_to(trunk);
        let registration = self.registration_view(base, now, &trunk.name);
        TrunkView { registrations: RegistrationsView { registration, phones }, announced, ..view }
    }

    /// Notes that a trunk has rejected a call because of congestion (`congested_on`), with the seconds of its
    /// Retry-After: other targets come first for a time.
    pub(super) fn trunk_congested(
        &mut self,
        base: &mut EdgeBase,
        now: Instant,
        trunk: &Trunk,
        code: u16,
        retry_after: Option<u32>,
    ) {
        let Some(pause) = self.trunks.congested(now, &trunk.name, retry_after) else { return };
        let text = format!(
            "trunk {}: too many calls ({code}): calls that have another target skip it for {} s",
            trunk.name,
            pause.as_secs()
        );
        base.warn("", text, Some(ReasonSlug::TrunkCongested));
    }
}

/// Figures that determine the rank of a trunk among those ordered by answer-seizure ratio.
pub(crate) struct RankFigures {
    pub(crate) figures: PerformanceFigures,
    pub(crate) is_down: bool,
}

impl RankFigures {
    pub(crate) fn rank(&self) -> TrunkRank {
        self.figures.rank(self.is_down)
    }
}
