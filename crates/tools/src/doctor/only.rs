//! Option `--only` of `doctor`: selects lines by name, by the first word of the name, or by group.

use trunkgate_route::nearest;

use crate::findings::Finding;
use trunkgate_config::Config;

/// All names of lines; of `options TRUNK`, `codecs TRUNK`, `agent NAME` and `app NAME` only the first word.
pub(crate) const KINDS: [&str; 26] = [
    "config",
    "running edge",
    "ports",
    "media ports",
    "ephemeral range",
    "open files",
    "udp buffers",
    "disk",
    "container",
    "twilio hosts",
    "tls",
    "dns",
    "options",
    "agent",
    "app",
    "mail",
    "transcription",
    "notify",
    "public address",
    "inbound udp",
    "outbound udp",
    "codecs",
    "packet loss",
    "sip alg",
    "speech",
    "clock",
];

/// Line names of two words followed by a trunk, such as `packet loss TRUNK`.
const OF_TRUNKS: [&str; 2] = ["outbound udp", "packet loss"];

/// Names of groups of lines.
const GROUPS: [(&str, &[&str]); 5] = [
    (
        "machine",
        &["ports", "media ports", "ephemeral range", "open files", "udp buffers", "disk", "container", "clock"],
    ),
    (
        "media",
        &[
            "media ports",
            "ephemeral range",
            "container",
            "public address",
            "inbound udp",
            "outbound udp",
            "codecs",
            "packet loss",
        ],
    ),
    ("peers", &["tls", "dns", "options", "sip alg", "public address"]),
    ("agents", &["agent"]),
    ("apps", &["app"]),
];

/// Names of the selected lines; empty if all are selected.
#[derive(Debug, Default)]
pub(super) struct Only {
    wanted: Vec<String>,
}

impl Only {
    /// Parses the names given with `--only`.
    ///
    /// # Errors
    /// Returns a message with the unknown name and the known ones.
    pub(super) fn new(names: &[String], config: &Config) -> Result<Only, String> {
        let mut wanted = Vec::new();
        for name in names.iter().flat_map(|names| names.split(',')).map(str::trim) {
            // Accepts `sip-alg` for `sip alg`, because it needs no quotes in a shell.
            let known = [name.to_owned(), name.replacen('-', " ", 1)].into_iter().find(|name| is_line(name, config));
            wanted.push(known.ok_or_else(|| unknown(name, config))?);
        }
        Ok(Only { wanted })
    }

    /// Returns whether a finding is selected.
    pub(super) fn takes(&self, finding: &Finding) -> bool {
        let kind = kind(&finding.name);
        self.wanted.is_empty()
            || self
                .wanted
                .iter()
                .any(|wanted| *wanted == finding.name || wanted == kind || group(wanted).contains(&kind))
    }

    /// Returns whether any line of this kind is selected; if so, its test must run.
    pub(super) fn wants(&self, sought: &str) -> bool {
        self.wanted.is_empty()
            || self.wanted.iter().any(|wanted| kind(wanted) == sought || group(wanted).contains(&sought))
    }
}

/// Returns the error for an unknown name, with the most similar name as a suggestion, and the names of all checks.
fn unknown(name: &str, config: &Config) -> String {
    let trunks = config.trunks.iter().map(|trunk| format!("options {}", trunk.name));
    let agents = config.agents.iter().map(|agent| format!("agent {}", agent.name));
    let apps = config.apps.iter().map(|app| format!("app {}", app.name));
    let named: Vec<String> = trunks.chain(agents).chain(apps).collect();
    let groups = GROUPS.map(|(group, _)| group);
    let known = KINDS.into_iter().chain(groups).chain(named.iter().map(String::as_str));
    let meant = nearest(name, known).map(|meant| format!(", did you mean `{meant}`?")).unwrap_or_default();
    let quoted = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    format!(
        "--only {name}: unknown check{meant}\n  checks: {}; one trunk, agent or app: `options TRUNK`, `agent NAME`, `app NAME`\n  \
         groups: {}",
        quoted(&KINDS),
        quoted(&groups)
    )
}

/// Returns the kind of a line: its name without the trunk, agent or application.
fn kind(name: &str) -> &str {
    match name.split_once(' ') {
        Some((kind @ ("options" | "agent" | "app" | "codecs"), _)) => kind,
        _ => OF_TRUNKS.into_iter().find(|kind| named(name, kind).is_some()).unwrap_or(name),
    }
}

/// Returns the trunk in a line's name if the line is of this kind.
fn named<'n>(line: &'n str, kind: &str) -> Option<&'n str> {
    line.strip_prefix(kind)?.strip_prefix(' ')
}

fn group(name: &str) -> &'static [&'static str] {
    GROUPS.iter().find(|(group, _)| *group == name).map_or(&[], |(_, lines)| lines)
}

fn is_line(name: &str, config: &Config) -> bool {
    let is_known = KINDS.contains(&name) || !group(name).is_empty();
    let is_trunk = |of: &str| config.trunks.iter().any(|trunk| *trunk.name == *of);
    let is_agent = |of: &str| config.agents.iter().any(|agent| *agent.name == *of);
    match name.split_once(' ') {
        Some(("options" | "codecs", of)) => is_trunk(of),
        Some(("agent", of)) => is_agent(of),
        Some(("app", of)) => config.apps.iter().any(|app| *app.name == *of),
        _ => is_known || OF_TRUNKS.iter().any(|kind| named(name, kind).is_some_and(is_trunk)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::configured;
    use super::*;

    #[test]
    fn lines_are_chosen_by_name_kind_and_group() {
        let config = configured("[trunk.my-pbx]\npeers = ['sip:10.0.0.5']\n");
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Only::new(&names, &config)
        };
        let taken = |names: &[&str]| {
            let only = of(names).unwrap();
            let all = [
                "config",
                "media ports",
                "sip alg",
                "inbound udp",
                "options my-pbx",
                "codecs my-pbx",
                "outbound udp my-pbx",
                "packet loss my-pbx",
                "agent bot",
            ];
            all.into_iter().filter(|name| only.takes(&Finding::ok(*name, ""))).collect::<Vec<_>>()
        };
        assert_eq!(taken(&[]).len(), 9);
        assert_eq!(taken(&["sip-alg"]), ["sip alg"]);
        assert_eq!(taken(&["config,options"]), ["config", "options my-pbx"]);
        assert_eq!(taken(&["options my-pbx", "agents"]), ["options my-pbx", "agent bot"]);
        let media = ["media ports", "inbound udp", "codecs my-pbx", "outbound udp my-pbx", "packet loss my-pbx"];
        assert_eq!(taken(&["media"]), media);
        assert_eq!(taken(&["packet loss"]), ["packet loss my-pbx"]);
        assert_eq!(taken(&["outbound udp my-pbx", "packet-loss"]), &media[3..]);
        assert_eq!(taken(&["codecs my-pbx"]), ["codecs my-pbx"]);
        let only = of(&["media"]).unwrap();
        assert!(only.wants("public address") && !only.wants("clock") && !only.wants("agent"));
        assert!(of(&["options my-pbx"]).unwrap().wants("options"));
        for wrong in ["pots", "options you", "packet loss you", "agent bot", ""] {
            assert!(of(&[wrong]).unwrap_err().contains("`media ports`"), "{wrong}");
        }
    }

    #[test]
    fn groups_hold_lines_that_there_are() {
        for (group, lines) in GROUPS {
            assert!(!KINDS.contains(&group), "{group}");
            assert!(lines.iter().all(|line| KINDS.contains(line)), "{group}");
        }
    }
}
