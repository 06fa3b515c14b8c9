//! Verdict of a call: a sentence or two with the content of the ladder, for readers who do not know SIP.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use trunkgate_resources::lookups::key::LegId;
use trunkgate_story::diagnosis::{COMMON, Diagnosis, FaultCause};
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::status::not_tried;
use trunkgate_story::trace::{CallTrace, TraceView};
use trunkgate_story::{FailureResponse, tls};

use crate::call::legs::leg::Leg;
use crate::call::shared::story::PassedOverTarget;
use crate::call::shared::{CallOutcome, SharedCallState};
use crate::call::story::unrecorded;
use crate::call::words::answer::seen_code;
use crate::call::words::state::CallState;

/// Maximum number of failed targets listed with their reasons.
const FAILURES_TOLD: usize = 3;
/// Maximum number of called targets of an unanswered call listed with their reasons.
const OUTCOMES_TOLD: usize = 6;

/// Fix for received ACKs that do not match the 200 OK.
const STRAY_ACK_FIX: &str = "compare the ACK in the ladder with the 200 OK: tags of From and To, Call-ID and the number of CSeq must be the \
                             same (RFC 3261 §13.2.2.4); correct it at the remote party, or at a proxy between that changes them";

/// Returns the head of a call's ladder diagram: its columns and its verdict.
pub(crate) fn head(call: &SharedCallState, search: &SearchStatus) -> TraceView {
    let legs = call.legs.with_ids().map(|(at, _)| call.legs.name_of(at)).collect();
    TraceView::of(call.legs.sid().to_owned(), verdict(call, search), legs)
}

/// Returns the ladder diagram of a live call.
pub(crate) fn of_live(call: &SharedCallState, search: &SearchStatus, trace: &CallTrace, raw: bool) -> TraceView {
    let mut view = trace.view(head(call, search), raw);
    let missing = view.unacknowledged().filter(|_| call.ending.is_none());
    if let Some((name, sent, stray)) =
        missing.and_then(|(leg, sent)| Some((view.legs.get(leg)?, sent, view.stray_acks(leg))))
    {
        let fix = ReasonSlug::AckTimeout.fix().unwrap_or_default();
        let (stray, fix) = match stray {
            0 => (String::new(), fix),
            stray => (format!(" that matches it ({stray} stray)"), STRAY_ACK_FIX),
        };
        let text = format!(
            " 200 OK sent {sent} times, no ACK from {name}{stray}: the call ends 32 s after the first. Try: {fix}."
        );
        view.verdict.push_str(&text);
    }
    view
}

/// State of the search for a target, as far as a verdict needs it.
#[derive(Debug, Default)]
pub(crate) struct SearchStatus {
    /// Whether a target is tried while an agent or a party has the caller.
    pub(crate) is_consulting: bool,
    /// Whether the caller hears music while a target is tried.
    pub(crate) holds_caller: bool,
    /// Whether no target is being tried.
    pub(crate) is_idle: bool,
    /// Legs of the targets being tried.
    pub(crate) legs: Vec<LegId>,
    /// Name of the first trunk, agent or application among the remaining targets.
    pub(crate) next: Option<String>,
}

/// Returns the verdict on the call, live or ended.
pub(crate) fn verdict(call: &SharedCallState, search: &SearchStatus) -> String {
    let of_legs = of_legs(call, search);
    let flaws = call.story.app.as_ref().map(|app| app.flaws.sentences(&of_legs));
    format!("{of_legs}{}", flaws.unwrap_or_default())
}

