//! A party that a program has dialled hears a document before it is connected; its caller hears ringing meanwhile.

use std::time::Duration;

use trunkgate_resources::key::LegId;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_twiml::{Program, Role, Secret, Settings, Source};

use crate::call::legs::leg_end::EndedBy;
use crate::call::program::{Called, Dialler, Parted, Run, Runner, Waits, Whisper};
use crate::call::search::controller::Controller;
use crate::call::shared::Cx;
use crate::call::transfer::warm::part_from_caller;

impl Dialler<'_> {
    /// Parts a party that has answered from the caller, and has its document run.
    pub(crate) fn begin_whisper(&mut self, cx: &mut Cx<'_>, leg: LegId, whisper: Whisper) {
        let near = cx.call.legs.near;
        let Some((_, spoken)) = cx.call.legs.offer_of(near) else { return self.decline(cx, leg) };
        let wires = part_from_caller(&mut self.parts.bridge, cx, leg);
        if !self.parts.bridge.media.talk_to_called(cx, leg) {
            cx.edge.decide(cx.now, cx.call.key, "Dial: the edge cannot speak to the party: it is not connected");
            return self.decline(cx, leg);
        }
        self.parts.bridge.media.spoken = spoken;
        self.parts.bridge.media.ring_to_caller(cx);
        let Some(outer) = self.parts.program.run.take() else { return };
        let Whisper { digits, document, to } = whisper;
        let (first, then) = match (digits, document) {
            (Some(digits), document) => (Source::Digits(digits), document),
            (None, Some((location, method))) => (Source::Fetch { location, method }, None),
            (None, None) => (Source::Digits(Secret::default()), None),
        };
        let program = program_of_called(Duration::ZERO, first);
        self.parts.program.run = Some(Box::new(Run {
            app: outer.app.clone(),
            program,
            began: cx.now,
            behind: Controller::Done,
            waits: Waits::Nothing,
            under_way: None,
            side: None,
            called: Some(Called { parted: Parted { leg, to, wires }, then, outer }),
            referral: None,
            shown_as: None,
            ring_timeout: None,
            is_turned_away: false,
            is_redirected: false,
        }));
        Runner::of(self.parts).run_program(cx);
    }

    /// What a called party was to hear is over: its document follows, it is connected, or its call ends.
    pub(crate) fn end_whisper(&mut self, cx: &mut Cx<'_>, joins: bool) {
        if let Some(run) = self.parts.program.run.as_mut().filter(|_| joins)
            && let Some((location, method)) = run.called.as_mut().and_then(|called| called.then.take())
        {
            run.program = program_of_called(run.time(cx.now), Source::Fetch { location, method });
            return;
        }
        let Some(Parted { leg, wires, .. }) = self.drop_whisper(cx) else { return };
        if joins {
            self.parts.bridge.media.end_talk();
            self.parts.bridge.media.stop_player(cx);
            for (from, (to, wire)) in wires {
                self.parts.bridge.media.connect_ends(cx, from, to, wire);
            }
            self.parts.bridge.media.tap_caller(cx);
            return self.side_bridged(cx);
        }
        self.decline(cx, leg);
    }

    /// Ends the call of a party that is not connected: its document says so, or could not be run.
    fn decline(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        cx.call.legs[leg].end_with(ReasonSlug::AppHungUp, EndedBy::Edge);
        self.parts.bridge.media.hang_up_leg(cx, leg, ReasonSlug::AppHungUp);
        self.parts.side_left(cx, ReasonSlug::AppHungUp);
    }

    /// Takes the program of a called party away; the caller's is in force again. Returns the party's leg and how it is to be
    /// connected.
    pub(crate) fn drop_whisper(&mut self, cx: &mut Cx<'_>) -> Option<Parted> {
        if !self.parts.program.run.as_ref().is_some_and(|run| run.is_whispering()) {
            return None;
        }
        Runner::of(self.parts).drop_question(cx);
        self.parts.bridge.media.end_talk_to_called(cx);
        let Called { parted, outer, .. } = self.parts.program.run.take()?.called?;
        self.parts.program.run = Some(outer);
        Some(parted)
    }
}

/// Makes the program of a called party.
fn program_of_called(now: Duration, source: Source) -> Program {
    let mut program = Program::new(Settings { role: Role::Called, ..Settings::default() });
    program.start(now, source, true);
    program
}
