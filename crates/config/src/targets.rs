//! `connect` of a route, and `[group.NAME]`: targets shared by routes.

use trunkgate_call::is_conference_sid;
use trunkgate_call::limits::RING_ALL_TARGETS;
use trunkgate_conference::limits::NAME_CHARS;
use trunkgate_route::captured::filled;
use trunkgate_route::{NumberingPlan, TargetSpec, TrunkOrder};

use super::code;
use super::cover::told;
use super::diagnostic::Findings;
use super::draft::{SourceSpan, TargetSpan};
use super::keys::{self, ReadScope};
use super::nearest;
use super::section::{NamedSection, Section};
use super::trunks::{SipAddress, sip_uri};
use super::values::KeyReader;

/// Prefixes of target texts.
const KINDS: [&str; 9] = ["trunk", "agent", "app", "play", "voicemail", "conference", "group", "sip", "reject"];

/// Target with its position.
pub(super) type SpannedTarget = (TargetSpec, TargetSpan);

/// All `[group.NAME]` with their targets.
#[derive(Debug, Default)]
pub(super) struct TargetGroups {
    all: Vec<TargetGroup>,
}

#[derive(Debug)]
struct TargetGroup {
    name: String,
    /// Position of the group's header in the file.
    span: SourceSpan,
    targets: Vec<SpannedTarget>,
    order: TrunkOrder,
    used: std::cell::Cell<bool>,
}

impl TargetGroups {
    /// Reads `[group]`.
    pub(super) fn read(root: &Section<'_>, findings: &mut Findings) -> TargetGroups {
        let mut all = Vec::new();
        for NamedSection { name, span, section } in root.named_tables("group", keys::GROUP, findings) {
            if findings.has_error_at(&span) {
                // The name is invalid.
                continue;
            }
            if section.get("connect").is_none() && !section.misspells(&["connect"], keys::GROUP) {
                let message = format!("group {name} has no `connect`");
                findings.error(code::MISSING, span.clone(), message, "add connect = [\"trunk:NAME\"]");
            }
            let targets = section.read("connect", findings, |reader| Some(connect(reader))).unwrap_or_default();
            let order = section.read("order", findings, order).unwrap_or_default();
            if let Some(span) = section.span_of("order").filter(|_| order == TrunkOrder::AnswerRatio) {
                order_decides(targets.iter().map(|(target, _)| target), span, findings);
            }
            let used = std::cell::Cell::new(false);
            all.push(TargetGroup { name: name.to_owned(), span, targets, order, used });
        }
        TargetGroups { all }
    }

    /// Warns of groups that no route uses.
    pub(super) fn judge(&self, findings: &mut Findings) {
        for group in self.all.iter().filter(|group| !group.used.get()) {
            let message = format!("no route uses group {}", group.name);
            let help = format!("add \"group:{}\" to `connect` of a route", group.name);
            findings.warning(code::IDLE_PART, Some(group.span.clone()), message, help);
        }
    }

    /// Returns whether a group used by a route has a target for which `is_it` is true.
    pub(super) fn has(&self, is_it: impl Fn(&TargetSpec) -> bool) -> bool {
        self.all.iter().filter(|group| group.used.get()).any(|group| group.targets.iter().any(|(one, _)| is_it(one)))
    }

    fn targets(&self, name: &str, span: SourceSpan, findings: &mut Findings) -> Vec<SpannedTarget> {
        if let Some(group) = self.all.iter().find(|group| group.name == name) {
            group.used.set(true);
            let mut targets = group.targets.clone();
            if group.order == TrunkOrder::AnswerRatio {
                targets.iter_mut().for_each(|(_, place)| place.by_ratio = Some(span.start));
            }
            return targets;
        }
        let help = match nearest(name, self.all.iter().map(|group| group.name.as_str())) {
            Some(near) => format!("did you mean \"group:{near}\"?"),
            None => format!("add [group.{name}] with its `connect`"),
        };
        findings.error(code::BAD_TARGET, span, format!("unknown group: {name}"), help);
        Vec::new()
    }
}

/// Reads `order` of a route or group.
pub(super) fn order(reader: &mut KeyReader<'_>) -> Option<TrunkOrder> {
    reader.one_of(&[("listed", TrunkOrder::Listed), ("asr", TrunkOrder::AnswerRatio)])
}

/// Warns of an order by answer ratio without two adjacent trunks.
pub(super) fn order_decides<'a>(
    targets: impl Iterator<Item = &'a TargetSpec>,
    span: SourceSpan,
    findings: &mut Findings,
) {
    let are_trunks: Vec<bool> = targets.map(|target| matches!(target, TargetSpec::Trunk { .. })).collect();
    if !are_trunks.windows(2).any(|pair| pair == [true, true]) {
        let message = "`order = \"asr\"` has no effect: no two trunks are adjacent";
        let help = "add another trunk next to the first ([\"trunk:a\", \"trunk:b\"]), or remove it";
        findings.warning(code::IDLE_PART, Some(span), message, help);
    }
}