/// Returns the part of the verdict about the course of the call.
fn of_legs(call: &SharedCallState, search: &SearchStatus) -> String {
    let tried = call.legs.ids().skip(1).filter(|at| !call.legs[*at].is_beside());
    let tried: Vec<String> = tried.map(|at| call.legs.name_of(at)).collect();
    let failovers = failed(call);
    let answered_by =
        call.legs.callee.or(call.legs.answered_by).map(|at| match call.legs.answered_by.filter(|first| *first != at) {
            Some(first) => format!("{}, then {}", call.legs.name_of(first), call.legs.name_of(at)),
            None => call.legs.name_of(at),
        });
    // The application answered first and has connected the party later.
    let answered_by = answered_by.map(|by| match answered_for(call) {
        Some(app) => format!("{app}, then {by}"),
        None => by,
    });
    match (call.state, answered_by, call.ending) {
        (CallState::Searching, _, _) if tried.is_empty() => "No target has been called yet.".to_owned(),
        (CallState::Searching, _, _) => format!("Waiting for {}.", waited_for(call, search, &tried)),
        (CallState::Answered, by, _) => {
            format!("Answered by {}.{failovers}{}{}", by.unwrap_or_default(), fault_besides(call), hearing(call))
        }
        (CallState::Rerouting, Some(by), _) if search.is_consulting && search.holds_caller => {
            let party = waited_for(call, search, &tried);
            format!("Answered by {by}; the caller hears music until {party} takes the call.{failovers}")
        }
        (CallState::Rerouting, Some(by), _) if search.is_consulting => {
            format!("Answered by {by}, connected until {} answers.{failovers}", waited_for(call, search, &tried))
        }
        (CallState::Rerouting, _, _) if call.is_programmed && search.is_idle => {
            format!("Answered by {}.{failovers}", answered_for(call).unwrap_or("an application"))
        }
        (CallState::Rerouting, _, _) => {
            format!("The caller is waiting for {}.{failovers}", waited_for(call, search, &tried))
        }
        (CallState::Leaving, _, _) => "No target is left; the caller hears the goodbye.".to_owned(),
        (CallState::Ended, Some(by), Some(ending)) => {
            let seconds = call.talked_seconds().unwrap_or_default();
            let heard = hearing(call);
            // The cause of the silence is more specific than the media time-out.
            let is_said = ending.reason == ReasonSlug::MediaTimeout && !heard.is_empty();
            let fix = if is_said { String::new() } else { fix(call, ending.reason) };
            // The fix is already listed for the target that failed for this reason.
            let fix = if failovers.contains(fix.trim_start_matches(" Try: ")) { "" } else { &fix };
            format!(
                "Answered by {by}, ended after {seconds:.1} s: {}.{failovers}{fix}{}{heard}",
                why(call, ending.reason),
                fault_besides(call)
            )
        }
        (CallState::Ended, _, Some(ending)) if call.times.answered.is_some() => {
            let seconds = call.talked_seconds().unwrap_or_default();
            let (why, fix) = (why(call, ending.reason), fix(call, ending.reason));
            let by = answered_for(call).map(|app| format!("by {app}"));
            let by = by.as_deref().unwrap_or("before a target was connected");
            let all = outcomes(call);
            // The application's own error is already the reason.
            let is_said = matches!(all.as_slice(), [one] if one.why == Some(ending.reason) && one.error.is_some());
            let tried = if is_said { String::new() } else { all_of(&all) };
            format!("Answered {by}, ended after {seconds:.1} s: {why}.{tried}{fix}")
        }
        (CallState::Ended, _, Some(ending)) => not_answered(call, search, ending),
        (CallState::Ended, _, None) => String::new(),
    }
}

/// Returns the application that answered the call.
fn answered_for(call: &SharedCallState) -> Option<&str> {
    call.story.app.as_ref()?.answered.as_deref()
}

/// Returns the leg with the rejection that was relayed to the caller, if the call ended because of it.
fn rejected(call: &SharedCallState, reason: ReasonSlug) -> Option<(LegId, &FailureResponse)> {
    if !matches!(reason, ReasonSlug::TargetRejected | ReasonSlug::TrunkCongested) {
        return None;
    }
    let code = call.ending?.code;
    let ended_so = |at: &LegId| {
        let (leg, end) = (&call.legs[*at], call.legs[*at].shown_end().filter(|_| !call.legs[*at].records()));
        let is_seen = leg.said().is_some_and(|said| [said.code, seen_code(said.code)].contains(&code));
        is_seen && end.is_some_and(|end| end.reason == reason)
    };
    let last = call.legs.ids().skip(1).filter(ended_so).last()?;
    Some((last, call.legs[last].said()?))
}

/// Returns the response of the target because of which a call ended, and the advice for its code. `None` if no
/// rejection ended it.
pub(crate) fn rejection_in_words(call: &SharedCallState, reason: ReasonSlug) -> Option<(String, Option<&'static str>)> {
    let (_, said) = rejected(call, reason)?;
    Some((why(call, reason), said.advice()))
}

