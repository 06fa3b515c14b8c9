//! Texts of problems, all in this file.

use std::fmt;

use super::kind::{
    AgentProblem, Consequence, EdgeProblem, Fault, ProblemKind, Receiver, RecordProblem, Silence, Tally, TrunkProblem,
    Unheard,
};
use super::{HEADLINE_CHARS, Party, Problem};
use crate::text::number;

/// Length to which the names in a headline are shortened if it is too long, in characters.
const NAME_CHARS: usize = 24;

/// Beginning of the headline while calls are rejected because the disk accepts no recordings.
const REFUSED: &str = "calls are refused: ";

/// Maximum number of routes named in a headline.
const ROUTES_NAMED: usize = 3;

/// Formats a count with its noun.
fn counted(count: u64, word: &str) -> String {
    number(usize::try_from(count).unwrap_or(usize::MAX), word)
}

/// Returns a count with its word and the verb that agrees: `one` for 1, else `many`.
fn counted_with(count: u64, word: &str, one: &str, many: &str) -> String {
    format!("{} {}", counted(count, word), if count == 1 { one } else { many })
}

/// Shortens a text to `most` characters, the last of which is then an ellipsis.
fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((at, _)) if text.chars().count() > most => format!("{}…", text.get(..at).unwrap_or_default()),
        Some(_) | None => text.to_owned(),
    }
}

impl Tally {
    /// Formats the figures of the last five minutes as ` (18 of 18 in the last 5 min)`; empty if there was no call, or
    /// if they equal those of the hour.
    pub fn recent(&self) -> String {
        let Tally { calls, of, recent_calls, recent_of, .. } = *self;
        match recent_of {
            0 => String::new(),
            _ if (recent_calls, recent_of) == (calls, of) => String::new(),
            _ => format!(" ({recent_calls} of {recent_of} in the last 5 min)"),
        }
    }

    fn calls(&self) -> String {
        format!("{} of {} calls of the last hour", self.calls, self.of)
    }

    /// Formats the figures of the last hour and the last five minutes, such as `3 of 4 calls of the last hour`.
    fn hour(&self) -> String {
        format!("{}{}", self.calls(), self.recent())
    }
}

/// Describes the number of calls since the last one with the problem; `how` is the word for their success.
fn latest(good_since: u64, how: &str) -> String {
    match good_since {
        0 => String::new(),
        1 => format!("; the latest was {how}"),
        several => format!("; the latest {several} were {how}"),
    }
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Consequence::None | Consequence::NotTried => "",
            Consequence::NextTarget => ", calls go to their next target",
            Consequence::LastTarget => ", the last target of its routes",
            Consequence::FailoverTarget => ", a failover target of its routes",
            Consequence::Failed => ", which failed",
        })
    }
}

/// Describes the consequence of rejected calls for their callers.
fn rejected_callers(calls: u64, lost: u64, consequence: Consequence) -> String {
    let whose = match lost {
        0 => return consequence.to_string(),
        all if all >= calls => "their callers".to_owned(),
        1 => "the caller of one".to_owned(),
        some => format!("the callers of {some}"),
    };
    let what = match (consequence, lost) {
        (Consequence::NotTried, _) => "got no other target",
        (_, 1) if calls > 1 => "was lost",
        _ => "were lost",
    };
    format!(", and {whose} {what}")
}

/// Describes the consequence for the callers of `calls` in which an agent failed.
pub fn hung_up(hung_up: u64, calls: u64) -> String {
    match hung_up {
        0 => String::new(),
        1 if calls == 1 => ", and its caller was hung up on".to_owned(),
        all if all == calls => ", and their callers were hung up on".to_owned(),
        1 => ", and 1 caller was hung up on".to_owned(),
        some => format!(", and {some} callers were hung up on"),
    }
}