/// Reads `connect`; a group is replaced by its targets.
pub(super) fn connect(reader: &mut KeyReader<'_>) -> Vec<SpannedTarget> {
    if reader.is_empty_list() {
        reader.error(code::MISSING, "is empty", "add a target: \"trunk:NAME\"");
    }
    reader.items(targets).unwrap_or_default().into_iter().flatten().collect()
}

/// Reads a target, or the targets of a group.
fn targets(reader: &mut KeyReader<'_>) -> Option<Vec<SpannedTarget>> {
    let span = reader.span();
    if reader.value.get_ref().is_table() {
        let (target, members) = ring_all(reader)?;
        return Some(vec![(target, TargetSpan { span, members, by_ratio: None })]);
    }
    let text = reader.string()?;
    match (text.strip_prefix("group:"), reader.scope.groups) {
        (Some(name), Some(groups)) => return Some(groups.targets(name, span, reader.findings)),
        (Some(_), None) => {
            let message = format!("\"{text}\": groups cannot be nested");
            reader.findings.error(code::BAD_TARGET, span, message, "list its targets here");
            return None;
        }
        (None, _) => {}
    }
    let place = TargetSpan { span: span.clone(), members: Vec::new(), by_ratio: None };
    Some(vec![(target(&text, span, reader.scope, reader.findings)?, place)])
}

fn target(text: &str, span: SourceSpan, scope: ReadScope<'_>, findings: &mut Findings) -> Option<TargetSpec> {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    match kind {
        "trunk" => trunk_target(text, rest, span, &scope.edge.numbers, findings),
        "sip" | "sips" => {
            // Captured digits are allowed in the user part only: the caller must not choose the destination host.
            let (user, host) = text.split_once('@').unwrap_or(("", text));
            let plain =
                if user.is_empty() { text.to_owned() } else { format!("{}@{host}", filled(user, |_| "0".to_owned())) };
            let SipAddress { destination, .. } = sip_uri(&plain, "a target", span, findings)?;
            Some(TargetSpec::Uri { uri: text.to_owned(), destination, in_call: false })
        }
        "agent" | "app" | "voicemail" if rest.is_empty() => {
            let what = match kind {
                "agent" => "an agent",
                "app" => "an app",
                _ => "a mailbox",
            };
            findings.error(code::BAD_TARGET, span, format!("\"{text}\" is not {what}"), format!("{kind}:NAME"));
            None
        }
        "agent" => Some(TargetSpec::Agent(rest.to_owned())),
        "app" => Some(TargetSpec::App(rest.to_owned())),
        // An unplayable sound keeps its position in the list.
        "play" => {
            scope.sounds.judge((&format!("\"{text}\""), rest), span, findings);
            Some(TargetSpec::Play(rest.to_owned()))
        }
        "voicemail" => Some(TargetSpec::Voicemail(rest.to_owned())),
        "conference" => {
            let name = rest.trim();
            let fits = !name.is_empty()
                && rest.chars().count() <= NAME_CHARS
                && !rest.contains(char::is_control)
                && !is_conference_sid(name);
            if !fits {
                let message = format!("\"{}\" is not a conference", told(text));
                let help = format!("conference:NAME with {NAME_CHARS} characters at most; a SID is not a valid name");
                findings.error(code::BAD_TARGET, span, message, help);
            }
            fits.then(|| TargetSpec::Conference(name.to_owned()))
        }
        "reject" => {
            let code = rest.parse::<u16>().ok().filter(|code| (300..=699).contains(code));
            if code.is_none() {
                let message = format!("\"{text}\" is not a valid rejection");
                findings.error(code::BAD_TARGET, span, message, "use reject:CODE with a code from 300 to 699");
            }
            code.map(TargetSpec::Reject)
        }
        _ => {
            let message = format!("\"{}\" is not a target", told(text));
            findings.error(code::BAD_TARGET, span, message, meant(text, kind, rest));
            None
        }
    }
}

/// Suggests a target for an invalid text.
fn meant(text: &str, kind: &str, rest: &str) -> String {
    match nearest(kind, KINDS.into_iter()) {
        Some(known) if !rest.is_empty() => told(&format!("did you mean \"{known}:{rest}\"?")),
        // The most frequent mistake is a name without its prefix.
        _ if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) => {
            format!("did you mean \"trunk:{text}\" or \"agent:{text}\"?")
        }
        _ => "trunk:NAME, trunk:NAME/NUMBER, agent:NAME, app:NAME, play:FILE, voicemail:NAME, conference:NAME, group:NAME, sip:URI, reject:CODE or \
              { ring_all = [...] }"
            .to_owned(),
    }
}