/// Returns the reason of a call's end for the log: the rejecting target and its response, or the error of its
/// application.
pub(crate) fn end_for_log(call: &SharedCallState, reason: ReasonSlug) -> String {
    // A URI may contain a number.
    let of_trunk = rejected(call, reason).filter(|(leg, _)| call.legs[*leg].trunk.is_some());
    if let (None, Some((leg, said))) = (call.proof(reason), of_trunk) {
        return format!("{} answered {said}", call.legs.name_of(leg));
    }
    match call.proof(reason).filter(|_| reason == ReasonSlug::AppFailed) {
        Some(error) => format!("{}: {error}", reason.sentence()),
        None => reason.sentence().to_owned(),
    }
}

/// Returns whether the evidence for a reason already names the target and the fault; if so, the reason's sentence adds
/// nothing.
pub(crate) const fn says_all(reason: ReasonSlug) -> bool {
    matches!(reason, ReasonSlug::CredentialsRefused | ReasonSlug::TlsFailed | ReasonSlug::NameNotFound)
}

/// Returns the reason of a call's end, with its evidence.
fn why(call: &SharedCallState, reason: ReasonSlug) -> String {
    if let (None, Some((leg, said))) = (call.proof(reason), rejected(call, reason)) {
        let sent = call.legs[leg].caller_id_rejected().map(|sent| format!(" (caller ID sent: {sent})"));
        return format!("{} answered {said}{}", call.legs.name_of(leg), sent.unwrap_or_default());
    }
    let document = call.story.app.as_ref().and_then(|app| app.failed.as_deref());
    if let Some(proof) = call.proof(reason).filter(|_| says_all(reason)) {
        return proof.to_owned();
    }
    // An error of the edge's own request is complete without the reason's sentence.
    let is_code = |proof: &str| reason == ReasonSlug::AppFailed && !proof.contains(':');
    let document = document.filter(|_| call.proof(reason).is_some_and(is_code));
    let failed = |leg: &&Leg| leg.shown_end().is_some_and(|end| end.reason == reason);
    let of_agent = || call.legs.iter().rfind(failed).and_then(of_agent);
    let of_leg = || call.legs.iter().rfind(failed).and_then(|leg| leg.sip.unsent.as_deref()).map(str::to_owned);
    let of_leg = || of_leg().filter(|_| reason == ReasonSlug::Unreachable);
    let of_skipped = || skipped(call, reason).map(|(problem, _)| problem.clone());
    let proof =
        document.or(call.proof(reason)).map(str::to_owned).or_else(of_agent).or_else(of_skipped).or_else(of_leg);
    let proof = proof.map(|proof| format!(": {proof}")).unwrap_or_default();
    format!("{}{proof}", reason.sentence())
}

/// Returns the evidence for an agent's failure: the status of its handshake, its close code, or the fault of its
/// certificate. `None` without such evidence.
fn of_agent(leg: &Leg) -> Option<String> {
    let problem = leg.agent.as_ref()?.problem.as_deref()?;
    let (loss, fault) = problem.split_once(": ").map_or((problem, None), |(loss, fault)| (loss, Some(fault)));
    let number = |words: &str, what: &str| loss.strip_prefix(words).map(|number| format!("{what} {number}"));
    let number = number("answered the handshake with ", "status").or_else(|| number("closed with ", "code"));
    match (number, fault) {
        (Some(number), Some(fault)) => Some(format!("{number}, {fault}")),
        (number, fault) => number.or(fault.map(str::to_owned)),
    }
}

/// Returns the last failure of the last skipped agent and its fix, if the call ended because of it.
fn skipped(call: &SharedCallState, reason: ReasonSlug) -> Option<&(String, String)> {
    let is_it = |one: &&PassedOverTarget| one.reason == reason && reason == ReasonSlug::AgentSkipped;
    call.story.passed_over.iter().rfind(is_it)?.failure.as_deref()
}

/// Returns the fix for the end of a call.
fn fix(call: &SharedCallState, reason: ReasonSlug) -> String {
    let of_code = || {
        let (_, said) = rejected(call, reason)?;
        said.advice()
    };
    let shows = |(of, words, _): &&(ReasonSlug, &str, &str)| {
        *of == reason && call.proof(reason).is_some_and(|proof| proof.contains(words))
    };
    let of_proof = FIXES_OF_PROOFS.iter().find(shows).map(|(.., fix)| *fix);
    let of_tls = || call.proof(reason).and_then(tls::fix);
    let failed = |leg: &&Leg| leg.shown_end().is_some_and(|end| end.reason == reason);
    let of_agent = || call.legs.iter().rfind(failed).and_then(|leg| leg.agent.as_ref()?.fix());
    let of_fault = || fault_of(call, reason).map(|found| found.fix.as_str());
    let fix = of_proof.or_else(of_fault).or_else(of_code).map(Cow::Borrowed).or_else(|| of_agent().map(Cow::Owned));
    let fix = fix.or_else(|| of_tls().map(Cow::Borrowed)).or_else(|| skipped(call, reason).map(|(_, fix)| fix.into()));
    let fix = fix.or_else(|| unrecorded::fix(call, reason).or(reason.fix()).map(Cow::Borrowed));
    fix.map(|fix| format!(" Try: {}.", with_names(call, &fix))).unwrap_or_default()
}