fn of_trunk(trunk: &str, what: &TrunkProblem) -> String {
    match what {
        TrunkProblem::Down { consequence } => format!("trunk {trunk} is down{consequence}"),
        TrunkProblem::NotResponding { lost, consequence } => {
            let callers = match lost {
                0 => String::new(),
                1 => ", and 1 caller was lost".to_owned(),
                several => format!(", and {several} callers were lost"),
            };
            format!("trunk {trunk} does not respond{callers}{consequence}")
        }
        TrunkProblem::Rejects { tally, in_row, lost, consequence, is_gone } => {
            let row = in_row.map(|row| format!(", {row} of them since it last answered")).unwrap_or_default();
            let callers = rejected_callers(tally.calls, *lost, *consequence);
            let now = if *is_gone {
                "; since then it does not respond".to_owned()
            } else {
                latest(tally.good_since, "answered")
            };
            let Tally { calls, of, .. } = tally;
            let recent = tally.recent();
            format!("trunk {trunk} rejected {calls} of {of} calls in the last hour{recent}{row}{callers}{now}")
        }
        TrunkProblem::NotRegistered => format!("trunk {trunk} is not registered"),
        TrunkProblem::HostRejected { host } => format!("trunk {trunk} rejects the host name {host}"),
        TrunkProblem::Faulty { fault, tally, consequence } => {
            let what = match fault {
                Fault::Stopped => "audio stopped",
                Fault::Unsent => "packets not sent",
                Fault::Codecs => "codecs do not match",
                Fault::Loss => "packets lost",
            };
            let latest = latest(tally.good_since, "good");
            format!("{what} in {} with {trunk}{consequence}{latest}", tally.hour())
        }
        TrunkProblem::PoorAudio { mos, calls, good_since } => {
            let latest = latest(*good_since, "better");
            format!("poor audio from {trunk}: MOS {mos:.1} on average in {calls} calls of the last hour{latest}")
        }
        TrunkProblem::NameLost { host, is_gone, is_all } => {
            let what = if *is_gone { "is no longer in DNS" } else { "gets no answer from any DNS server" };
            let lost = if *is_all { "all calls to" } else { "this peer of" };
            format!("{host} {what}: a restart would lose {lost} {trunk}")
        }
        TrunkProblem::WrongCredentials { requests, .. } => {
            let count = counted(*requests, "request");
            format!("trunk {trunk}: {count} with wrong credentials in the last hour, none right since")
        }
        TrunkProblem::TlsFails { listener } => format!("TLS from trunk {trunk} to listener {listener} fails"),
        TrunkProblem::RecordersDown { group, servers, .. } if !servers.is_empty() => {
            format!("recording server {} of [siprec.{group}] is down, others record", servers.join(", "))
        }
        TrunkProblem::RecordersDown { group, is_required, .. } => {
            let what =
                if *is_required { "calls that it has to record are rejected" } else { "calls are not recorded there" };
            format!("no recording server of [siprec.{group}] answers: {what}")
        }
        TrunkProblem::NotRecorded { group, tally, is_required, trial_seconds } => {
            let lost = match (is_required, trial_seconds) {
                (true, Some(seconds)) => {
                    format!("; calls that have to be recorded get 503, except one every {seconds} s")
                }
                (true, None) => ", which were ended".to_owned(),
                (false, _) => String::new(),
            };
            let (hour, latest) = (tally.hour(), latest(tally.good_since, "recorded"));
            format!("no recording server of [siprec.{group}] recorded {hour}{lost}{latest}")
        }
    }
}

fn of_agent(agent: &str, what: &AgentProblem) -> String {
    match what {
        AgentProblem::Down { consequence } => format!("agent {agent} is down{consequence}"),
        AgentProblem::Skipped { consequence } => format!("agent {agent} keeps failing and is skipped{consequence}"),
        AgentProblem::Fails { tally, ended_at_once, hung_up: lost, consequence, is_reached } => {
            let recent = tally.recent();
            let what = match ended_at_once {
                Some(calls) => {
                    let of = tally.of;
                    format!("ended {calls} of {of} calls of the last hour at once, without audio{recent}")
                }
                None => format!("failed in {}{}", tally.hour(), hung_up(*lost, tally.calls)),
            };
            let now = if *is_reached { "; it is reached again".to_owned() } else { latest(tally.good_since, "good") };
            format!("agent {agent} {what}{consequence}{now}")
        }
    }
}

