//! TwilioDevEd/warm-transfer-flask puts a customer into a conference and calls agents by identities of Voice SDK
//! clients. The program's twilio-python 6.51 reads neither proxy nor trust store variables: a hosts entry and `twilio
//! trust` direct it to the edge, in a network namespace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::PYTHON;
use crate::commands;
use crate::interop::Setting;
use crate::interop::applications::{ACCOUNT, TOKEN};
use crate::interop::edge::{self, Edge};
use crate::interop::netns::{self, Namespace};
use crate::interop::programs::{self, Checkout, Program};
use crate::interop::python;
use crate::interop::raw::Phone;
use crate::interop::sipp::{CARRIER, DESK, PBX};
use crate::interop::speaking::SpeakingParty;
use crate::interop::speech::Speech;

const PROGRAM: Checkout =
    Checkout { owner: "TwilioDevEd", name: "warm-transfer-flask", commit: "0fee723f11f17cd816417c4e51e4aec08d1263cb" };
const NUMBER: &str = "+14155550100";
/// Tones in Hz of the customer and of both agents.
const TONES: [u32; 3] = [450, 1_010, 1_570];
/// Code that creates the tables of the program's database; the program's own code for that needs a Python before 3.11.
const TABLES: &str = "\
from warm_transfer_flask import prepare_app, db
app = prepare_app()
with app.app_context():
    db.create_all()
";

/// Tests a customer who waits, and a first agent who answers, adds the second agent, and leaves.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = netns::missing() {
        return Ok(skipped);
    }
    let folder = match PROGRAM.folder() {
        Ok(folder) => folder,
        Err(error) => return PROGRAM.missing(setting, error),
    };
    let python = programs::interpreter("warm-transfer", &folder)?;
    let here = Namespace::new("warm")?;
    here.hosts("127.0.0.1 localhost\n127.0.0.1 api.twilio.com\n")?;
    let rig = Rig { here: &here, folder: &folder, python: &python };
    here.enter(|| rig.transfer(setting.sabotage))?;
    Ok("twilio 6.51.0 by a hosts entry: a customer waits, agent1 and agent2 are called by their identities, and those \
        in the conference hear each other"
        .to_owned())
}

/// Returns a configuration with a trunk for each agent.
fn configuration(program: &str, has_clients: bool) -> String {
    let trunk =
        |n: usize, ip: &str| format!("[trunk.agent{n}]\noptions_interval = \"0s\"\npeers = [\"sip:{ip}:5060\"]\n");
    // Broken: no client identity has a target.
    let clients = if has_clients { "agent1 = \"trunk:agent1/201\"\nagent2 = \"trunk:agent2/202\"\n" } else { "" };
    format!(
        "[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nallow_private = true\n\
         tls = \"127.0.0.1:443\"\nconnect = [\"trunk:agent1\"]\n[client]\n{clients}\
         [app.support]\nurl = \"{program}/conference/connect/client\"\nallow_private = true\n\
         [[number]]\nnumber = \"{NUMBER}\"\napp = \"support\"\n\
         [trunk.carrier]\noptions_interval = \"0s\"\naccept_from = [\"{CARRIER}/32\"]\n{}{}\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"reject:404\"]\n",
        trunk(1, PBX),
        trunk(2, DESK)
    )
}

/// CA of an edge in the certifi bundle of a Python interpreter, removed on drop.
struct Trusted {
    binary: String,
    python: PathBuf,
}

impl Trusted {
    fn add(binary: &str, python: &Path, url: &str) -> anyhow::Result<Trusted> {
        let trusted = Trusted { binary: binary.to_owned(), python: python.to_owned() };
        trusted.change(&["--url", url])?;
        Ok(trusted)
    }

    fn change(&self, flags: &[&str]) -> anyhow::Result<()> {
        let mut trust = Command::new(&self.binary);
        trust.args(["twilio", "trust", "certifi", "--yes", "--python"]).arg(&self.python).args(flags);
        commands::output(&mut trust).context("trunkgate twilio trust")?;
        Ok(())
    }
}