/// Returns whether a shell reads a text as one literal word; numbers come from remote parties.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && !word.starts_with('-') && word.chars().all(|c| c.is_ascii_alphanumeric() || "+._-".contains(c))
}

/// Replaces the placeholders in a reason's fix by the call's agent, trunk, numbers, error code and SID.
fn with_names(call: &SharedCallState, fix: &str) -> String {
    let mut fix = fix.replace("trace SID", &format!("trace {}", call.legs.sid()));
    let (trunk, called) = (call.legs[LegId::CALLER].trunk_name(), call.facts.called.text.as_str());
    if is_plain(trunk) && is_plain(called) {
        fix = fix.replace("--from TRUNK --called NUMBER", &format!("--from {trunk} --called {called}"));
    }
    let ended_so = |reason| move |leg: &&Leg| leg.shown_end().is_some_and(|end| end.reason == reason);
    let table = |reason| {
        let leg = call.legs.iter().rfind(ended_so(reason)).filter(|leg| leg.trunk.is_some())?;
        Some(format!("[trunk.{}]", leg.trunk_name()))
    };
    if let Some(table) = table(ReasonSlug::CredentialsRefused) {
        fix = fix.replace("`auth` of its trunk", &format!("`auth` of {table}"));
    }
    fix = fix.replace(tls::ITS_TRUNK, table(ReasonSlug::TlsFailed).as_deref().unwrap_or("the trunk"));
    let agent = call.legs.iter().filter_map(|leg| leg.agent.as_ref()).next_back();
    if let Some(side) = agent.filter(|side| !side.agent.name.is_empty()) {
        fix = fix.replace("agent test NAME", &format!("agent test {}", side.agent.name));
    }
    let passed_over = call.story.passed_over.iter().rfind(|one| one.reason == ReasonSlug::AgentSkipped);
    if let Some(PassedOverTarget { name, .. }) = passed_over {
        fix = fix.replace("agent test NAME", &format!("agent test {name}"));
    }
    let proof = call.proof(ReasonSlug::AppFailed).and_then(|proof| proof.strip_prefix("error "));
    let code: String = proof.into_iter().flat_map(str::chars).take_while(char::is_ascii_digit).collect();
    if code.is_empty() { fix } else { fix.replace("help CODE", &format!("help {code}")) }
}

/// Returns the diagnosis of the last failed target, if the call ended for that reason.
pub(crate) fn fault_of(call: &SharedCallState, reason: ReasonSlug) -> Option<&Diagnosis> {
    call.story.fault.as_ref().filter(|(of, _)| *of == reason).map(|(_, found)| &**found)
}

/// Returns sentences about the last failed target and absent phones, if the call continued or ended for another reason.
fn fault_besides(call: &SharedCallState) -> String {
    let is_answered = is_answered(call);
    let passed_over = match call.story.without_phone.as_slice() {
        names if is_answered && !names.is_empty() => {
            format!(" No phone is registered at {}: the next target was called.", names.join(", "))
        }
        _ => String::new(),
    };
    let found = call.story.fault.as_ref().filter(|(of, _)| call.ending.is_none_or(|ending| ending.reason != *of));
    let found = found.filter(|(_, found)| !is_answered || found.cause != FaultCause::NoPhone);
    passed_over + &found.map(|(_, found)| format!(" {}. Try: {}.", capital(&found.text), found.fix)).unwrap_or_default()
}

/// Returns whether the call has been answered; if so, an absent phone is a normal case of its route.
fn is_answered(call: &SharedCallState) -> bool {
    call.legs.callee.or(call.legs.answered_by).is_some()
}

