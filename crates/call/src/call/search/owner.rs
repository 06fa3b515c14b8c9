//! Bare URIs: whose rules hold for a target that is no trunk by its name. A URI leads to an address, and an address may be a
//! trunk's: each one that is about to be dialled is judged, after its name has been looked up, so that no name and no spelling
//! is a way round a trunk's rules. Addresses of the edge itself and of its link are reached by nothing that was named in
//! mid-call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::Branch;
use trunkgate_route::{Number, Numbers, Table, Trunk};
use trunkgate_sip::Uri;
use trunkgate_sip::uri::unescape;
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::search::answer::Failure;
use crate::call::search::attempt::{Attempt, Way};

/// What becomes of a way that is about to be dialled.
pub(crate) enum Judged {
    /// It is dialled.
    Goes,
    /// Another trunk's rules hold: its limits are asked first.
    Changes,
}

impl Call {
    /// Returns the trunk whose rules hold for a bare URI before its name is looked up.
    pub(crate) fn owner_by_name(&self, edge: &Edge, attempt: &Attempt) -> Option<Arc<Trunk>> {
        let destination = attempt.bare_destination()?;
        match destination.literal() {
            Some(server) => server.sockets().find_map(|socket| edge.owner_of(socket)),
            None => edge.table.trunk_at(&destination.host).cloned(),
        }
    }

    /// Judges an address that is about to be dialled for a bare URI, where the rules of the trunk that owns it hold, or for a
    /// redirection, which does not lead to a peer of another trunk.
    ///
    /// # Errors
    /// Why it is not dialled.
    pub(crate) fn judge_way(
        &mut self,
        now: Instant,
        edge: &mut Edge,
        branch: Branch,
        way: &Way,
    ) -> Result<Judged, Failure> {
        let (Some(attempt), Some(remote)) = (self.attempt(branch), way.address) else { return Ok(Judged::Goes) };
        let Some(uri) = &attempt.uri else { return Ok(Judged::Goes) };
        if let Some(trunk) = &attempt.trunk {
            // A redirection: its name may lead to another port of an address that two trunks share.
            let Some(other) = edge.table.peer_at(remote).filter(|other| other.name != trunk.name) else {
                return Ok(Judged::Goes);
            };
            let is_own = trunk.peers.iter().any(|peer| peer.sockets().any(|own| own == remote));
            if is_own {
                return Ok(Judged::Goes);
            }
            let (name, other) = (edge.shown_name(uri), other.name.clone());
            let text = format!(
                "{name} leads to {remote}, a peer of trunk {other}: not followed by the rules of {}",
                trunk.name
            );
            return Err(self.refuse_way(now, edge, &text));
        }
        if attempt.in_call && edge.is_forbidden(remote) {
            let name = edge.shown_name(attempt.name());
            let text = format!("{name} leads to {remote}, where no transfer may lead: it is not called");
            return Err(self.refuse_way(now, edge, &text));
        }
        let owner = edge.owner_of(remote).or_else(|| self.owner_by_name(edge, attempt));
        let name = |trunk: &Option<Arc<Trunk>>| trunk.as_ref().map(|trunk| trunk.name.clone());
        if name(&owner) == name(&attempt.governs) {
            return Ok(Judged::Goes);
        }
        if let Some(trunk) = &owner {
            let text = format!("{} leads to the trunk {}: its rules hold", attempt.name(), trunk.name);
            edge.decide(now, self.key, text);
        }
        self.change_owner(edge, branch, owner);
        let Some(attempt) = self.attempt(branch) else { return Err(Failure::unreached(ReasonSlug::Internal)) };
        let allowed = self.may_be_called(now, edge, attempt).and_then(|()| self.may_introduce(now, edge, attempt));
        if allowed.is_err() {
            // The next address may be the same trunk's: it is judged like this one.
            self.change_owner(edge, branch, None);
        }
        allowed.map(|()| Judged::Changes)
    }

    fn refuse_way(&self, now: Instant, edge: &mut Edge, text: &str) -> Failure {
        edge.decide(now, self.key, text.to_owned());
        let sid = self.legs.sid().to_owned();
        edge.warn(&sid, text.to_owned(), Some(ReasonSlug::ForbiddenAddress));
        Failure::with_code(403, ReasonSlug::ForbiddenAddress).told()
    }

    /// Gives the place at the trunk before back: the call counts with the next one.
    fn change_owner(&mut self, edge: &mut Edge, branch: Branch, owner: Option<Arc<Trunk>>) {
        if let Some(attempt) = self.search.attempts.get(branch) {
            self.leave_trunk_place(edge, branch, attempt);
        }
        if let Some(attempt) = self.search.attempts.get_mut(branch) {
            attempt.is_counted = false;
            attempt.governs = owner;
        }
    }
}

/// Returns the number that a bare URI names, which leaves with all that stands in its user part: a far end may read another
/// number out of a `phone-context` that is repeated, escaped, or stands behind an emergency number.
pub(crate) fn number_of_uri(uri: &str, numbers: &Numbers) -> Option<Number> {
    let uri = Uri::parse(uri.as_bytes())?;
    let mut number = numbers.normalise_caller(&uri.user_unescaped(), uri.user_param("phone-context"));
    if uri.user.contains(';') {
        // What the far end makes of its parameters is judged with it.
        number.received = unescape(uri.user);
    }
    Some(number)
}

/// Returns the trunk that a bare URI leads to, as far as its host tells, and the number that it names.
pub fn trunk_of_uri<'a>(uri: &str, table: &'a Table) -> (Option<&'a Arc<Trunk>>, Option<Number>) {
    let Some(read) = Uri::parse(uri.as_bytes()) else { return (None, None) };
    let trunk = match read.host.ip() {
        Some(ip) => table.owner_of(SocketAddr::new(ip, read.host.port.unwrap_or(0))),
        None => table.trunk_at(read.host.host),
    };
    (trunk, number_of_uri(uri, table.numbers()))
}