fn of_unheard(unheard: &Unheard) -> String {
    let Unheard { name, silence, live_calls, tally, taken_in, .. } = unheard;
    let when = match (tally, live_calls) {
        (Some(tally), _) => format!("{}{}", tally.hour(), latest(tally.good_since, "heard")),
        (None, Some(1) | None) => "a live call".to_owned(),
        (None, Some(calls)) => format!("{calls} live calls"),
    };
    let what = match silence {
        Silence::NoMedia if !taken_in.is_empty() && unheard.is_of_both_sides() => {
            let others: Vec<&str> = taken_in.iter().map(|(other, _)| other.as_str()).collect();
            return format!("no audio from either side, {name} and {}, in {when}", others.join(" or "));
        }
        Silence::NoMedia => format!("no media from {name}"),
        Silence::Digital => format!("{name} sends only digital silence"),
        Silence::Agent if tally.is_some() => format!("agent {name} sent no audio"),
        Silence::Agent => format!("agent {name} has sent no audio"),
    };
    let others = taken_in.iter().map(|(other, calls)| format!("; in {calls} of them none from {other} either"));
    format!("{what} in {when}{}", others.collect::<String>())
}

fn of_edge(what: &EdgeProblem) -> String {
    let in_file = |file: &Option<String>| file.as_ref().map(|file| format!(" ({file})")).unwrap_or_default();
    match what {
        EdgeProblem::Draining => "draining".to_owned(),
        EdgeProblem::Starting => "starting".to_owned(),
        EdgeProblem::Overloaded => "overloaded".to_owned(),
        EdgeProblem::Panics { count } => counted(*count, "panic"),
        EdgeProblem::RestartNeeded { .. } => "changed keys wait for a restart".to_owned(),
        EdgeProblem::ConfigurationRejected { .. } => {
            "the configuration file is rejected: a restart would fail".to_owned()
        }
        EdgeProblem::CertificateEnds { owner, name, at, file, has_expired } => {
            let verb = if *has_expired { "expired" } else { "expires" };
            format!("certificate of {owner} {name} {verb} on {at}{}", in_file(file))
        }
        EdgeProblem::CertificateRejected { listener, file, .. } => {
            format!("TLS to listener {listener} fails: our certificate is rejected{}", in_file(file))
        }
        EdgeProblem::CertificateUnusable => "a certificate file cannot be used: a restart would fail".to_owned(),
        EdgeProblem::Acme { domain, step, .. } => format!("ACME: no new certificate for {domain}: {step}"),
        EdgeProblem::RecognitionFails(tally) => {
            let (Tally { calls, of, .. }, recent, latest) = (tally, tally.recent(), latest(tally.good_since, "not"));
            format!("the recogniser failed in {calls} of {of} recognitions of the last hour{recent}{latest}")
        }
        EdgeProblem::MessageWebhook { number, messages } => {
            format!("webhook of {number} failed for the last {}", counted(*messages, "text message"))
        }
        EdgeProblem::LogLinesLost { count } => format!("{count} log lines lost"),
        EdgeProblem::CallStateFails => {
            "the state of calls cannot be written: calls would not survive a crash".to_owned()
        }
        EdgeProblem::Hep => "[hep]".to_owned(),
        EdgeProblem::Otel => "[otel]".to_owned(),
        EdgeProblem::UnknownUser { source, user } => format!("REGISTER from {source} for unknown user \"{user}\""),
        EdgeProblem::UnknownSip => "SIP from unknown sources is dropped".to_owned(),
        EdgeProblem::UnknownConnections => "TCP and TLS connections from unknown sources are closed".to_owned(),
        EdgeProblem::TlsFails { listener } => format!("TLS to listener {listener} fails"),
    }
}