/// Result of a called target.
struct TargetOutcome {
    name: String,
    /// Address of a failed peer, if another peer of the same trunk answered.
    peer: Option<SocketAddr>,
    /// Reason of the failure, if it failed.
    why: Option<ReasonSlug>,
    /// Response of the target, if it rejected the call.
    said: Option<FailureResponse>,
    /// Caller ID sent to the target, if the rejection may be about the caller ID.
    sent: Option<String>,
    /// Evidence specific to this target: an application's error, or the fault of its credentials or TLS.
    error: Option<String>,
    /// Fix for a failed agent.
    of_agent: Option<String>,
    /// Number of consecutive attempts with the same result.
    times: usize,
}

impl TargetOutcome {
    /// Returns the fix if another target was tried afterwards: by its response code for a rejection, otherwise by the
    /// reason.
    fn fix(&self) -> Option<Cow<'_, str>> {
        let said = self.said.as_ref().filter(|_| is_rejection(self.why));
        let is_silent = self.why == Some(ReasonSlug::NoResponse);
        let is_mailbox = self.why == Some(ReasonSlug::RecordingUnavailable) && unrecorded::is_mailbox(&self.name);
        let of_reason = || match (is_silent, is_mailbox) {
            (true, _) => Some(SILENT_BESIDE_A_TARGET),
            (false, true) => Some(unrecorded::MAILBOX),
            (false, false) => self.why?.fix(),
        };
        let of_tls = || self.error.as_deref().and_then(tls::fix);
        let of_agent = || self.of_agent.as_deref().map(Cow::Borrowed);
        let advice = said.and_then(FailureResponse::advice_beside_a_target).map(Cow::Borrowed).or_else(of_agent);
        advice.or_else(|| of_tls().or_else(of_reason).map(Cow::Borrowed))
    }
}

/// Fixes for evidence with certain words: reason, words, and fix. They take precedence over all other fixes.
const FIXES_OF_PROOFS: [(ReasonSlug, &str, &str); 2] = [
    (ReasonSlug::AckTimeout, "stray_ack", STRAY_ACK_FIX),
    (
        ReasonSlug::CredentialsRefused,
        "the trunk has no `auth`",
        "set `auth` of its trunk to user and password of the account, or have the carrier accept calls from your public address",
    ),
];

/// Fix for a target that did not respond, before the next one was tried.
const SILENT_BESIDE_A_TARGET: &str = "check its address, firewalls, and whether it accepts the edge's address: `trunkgate doctor`, line options; until it responds each call waits \
     `no_response_timeout` for it, but not with `order = \"asr\"` in the route or another order of `connect`";

/// Returns whether a target's own response explains the failure.
fn is_rejection(why: Option<ReasonSlug>) -> bool {
    matches!(why, Some(ReasonSlug::TargetRejected | ReasonSlug::TrunkCongested))
}

impl std::fmt::Display for TargetOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        if let Some(peer) = self.peer {
            write!(f, " at {peer}")?;
        }
        let often = if self.times > 1 { format!("{} times", self.times) } else { String::new() };
        let why = match self.said.as_ref().filter(|_| is_rejection(self.why)) {
            Some(said) => {
                let sent = self.sent.as_ref().map(|sent| format!("; caller ID sent: {sent}")).unwrap_or_default();
                Some(format!("{said}{sent}"))
            }
            None if self.why.is_some_and(says_all) && self.error.is_some() => {
                // The error's sentence begins with the target's name.
                self.error
                    .as_deref()
                    .map(|error| error.strip_prefix(&self.name).unwrap_or(error))
                    .map(|error| error.trim_start_matches(':').trim_start().to_owned())
            }
            None => self.why.map(|why| {
                let error = self.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
                format!("{}{error}", why.sentence())
            }),
        };
        match (why, often.is_empty()) {
            (Some(why), true) => write!(f, " ({why})"),
            (Some(why), false) => write!(f, " ({often}: {why})"),
            (None, true) => Ok(()),
            (None, false) => write!(f, " ({often})"),
        }
    }
}

/// Returns the address of a failed leg, if another peer of its trunk answered: the trunk's name does not distinguish
/// them.
fn failed_peer(call: &SharedCallState, leg: &Leg) -> Option<SocketAddr> {
    let (trunk, remote) = (leg.trunk.as_ref()?, leg.flow?.remote);
    let mut answered = [call.legs.callee, call.legs.answered_by].into_iter().flatten().map(|at| &call.legs[at]);
    let is_other = |other: &Leg| {
        let is_of_trunk = other.trunk.as_ref().is_some_and(|theirs| theirs.name == trunk.name);
        is_of_trunk && !other.inbound && other.flow.is_some_and(|flow| flow.remote != remote)
    };
    answered.any(is_other).then_some(remote)
}