impl Drop for Trusted {
    fn drop(&mut self) {
        drop(self.change(&["--undo"]));
    }
}

/// Network namespace in which the program runs.
struct Rig<'a> {
    here: &'a Namespace,
    folder: &'a Path,
    python: &'a Path,
}

impl Rig<'_> {
    /// Runs the test inside the network namespace.
    fn transfer(&self, sabotage: bool) -> anyhow::Result<()> {
        let binary = std::path::absolute(edge::binary())?.display().to_string();
        let address = programs::free_address()?;
        let (speech, url) = (Speech::new()?, format!("http://{address}"));
        let tables = speech.table(&[]) + &configuration(&url, !sabotage);
        let edge = Edge::start_by(self.here.command(&binary), &tables)?;
        let _trusted = Trusted::add(&binary, self.python, &format!("http://{}", edge.http))?;
        let key = edge.api("POST Keys.json", &[("FriendlyName", "warm-transfer-flask")])?;
        let field = |name: &str| key[name].as_str().map(str::to_owned).with_context(|| format!("a key without {name}"));
        python::run(self.command().args(["-c", TABLES])).context("its database")?;
        let mut serve = self.command();
        serve.env("TWILIO_ACCOUNT_SID", ACCOUNT).env("TWILIO_NUMBER", NUMBER);
        serve.env("TWILIO_API_KEY", field("sid")?).env("TWILIO_API_SECRET", field("secret")?);
        serve.args(["-m", "flask", "run", "--no-reload", "--port", &address.port().to_string()]);
        let program = Program::start(serve, address)?;
        let told = || format!("{}\n{}", program.output(), edge.log_tail());
        let agents = [Phone::new(PBX, 5060, "agent1")?, Phone::new(DESK, 5060, "agent2")?];
        talk(&edge, &url, &speech, agents).with_context(told)
    }

    fn command(&self) -> Command {
        let mut command = self.here.command(&self.python.display().to_string());
        command.current_dir(self.folder).envs(PYTHON);
        command.env("FLASK_APP", "warm_transfer_flask:prepare_app").env("FLASK_ENV", "development");
        command
    }
}

fn talk(edge: &Edge, url: &str, speech: &Speech, [first, second]: [Phone; 2]) -> anyhow::Result<()> {
    let phone = Phone::new(CARRIER, 0, "customer")?;
    let call = phone.call(edge.udp, NUMBER)?;
    let customer = SpeakingParty::begin(phone, call, TONES[0])?;
    customer.hears(speech.spoken("Please wait in line")?.hz, 0).context("the customer, waiting")?;
    let call = first.answer().context("agent1 is not called")?;
    let first = SpeakingParty::begin(first, call, TONES[1])?;
    all_hear_each_other(&[&customer, &first]).context("customer and agent1")?;
    programs::post(&format!("{url}/conference/agent1/call"), &[])?;
    let call = second.answer().context("agent2 is not called")?;
    let second = SpeakingParty::begin(second, call, TONES[2])?;
    all_hear_each_other(&[&customer, &first, &second]).context("all three")?;
    first.hang_up()?;
    // The last packets may still be in flight.
    std::thread::sleep(Duration::from_millis(300));
    let since = customer.mark();
    all_hear_each_other(&[&customer, &second]).context("customer and agent2")?;
    customer.has_not_heard(first.hz(), since)?;
    second.hang_up()?;
    customer.is_hung_up_on().context("the conference ends with agent2")
}

/// Waits until each party hears the tones of all others; fails if a party hears its own tone.
fn all_hear_each_other(parties: &[&SpeakingParty]) -> anyhow::Result<()> {
    let since: Vec<usize> = parties.iter().map(|party| party.mark()).collect();
    for (party, since) in parties.iter().zip(since) {
        for other in parties.iter().filter(|other| other.hz() != party.hz()) {
            party.hears(other.hz(), since)?;
        }
        party.has_not_heard(party.hz(), since)?;
    }
    Ok(())
}
