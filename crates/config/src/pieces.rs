//! Checks that number parts used by the targets of a route are captured by its patterns, and that weights have an
//! effect.

use trunkgate_route::captured::{ALWAYS, names};
use trunkgate_route::{Pattern, TargetSpec};

use super::code;
use super::cover::told;
use super::diagnostic::Findings;
use super::draft::{SourceSpan, SpannedRoute};
use super::nearest;

/// Reports number parts in a route's targets that its patterns do not capture, and weights without effect.
pub(super) fn pieces(placed: &SpannedRoute, findings: &mut Findings) {
    for (target, span) in placed.targets() {
        let Some(text) = template(target) else { continue };
        let Some(names) = names(text) else {
            let message = format!("\"{}\": unclosed brace", told(text));
            findings.error(code::BAD_TARGET, span.clone(), message, "use {called}");
            continue;
        };
        for name in names {
            piece(placed, name, span, findings);
        }
    }
    weights(placed, findings);
}

/// Returns the text of a target that may use parts captured by patterns.
pub(super) fn template(target: &TargetSpec) -> Option<&str> {
    if let TargetSpec::Uri { uri, .. } = target {
        return Some(uri);
    }
    if let TargetSpec::Trunk { number, .. } = target { number.as_deref() } else { None }
}

fn piece(placed: &SpannedRoute, name: &str, span: &SourceSpan, findings: &mut Findings) {
    let named = |pattern: &Pattern| pattern.names().any(|known| known == name);
    let by =
        |patterns: &[Pattern]| (patterns.iter().any(named), patterns.iter().find(|pattern| !named(pattern)).cloned());
    if ALWAYS.contains(&name) || placed.is_partial {
        return;
    }
    let route = &placed.route;
    match [("to", by(&route.to)), ("caller", by(&route.caller))].into_iter().find(|(_, (found, _))| *found) {
        Some((_, (_, None))) => {}
        Some((key, (_, Some(other)))) => {
            let message = format!("{{{name}}}: a call that matches {other} of `{key}` has no such group");
            findings.error(code::BAD_TARGET, span.clone(), message, "use a separate route for that pattern");
        }
        None => {
            let named = route.to.iter().chain(&route.caller).flat_map(Pattern::names);
            let all: Vec<&str> = named.chain(ALWAYS).collect();
            let help = match nearest(name, all.into_iter()) {
                Some(near) => format!("did you mean {{{near}}}?"),
                None => format!(
                    "name it in a pattern, as to = ['/^\\+44(?<{name}>\\d+)$/'], or write {{called}} or {{caller}}"
                ),
            };
            findings.error(code::BAD_TARGET, span.clone(), format!("{{{name}}}: no pattern defines this group"), help);
        }
    }
}

/// Warns of a weight without a weighted neighbour, which has no effect.
fn weights(placed: &SpannedRoute, findings: &mut Findings) {
    let weighs = |target: &TargetSpec| matches!(target, TargetSpec::Trunk { weight: Some(_), .. });
    let connect = &placed.route.connect;
    for (at, (target, place)) in connect.iter().zip(&placed.connect).enumerate() {
        let beside = |at: Option<usize>| at.and_then(|at| connect.get(at)).is_some_and(weighs);
        if weighs(target) && !beside(at.checked_sub(1)) && !beside(at.checked_add(1)) {
            let message = "this weight has no effect: neither the target before nor the one after has a weight";
            let help = "weights choose which of adjacent targets is tried first: [\"trunk:a@70\", \"trunk:b@30\"]";
            findings.warning(code::IDLE_PART, Some(place.span.clone()), message, help);
        }
    }
}