/// Returns the results of all called targets, in order.
fn outcomes(call: &SharedCallState) -> Vec<TargetOutcome> {
    let mut all: Vec<TargetOutcome> = Vec::new();
    let mut add = |name: String, why: Option<ReasonSlug>, leg: Option<&Leg>, skipped: Option<&(String, String)>| {
        let said = leg.and_then(Leg::said);
        let peer = leg.filter(|_| why.is_some()).and_then(|leg| failed_peer(call, leg));
        let is_same =
            |last: &TargetOutcome| (&last.name, last.why, last.said.as_ref(), last.peer) == (&name, why, said, peer);
        match all.last_mut() {
            Some(last) if is_same(last) => last.times += 1,
            Some(_) | None => {
                let error = why.filter(|why| *why == ReasonSlug::AppFailed).and_then(|why| call.proof(why));
                let failed = leg.filter(|_| why.is_some());
                let sent = leg.and_then(Leg::caller_id_rejected).map(str::to_owned);
                let error = error.map(str::to_owned).or_else(|| failed.and_then(of_agent));
                let of_leg =
                    failed.filter(|_| why == Some(ReasonSlug::Unreachable)).and_then(|leg| leg.sip.unsent.as_deref());
                let error =
                    error.or_else(|| skipped.map(|(problem, _)| problem.clone())).or_else(|| of_leg.map(str::to_owned));
                let of_agent = failed.and_then(|leg| leg.agent.as_ref()?.fix());
                let of_agent = of_agent.or_else(|| skipped.map(|(_, fix)| fix.clone()));
                all.push(TargetOutcome { name, peer, why, said: said.cloned(), sent, error, of_agent, times: 1 });
            }
        }
    };
    let mut passed_over = call.story.passed_over.iter().peekable();
    for at in call.legs.ids().chain([call.legs.next_id()]).skip(1) {
        while let Some(one) = passed_over.next_if(|one| one.legs <= at.index()) {
            add(one.name.to_string(), Some(one.reason), None, one.failure.as_deref());
        }
        let Some(leg) = call.legs.get(at).filter(|leg| !leg.is_beside()) else { continue };
        let why = leg.shown_end().filter(|end| end.failed).map(|end| end.reason);
        add(call.legs.name_of(at), why, Some(leg), None);
    }
    // The evidence belongs to the last target that failed for this reason.
    let shown = all.iter_mut().rfind(|one| one.why.is_some_and(|why| says_all(why) && call.proof(why).is_some()));
    if let Some(last) = shown {
        last.error = last.why.and_then(|why| call.proof(why)).map(str::to_owned);
    }
    all
}

/// Returns the verdict on an unanswered call. Its reason is that of the last target; if several targets failed, each is
/// listed with its own.
fn not_answered(call: &SharedCallState, search: &SearchStatus, ending: CallOutcome) -> String {
    let all = outcomes(call);
    let (code, why, fix) = (ending.code, why(call, ending.reason), fix(call, ending.reason));
    let fix = not_tried_behind(call, search, ending.reason).map(|text| format!(" {text}.{fix}")).unwrap_or(fix);
    let is_of_the_last = all.last().is_some_and(|last| last.why == Some(ending.reason));
    match all.as_slice() {
        [one] if is_of_the_last => {
            let often = if one.times > 1 { format!(" ({} times)", one.times) } else { String::new() };
            let what = if one.why == Some(ReasonSlug::AgentSkipped) { "Skipped" } else { "Tried" };
            format!("Not answered ({code}): {why}. {what}: {}{often}.{fix}", one.name)
        }
        [_, _, ..] if is_of_the_last => {
            let proof = fault_of(call, ending.reason).map(|found| format!(" {}.", capital(&found.text)));
            format!("Not answered ({code}): {}.{}{fix}", listed(&all), proof.unwrap_or_default())
        }
        _ => format!("Not answered ({code}): {why}.{}{fix}{}", all_of(&all), fault_besides(call)),
    }
}