fn of_records(what: &RecordProblem) -> String {
    match what {
        RecordProblem::CallRecordsNotWritten => "call records are not written to the file".to_owned(),
        RecordProblem::CallRecordsNotDelivered => "call records are not delivered to the URL".to_owned(),
        RecordProblem::CallRecordsNotQueued => "call records cannot be queued for the URL".to_owned(),
        RecordProblem::CallRecordsLost { count, .. } => {
            format!("{} lost since the start", counted(*count, "call record"))
        }
        RecordProblem::AlertsNotDelivered => "alerts are not delivered to the URL".to_owned(),
        RecordProblem::DayCountsNotStored => "counts of `calls_per_day` are not stored".to_owned(),
        RecordProblem::CallsCutShort { calls } => {
            format!("the previous process did not shut down cleanly, and cut {} short", number(*calls, "call"))
        }
        RecordProblem::JournalDamaged { .. } => "the journal of call records was damaged at the start".to_owned(),
        RecordProblem::CallsNotStored => "ended calls are not stored".to_owned(),
        RecordProblem::StoreNotWritten => "the store is not written".to_owned(),
        RecordProblem::StoreDamaged { what } => what.clone(),
        RecordProblem::CallbacksNotStored => "callbacks are not stored".to_owned(),
        RecordProblem::CallbacksNotDelivered { receiver } => format!("{receiver}: callbacks are not delivered"),
        RecordProblem::CallbacksLost { receiver, count } => {
            format!("{receiver}: {} lost since the start", counted(*count, "callback"))
        }
        RecordProblem::RecordingsNotWritten => "recordings are not written".to_owned(),
        RecordProblem::CallsRefused { callers } => {
            let lost = if *callers > 0 { format!(": {} lost", counted(*callers, "caller")) } else { String::new() };
            format!("{REFUSED}the disk accepts no recordings (on_full = \"refuse_calls\"){lost}")
        }
        RecordProblem::RecordingsHaveGaps { recordings, lost_milliseconds, whole_since } => {
            let since = match whole_since {
                0 => "the disk accepts recordings again".to_owned(),
                1 => "the latest is complete".to_owned(),
                several => format!("the latest {several} are complete"),
            };
            let (count, lost) = (counted(*recordings, "recording"), seconds(*lost_milliseconds));
            format!("{count} without part of the audio, {lost} since the start; {since}")
        }
        RecordProblem::RecordingsCut { recordings } => {
            format!("{} cut by the end of an earlier run", counted(*recordings, "recording"))
        }
        RecordProblem::RecordingsNotListed { recordings } => {
            format!("{} not in the list of recordings yet", counted(*recordings, "recording"))
        }
        RecordProblem::RecordingsNotCompleted { recordings } => {
            format!("{} of an earlier run not completed", counted(*recordings, "recording"))
        }
        RecordProblem::RecordingEntriesMissing => "entries of recordings may be missing".to_owned(),
        RecordProblem::FilesNotListed { files } => {
            let (count, verb) = (counted(*files, "file"), if *files == 1 { "belongs" } else { "belong" });
            format!("{count} in the directory of recordings {verb} to no recording")
        }
        RecordProblem::VoicemailFull { voicemail } => format!("voicemail {voicemail} is full: it does not answer"),
        RecordProblem::MailNotSent => "voicemail is not sent by e-mail".to_owned(),
        RecordProblem::MailGivenUp { messages } => {
            format!("{} not sent by e-mail", counted(*messages, "voicemail message"))
        }
        RecordProblem::NotTranscribed => "recordings are not transcribed".to_owned(),
        RecordProblem::TranscriptionGivenUp { recordings } => {
            let count = counted(*recordings, "recording");
            format!("{count} given up without a transcription in the last 24 hours")
        }
        RecordProblem::SmsWithoutService { messages } => {
            let waits = counted_with(*messages, "text message", "waits", "wait");
            format!("{waits} for a service that is not configured any more")
        }
        RecordProblem::SmsQueued { messages, minutes } => {
            let are = counted_with(*messages, "text message", "is", "are");
            format!("{are} queued, the oldest for {minutes} min")
        }
    }
}

/// Formats milliseconds as seconds with one decimal.
pub fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100)
}

