//! twilio-python moves both legs of a Dial: the party's leg to a document of its own, then both legs into a conference.
//! Twilio programs hold calls and transfer them with consultation in this way.

use anyhow::Context as _;

use crate::interop::Setting;
use crate::interop::applications::{ACCOUNT, TOKEN};
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages};
use crate::interop::raw::Phone;
use crate::interop::sipp::{DESK, PBX};
use crate::interop::speaking::SpeakingParty;
use crate::interop::speech::Speech;

const NUMBER: &str = "+14155550100";
/// Numbers of the caller and of the party, each with a tone in Hz.
const CALLER: (&str, u32) = ("+14155550101", 450);
const PARTY: (&str, u32) = ("+14155550123", 1_010);

/// Makes a call, and moves both of its legs.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let speech = Speech::new()?;
    let edge = Edge::start(&(speech.table(&[]) + &configuration()))?;
    let (caller, party) = (Phone::new(PBX, 5060, "caller")?, Phone::new(DESK, 5060, "party")?);
    move_both(&edge, (caller, party), &speech, setting.sabotage).with_context(|| edge.log_tail())?;
    Ok("twilio-python moves the party of a Dial to a document, then both legs into a conference: they part, and hear \
        each other again"
        .to_owned())
}

/// Returns a configuration with a trunk for each party.
fn configuration() -> String {
    let trunk = |name: &str, ip: &str, number: &str| {
        format!(
            "[trunk.{name}]\noptions_interval = \"0s\"\npeers = [\"sip:{ip}:5060\"]\nallow_prefixes = [\"{number}\"]\n"
        )
    };
    format!(
        "[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nconnect = [\"trunk:caller\", \"trunk:party\"]\n\
         [[number]]\nnumber = \"{NUMBER}\"\n{}{}",
        trunk("caller", PBX, CALLER.0),
        trunk("party", DESK, PARTY.0)
    )
}

/// Runs a step of the Python script.
fn step(edge: &Edge, name: &str) -> anyhow::Result<()> {
    let url = format!("http://{}", edge.http);
    let flags = [
        ("--url", url.as_str()),
        ("--account", ACCOUNT),
        ("--token", TOKEN),
        ("--caller-id", NUMBER),
        ("--caller", CALLER.0),
        ("--party", PARTY.0),
        ("--step", name),
    ];
    let flags: Vec<&str> = flags.iter().flat_map(|(name, value)| [*name, *value]).collect();
    python::output(Packages::Base, &python::script("twilio_hold.py"), &flags).with_context(|| name.to_owned())?;
    Ok(())
}

fn move_both(edge: &Edge, (caller, party): (Phone, Phone), speech: &Speech, sabotage: bool) -> anyhow::Result<()> {
    step(edge, "call")?;
    let call = caller.answer().context("the caller is not called")?;
    let caller = SpeakingParty::begin(caller, call, CALLER.1)?;
    let (invite, from) = party.called().context("the party is not called")?;
    step(edge, "early")?;
    let call = party.accept(&invite, from, |_| party.sdp())?;
    let party = SpeakingParty::begin(party, call, PARTY.1)?;
    hear_each_other(&caller, &party).context("in the Dial")?;
    step(edge, "apart")?;
    party.hears(speech.spoken("Please hold the line")?.hz, 0).context("the party's own document")?;
    caller.hears(speech.spoken("One moment please")?.hz, 0).context("the verb behind the Dial")?;
    let since = (caller.mark(), party.mark());
    // Broken: the legs are not moved into a conference.
    if !sabotage {
        step(edge, "room")?;
    }
    caller.has_not_heard(party.hz(), since.0).context("while they are apart")?;
    hear_each_other(&caller, &party).context("in the conference")?;
    party.hang_up()?;
    caller.is_hung_up_on().context("the conference ends with the party")
}

fn hear_each_other(caller: &SpeakingParty, party: &SpeakingParty) -> anyhow::Result<()> {
    let since = (caller.mark(), party.mark());
    caller.hears(party.hz(), since.0)?;
    party.hears(caller.hz(), since.1)
}