/// Returns a note on remaining targets that were not tried because of a trunk's rejection code. `None` if there are no
/// such targets.
fn not_tried_behind(call: &SharedCallState, search: &SearchStatus, reason: ReasonSlug) -> Option<String> {
    let (leg, said) = rejected(call, reason)?;
    let trunk = call.legs[leg].trunk.as_ref().filter(|trunk| !trunk.leads_on(said.code))?;
    let next = search.next.as_deref()?;
    Some(not_tried(next, &[said.code], &trunk.name))
}

/// Returns the ringing targets, or the last one called if none rings.
fn waited_for(call: &SharedCallState, search: &SearchStatus, tried: &[String]) -> String {
    let ringing: Vec<String> = search.legs.iter().map(|leg| call.legs.name_of(*leg)).collect();
    match ringing.len() {
        0 => tried.last().cloned().unwrap_or_default(),
        _ => ringing.join(", "),
    }
}

/// Returns a sentence with the called targets.
fn all_of(all: &[TargetOutcome]) -> String {
    if all.is_empty() { String::new() } else { format!(" Tried: {}.", listed(all)) }
}

fn listed(all: &[TargetOutcome]) -> String {
    let mut told: Vec<String> = all.iter().take(OUTCOMES_TOLD).map(TargetOutcome::to_string).collect();
    if all.len() > OUTCOMES_TOLD {
        told.push(format!("{} more", all.len() - OUTCOMES_TOLD));
    }
    told.join(", ")
}

/// Returns the number of failed targets, and the first of them with their reasons.
fn failed(call: &SharedCallState) -> String {
    let without_phone: &[Arc<str>] = if is_answered(call) { &call.story.without_phone } else { &[] };
    let is_absent = |one: &TargetOutcome| {
        one.why == Some(ReasonSlug::Unreachable) && without_phone.iter().any(|name| **name == *one.name)
    };
    let mut failed: Vec<TargetOutcome> =
        outcomes(call).into_iter().filter(|one| one.why.is_some() && !is_absent(one)).collect();
    // The error of an application that ended the call is already its reason.
    let is_said =
        |one: &TargetOutcome| one.error.is_some() && call.ending.is_some_and(|ending| one.why == Some(ending.reason));
    if failed.last().is_some_and(is_said) && failed.pop().is_some() && failed.is_empty() {
        return String::new();
    }
    // The last failure without a remaining target is not a failover.
    let count = failed.iter().map(|one| one.times).sum::<usize>();
    let failovers = usize::try_from(call.story.failovers).unwrap_or(usize::MAX).saturating_sub(without_phone.len());
    let count = match count.max(failovers) {
        0 => return String::new(),
        1 => " 1 target failed".to_owned(),
        n => format!(" {n} targets failed"),
    };
    let told: Vec<String> = failed.iter().take(FAILURES_TOLD).map(TargetOutcome::to_string).collect();
    if told.is_empty() {
        return format!("{count}.");
    }
    // A diagnosed target is listed elsewhere with its fix.
    let fault = call.story.fault.as_ref().map(|(of, _)| *of);
    let advised = failed.iter().take(FAILURES_TOLD).filter(|one| fault.is_none() || one.why != fault);
    format!("{count}: {}.{}", told.join(", "), advice(advised))
}

/// Returns the fixes for failed targets: one fix for all if they share it, or one for each.
fn advice<'a>(failed: impl Iterator<Item = &'a TargetOutcome>) -> String {
    let mut fixes: Vec<(&str, String)> = Vec::new();
    for (name, fix) in failed.filter_map(|one| Some((one.name.as_str(), one.fix()?))) {
        let fix = fix.replace(tls::ITS_TRUNK, &format!("[trunk.{name}]"));
        let fix = fix.replace("agent test NAME", &format!("agent test {name}"));
        if fixes.iter().all(|(_, known)| *known != fix) {
            fixes.push((name, fix));
        }
    }
    match fixes.as_slice() {
        [(_, fix)] => format!(" Try: {fix}."),
        several => several.iter().map(|(name, fix)| format!(" Try for {name}: {fix}.")).collect(),
    }
}