fn of_routes(routes: &[String], lost: u64, is_since_answer: bool) -> String {
    let what = match routes {
        [one] => format!("route {one} has no target left"),
        all => {
            let more = all.len().saturating_sub(ROUTES_NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named: Vec<&str> = all.iter().take(ROUTES_NAMED).map(String::as_str).collect();
            format!("routes {}{more} have no target left", named.join(", "))
        }
    };
    let when = if is_since_answer { "since the last answered call" } else { "in the last hour" };
    match lost {
        0 => what,
        1 => format!("{what}, and 1 caller was lost {when}"),
        several => format!("{what}, and {several} callers were lost {when}"),
    }
}

/// Formats the headline of a problem of this kind.
impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            ProblemKind::Trunk { trunk, what } => of_trunk(trunk, what),
            ProblemKind::Agent { agent, what } => of_agent(agent, what),
            ProblemKind::App { app, tally, is_unheard } => {
                let what = if *is_unheard { "a prompt was not played" } else { "failed" };
                format!("app {app}: {what} in {}{}", tally.hour(), latest(tally.good_since, "not"))
            }
            ProblemKind::Unheard(unheard) => of_unheard(unheard),
            ProblemKind::Limit { trunk, is_outbound, limit, calls, recent_calls, consequence, .. } => {
                let what = match (trunk, is_outbound) {
                    (None, _) => "",
                    (Some(_), true) => " to it",
                    (Some(_), false) => " from it",
                };
                let lately = match recent_calls {
                    0 => ", none in the last 5 min".to_owned(),
                    all if all == calls => String::new(),
                    some => format!(" ({some} in the last 5 min)"),
                };
                let refused = counted(*calls, "call");
                format!("{limit} refused {refused}{what} in the last hour{lately}{consequence}")
            }
            ProblemKind::NoTarget { routes, lost, is_since_answer, .. } => of_routes(routes, *lost, *is_since_answer),
            ProblemKind::Edge(edge) => of_edge(edge),
            ProblemKind::Record(record) => of_records(record),
        };
        f.write_str(&words)
    }
}

/// Formats the name of a receiver of callbacks.
impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Receiver::App(app) => write!(f, "app {app}"),
            Receiver::Voicemail(mailbox) => write!(f, "voicemail {mailbox}"),
            Receiver::Recordings => f.write_str("[recording] url"),
        }
    }
}

impl EdgeProblem {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most kinds have none of their own")]
    fn evidence(&self) -> Option<String> {
        Some(match self {
            EdgeProblem::Draining => "new calls get 503".to_owned(),
            EdgeProblem::Starting => "no calls are accepted yet".to_owned(),
            EdgeProblem::Overloaded => "new calls that would wait too long get 503".to_owned(),
            EdgeProblem::Panics { .. } => "please report them with the log".to_owned(),
            EdgeProblem::RestartNeeded { keys } => keys.join(", "),
            EdgeProblem::ConfigurationRejected { error } => {
                format!("{error}; the previous configuration stays in force")
            }
            _ => return None,
        })
    }
}

impl RecordProblem {
    #[expect(clippy::wildcard_enum_match_arm, reason = "most kinds have none of their own")]
    fn fix(&self) -> Option<String> {
        Some(match self {
            RecordProblem::CallsCutShort { .. } => {
                "look for its end in the log, `journalctl -u trunkgate` and `dmesg` (out of memory)".to_owned()
            }
            RecordProblem::RecordingsHaveGaps { .. } => {
                "`trunkgate recordings` shows each; `trunkgate help recording_failed`".to_owned()
            }
            RecordProblem::RecordingsCut { .. } => {
                "the log of the earlier run says how it ended; `trunkgate recordings` shows each".to_owned()
            }
            RecordProblem::RecordingEntriesMissing => {
                "move that file out of the directory of recordings, or make it readable for the user of the edge"
                    .to_owned()
            }
            RecordProblem::FilesNotListed { .. } => {
                "move them out of the directory, or delete them: docs/configure/recording.md, \"Retention\"".to_owned()
            }
            RecordProblem::VoicemailFull { voicemail } => {
                format!("delete messages, or raise `max_messages` or `max_size` of [voicemail.{voicemail}] and reload")
            }
            RecordProblem::SmsWithoutService { .. } => {
                "add [twilio] or `url` of [messages] again; each fails once `expires` of [sms] has passed".to_owned()
            }
            _ => return None,
        })
    }
}