/// Reads `{ ring_all = [...] }`, with the position of each target.
fn ring_all(reader: &mut KeyReader<'_>) -> Option<(TargetSpec, Vec<SourceSpan>)> {
    let section = Section::open("a target", reader.value, keys::RING_ALL, reader.scope, reader.findings)?;
    if section.get("ring_all").is_none() {
        let help = "{ ring_all = [\"trunk:a\", \"trunk:b\"] }";
        reader.findings.error(code::BAD_TARGET, reader.value.span(), "this table is not a target", help);
    }
    section.read("ring_all", reader.findings, |reader| {
        if !reader.value.get_ref().is_array() {
            return reader.wrong_type("a list of targets");
        }
        if reader.is_empty_list() {
            reader.error(code::MISSING, "is empty", "list the targets: [\"trunk:a\", \"trunk:b\"]");
        }
        if reader.written_items() > RING_ALL_TARGETS {
            reader.error(code::BAD_VALUE, ": too many targets at once", format!("{RING_ALL_TARGETS} at most"));
        }
        let (mut targets, mut spans) = (Vec::new(), Vec::new());
        for (target, span) in reader.list(rings)? {
            if targets.contains(&target) {
                reader.error_at(code::BAD_TARGET, span, "contains a duplicate target", "list each target once");
                continue;
            }
            targets.push(target);
            spans.push(span);
        }
        Some((TargetSpec::RingAll(targets), spans))
    })
}

/// Reads one target of `ring_all`.
fn rings(reader: &mut KeyReader<'_>) -> Option<TargetSpec> {
    if reader.value.get_ref().is_table() || reader.value.get_ref().is_array() {
        let help = "use one list of all targets that ring simultaneously";
        return reader.reject(code::BAD_TARGET, "cannot be nested", help);
    }
    let text = reader.string()?;
    let help = match target(&text, reader.span(), reader.scope, reader.findings)? {
        TargetSpec::Trunk { weight: Some(_), .. } => "remove the weight: `ring_all` calls all targets at once",
        TargetSpec::Agent(_) => "an agent answers immediately: list it before or after the table",
        TargetSpec::App(_) => "an app answers immediately: list it before or after the table",
        TargetSpec::Voicemail(_) => "a mailbox answers immediately: list it after the table",
        TargetSpec::Conference(_) => "a conference answers immediately: list it after the table",
        TargetSpec::Play(_) | TargetSpec::Reject(_) => "list it after the table",
        rings @ (TargetSpec::Trunk { .. } | TargetSpec::Uri { .. } | TargetSpec::RingAll(_)) => return Some(rings),
    };
    reader.reject(code::BAD_TARGET, format!(": \"{}\" is not allowed", told(&text)), help)
}

fn trunk_target(
    text: &str,
    rest: &str,
    span: SourceSpan,
    numbers: &NumberingPlan,
    findings: &mut Findings,
) -> Option<TargetSpec> {
    let (rest, weight) = match rest.rsplit_once('@') {
        None => (rest, None),
        Some((rest, written)) => {
            let Ok(weight) = written.parse::<u16>() else {
                let message = format!("\"{text}\": \"{written}\" is not a weight");
                findings.error(
                    code::BAD_TARGET,
                    span,
                    message,
                    "use trunk:NAME@70 or trunk:NAME/NUMBER@70, from 0 to 65535",
                );
                return None;
            };
            (rest, Some(weight))
        }
    };
    let (name, number) = match rest.split_once('/') {
        Some((name, number)) => (name, Some(number)),
        None => (rest, None),
    };
    if name.is_empty() {
        findings.error(code::BAD_TARGET, span, format!("\"{text}\" is not a trunk"), "trunk:NAME");
        return None;
    }
    // The text contains a second target after some separator.
    if number.is_some_and(|number| number.contains([',', ';', ':'])) {
        let message = format!("\"{text}\": a number cannot contain `,`, `;` or `:`");
        let help = "list each target separately: connect = [\"trunk:a/1007\", \"agent:b\"]; in a CSV file a space between them";
        findings.error(code::BAD_TARGET, span, message, help);
        return None;
    }
    // Captured digits are replaced by 0 for this check.
    if number.is_some_and(|number| numbers.normalise(&filled(number, |_| "0".to_owned()), None).is_err()) {
        let message = format!("\"{text}\": not a callable number");
        findings.error(code::BAD_TARGET, span, message, "use trunk:NAME/+14155551234");
        return None;
    }
    Some(TargetSpec::Trunk { name: name.to_owned(), number: number.map(str::to_owned), weight })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn a_conference_as_a_target_has_a_name_that_is_no_sid() {
        for (name, fits) in [
            ("board", true),
            (" board ", true),
            ("CF0123456789", true),
            ("", false),
            (" ", false),
            ("CF0123456789abcdef0123456789abcdef", false),
            (&"n".repeat(NAME_CHARS + 1), false),
        ] {
            let lines = format!("[trunk.a]\npeers = ['sip:192.0.2.9']\n[[route]]\nconnect = ['conference:{name}']\n");
            let found = match parse("trunkgate.toml".as_ref(), &lines) {
                Ok((_, found)) | Err(found) => found,
            };
            let refused = found.iter().any(|one| one.code == "TG0112");
            assert_eq!(refused, !fits, "{name}: {found:#?}");
        }
    }
}