/// Returns the findings about audio of the sides: not heard, heard too late, or unusable; each with its fix.
fn hearing(call: &SharedCallState) -> String {
    let is_mute = |leg: LegId| call.legs[leg].agent.is_none() && call.legs[leg].rtp().rx_packets == 0;
    let found = |leg: LegId| call.legs[leg].quality.unheard.as_deref().filter(|_| is_mute(leg));
    let both = call.legs.callee.and_then(|callee| Some([found(call.legs.near)?, found(callee)?]));
    let is_said = |leg: LegId| both.is_some() && (leg == call.legs.near || Some(leg) == call.legs.callee);
    let noted: Vec<(String, &str)> = call.legs.ids().flat_map(|leg| findings(call, leg, is_said(leg))).collect();
    let either = both.zip(call.legs.callee).map(|(both, callee)| of_both(call, both, callee)).unwrap_or_default();
    if !noted.is_empty() || !either.is_empty() {
        return either + &with_fixes(&noted);
    }
    if let (true, Some(callee), Some(seconds)) = (call.story.both_silent, call.legs.callee, call.talked_seconds()) {
        let (caller, callee) = (call.legs.name_of(call.legs.near), call.legs.name_of(callee));
        return format!(
            " No audio from either side, {caller} and {callee}: 0 packets arrived in {seconds:.1} s. Try: call again for longer than \
             5 s, and the verdict names a cause for each side; check `public_address` and the media ports (`trunkgate doctor`)."
        );
    }
    call.legs.silent_leg().map(|leg| format!(" No media from {}.", call.legs.name_of(leg))).unwrap_or_default()
}

/// Returns the findings if neither side is heard; if nothing arrives from either, one fix applies to both.
fn of_both(call: &SharedCallState, [near, far]: [&Diagnosis; 2], callee: LegId) -> String {
    let (one, other) = (call.legs.name_of(call.legs.near), call.legs.name_of(callee));
    let causes = [
        (format!("Of {one}: {}", near.text), near.fix.as_str()),
        (format!("Of {other}: {}", far.text), far.fix.as_str()),
    ];
    if [near.cause, far.cause] == [FaultCause::Nothing; 2] {
        let [(near_text, fix), (far_text, _)] = causes;
        let fix = format!("first {COMMON}; then, for {one} and in the same way for {other}: {fix}");
        return format!(" No audio from either side. {near_text}. {far_text}. Try: {fix}.");
    }
    format!(" No audio from either side.{}", with_fixes(&causes))
}

/// Returns the media findings of a side, each with its fix. `is_said`: the verdict already has the cause of the side's
/// silence.
fn findings(call: &SharedCallState, leg: LegId, is_said: bool) -> Vec<(String, &str)> {
    let (side, name) = (&call.legs[leg], call.legs.name_of(leg));
    let (unheard, stopped) = (side.quality.unheard.as_deref(), side.quality.stopped());
    let is_mute = side.rtp().rx_packets == 0;
    let what = if is_mute { "No media from" } else { "No media at first from" };
    let mut all: Vec<(String, &str)> = Vec::new();
    let untold = unheard.filter(|_| !(is_said && is_mute));
    all.extend(untold.map(|found| (format!("{what} {name}: {}", found.text), found.fix.as_str())));
    all.extend(stopped.map(|stopped| (stopped.finding(&name), stopped.found.fix.as_str())));
    // A side that is not heard, or no longer, is diagnosed again with the same cause. A stopped stream is more specific
    // than recent silence.
    let said = [unheard.map(|found| found.cause), stopped.map(|stopped| stopped.found.cause)];
    let is_new = |found: &&Diagnosis| {
        !said.contains(&Some(found.cause)) && (stopped.is_none() || found.cause != FaultCause::Ceased)
    };
    let flaw = side.quality.flaw.as_deref().filter(is_new).into_iter();
    let losses = side.quality.faults.iter().flat_map(|faults| &faults.losses).map(|(_, found)| found);
    all.extend(flaw.chain(losses).map(|found| (capital(&found.text), found.fix.as_str())));
    all
}

/// Joins findings; a fix shared by several findings follows the last of them.
fn with_fixes(found: &[(String, &str)]) -> String {
    let mut told = String::new();
    for (at, (what, fix)) in found.iter().enumerate() {
        told += &format!(" {what}.");
        if !found.iter().skip(at + 1).any(|(_, later)| later == fix) {
            told += &format!(" Try: {fix}.");
        }
    }
    told
}

/// Capitalises the beginning of a sentence. A configured name keeps its spelling.
fn capital(text: &str) -> String {
    let plain = ["all ", "this ", "no phone ", "no packets "].iter().any(|word| text.starts_with(word));
    match text.split_at_checked(1).filter(|_| plain) {
        Some((first, rest)) => first.to_uppercase() + rest,
        None => text.to_owned(),
    }
}