impl ProblemKind {
    /// Returns the evidence that follows from the kind of problem alone; `None` if there is none.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most kinds have none of their own")]
    pub(super) fn evidence(&self) -> Option<String> {
        Some(match self {
            ProblemKind::Edge(edge) => return edge.evidence(),
            ProblemKind::Record(RecordProblem::CallsCutShort { .. }) => {
                "a crash, SIGKILL or a power cut; their call records have reason edge_restarted".to_owned()
            }
            ProblemKind::Record(RecordProblem::JournalDamaged { lines }) => {
                format!(
                    "{lines} lines were unreadable, so calls in them have no record; the log names the copy of the file, if one was kept"
                )
            }
            ProblemKind::Record(RecordProblem::CallRecordsLost { is_for_url, .. }) => {
                if *is_for_url { "not sent to the URL" } else { "not in the file" }.to_owned()
            }
            ProblemKind::Record(RecordProblem::RecordingsNotListed { .. }) => {
                "the store has refused their entries; they are listed once it takes them, also after a restart"
                    .to_owned()
            }
            _ => return None,
        })
    }

    /// Returns the fix that follows from the kind of problem alone; `None` if there is none.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most kinds have none of their own")]
    pub(super) fn fix(&self) -> Option<String> {
        Some(match self {
            ProblemKind::Edge(EdgeProblem::Draining) => "trunkgate drain --undo".to_owned(),
            ProblemKind::Edge(EdgeProblem::RestartNeeded { .. }) => {
                "restart the edge when no call is up (trunkgate drain)".to_owned()
            }
            ProblemKind::Edge(EdgeProblem::CertificateUnusable) => {
                "replace the file, it is read again within seconds; do not restart the edge before that".to_owned()
            }
            ProblemKind::Edge(EdgeProblem::CallStateFails) => {
                "check the space and the owner of `state_directory` of [edge]; the log has the reason".to_owned()
            }
            ProblemKind::Edge(EdgeProblem::UnknownSip | EdgeProblem::UnknownConnections) => {
                "add trusted sources to `peers` or `accept_from` of a trunk".to_owned()
            }
            ProblemKind::Trunk { what: TrunkProblem::RecordersDown { group, .. }, .. } => {
                format!("check that the server runs, that its address in [siprec.{group}] is right, and the firewall")
            }
            ProblemKind::Record(record) => return record.fix(),
            _ => return None,
        })
    }
}

impl Problem {
    /// Shortens the headline to one line, and sets `brief`. First long names are shortened; if the headline is still
    /// too long, it is cut after its last clause that fits. The evidence then begins with the whole headline.
    pub(crate) fn fit(&mut self) {
        if self.headline.chars().count() > HEADLINE_CHARS {
            self.shorten();
        }
        let brief = if self.kind.is_calls_refused() {
            self.headline.replacen(REFUSED, "", 1)
        } else {
            self.headline.replace(" in the last hour", "").replace(" of the last hour", "")
        };
        self.brief = Some(brief).filter(|brief| *brief != self.headline);
    }

    fn shorten(&mut self) {
        let full = self.headline.clone();
        let of = self.party.iter().chain(self.others.iter().map(|part| &part.party)).map(Party::name);
        let names: Vec<String> = of.map(str::to_owned).collect();
        for name in names.iter().filter(|name| name.chars().count() > NAME_CHARS) {
            self.headline = self.headline.replace(name.as_str(), &shortened(name, NAME_CHARS));
        }
        if self.headline.chars().count() > HEADLINE_CHARS {
            let end = self.headline.char_indices().nth(HEADLINE_CHARS).map_or(full.len(), |(at, _)| at);
            let head = self.headline.get(..end).unwrap_or_default();
            let clause =
                ["; ", ", "].into_iter().find_map(|mark| head.rfind(mark)).filter(|at| *at >= HEADLINE_CHARS / 3);
            self.headline = match clause.and_then(|at| head.get(..at)) {
                Some(clause) => clause.to_owned(),
                None => shortened(&self.headline, HEADLINE_CHARS),
            };
        }
        self.evidence = Some(match self.evidence.take() {
            Some(evidence) => format!("{full}: {evidence}"),
            None => full,
        });
    }
}

/// Formats the problem as `headline: evidence; try: fix; see: command`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline)?;
        if let Some(evidence) = &self.evidence {
            write!(f, ": {evidence}")?;
        }
        if let Some(fix) = &self.fix {
            write!(f, "; try: {fix}")?;
        }
        self.command.as_ref().map_or(Ok(()), |command| write!(f, "; see: {command}"))
    }
}
