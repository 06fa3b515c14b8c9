//! `emergency` of `[edge]`: whether routes cover emergency numbers, and which trunks have phones.

use std::net::IpAddr;

use trunkgate_route::emergency::DIGITS;
use trunkgate_route::{Peer, Trunk};

use super::code;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SpannedRoute, SpannedTrunk};
use super::preset::{self, PresetKind};
use super::values::KeyReader;

/// Reads the emergency numbers that replace those of the country.
pub(super) fn read(reader: &mut KeyReader<'_>) -> Option<Vec<String>> {
    reader.items(|reader| {
        let text = reader.string()?;
        if DIGITS.contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit()) {
            return Some(text);
        }
        let help = format!("use {} to {} digits, as dialled", DIGITS.start(), DIGITS.end());
        reader.reject(code::BAD_VALUE, format!(": \"{text}\" is not an emergency number"), help)
    })
}

/// Warns of trunks with phones for which no route accepts an emergency call.
pub(super) fn judge(draft: &ConfigDraft, findings: &mut Findings) {
    let numbers = draft.edge.numbers.emergency();
    for placed in draft.trunks.iter().filter(|placed| has_phones(placed) && !numbers.is_empty()) {
        let takes = |number: &String| draft.routes.iter().any(|route| may_take(route, &placed.trunk, number));
        if draft.routes.is_empty() || numbers.iter().any(takes) {
            continue;
        }
        let (name, list) = (&placed.trunk.name, numbers.join(", "));
        let message = format!("trunk {name}: no route matches emergency calls ({list})");
        let quoted: Vec<String> = numbers.iter().map(|number| format!("\"{number}\"")).collect();
        let help =
            format!("add a first [[route]] with to = [{}] to a trunk that accepts emergency calls", quoted.join(", "));
        findings.warning(code::EMERGENCY, Some(placed.name.clone()), message, help);
    }
}

/// Returns whether a preset describes a PBX.
pub(super) fn is_of_phones(preset: &str) -> bool {
    preset::find(preset).is_some_and(|preset| preset.side == PresetKind::Pbx)
}

/// Returns whether a trunk is a PBX: by its preset, else by the private addresses of all its peers.
pub(super) fn is_pbx(placed: &SpannedTrunk) -> bool {
    let is_private = |peer: &Peer| match peer.destination.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => v4.is_private(),
        Ok(IpAddr::V6(v6)) => v6.is_unique_local(),
        Err(_) => false,
    };
    let peers = &placed.trunk.peers;
    match &placed.preset {
        Some((preset, _)) => is_of_phones(preset),
        None => !peers.is_empty() && peers.iter().all(is_private),
    }
}

fn has_phones(placed: &SpannedTrunk) -> bool {
    let is_pbx = placed.preset.as_ref().is_some_and(|(preset, _)| is_of_phones(preset));
    is_pbx || placed.trunk.accept_register
}

/// Returns whether a route may match a call from this trunk to this number; true for a route that could not be read.
fn may_take(placed: &SpannedRoute, from: &Trunk, number: &str) -> bool {
    let route = &placed.route;
    let is_from = route.from.is_empty() || route.from.iter().any(|name| **name == *from.name);
    placed.is_partial || (is_from && (route.to.is_empty() || route.to.iter().any(|to| to.matches(number))))
}
