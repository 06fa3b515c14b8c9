//! TwilioDevEd/clicktocall-node calls a visitor of its page by the API and connects the sales department. The program's
//! axios 0.19 sends requests for `https://` URLs to a proxy in absolute form, without CONNECT.

use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::interop::Setting;
use crate::interop::applications::{ACCOUNT, TOKEN};
use crate::interop::edge::Edge;
use crate::interop::programs::{self, Checkout, Program};
use crate::interop::proxied::write_variables;
use crate::interop::raw::Phone;
use crate::interop::sipp::{DESK, PBX};
use crate::interop::speaking::SpeakingParty;
use crate::interop::speech::Speech;

const PROGRAM: Checkout =
    Checkout { owner: "TwilioDevEd", name: "clicktocall-node", commit: "be43bf3231a4585a73e057e06e16a1a759913db2" };
const NUMBER: &str = "+14155550100";
/// Numbers entered in the form, each with the tone of its party in Hz.
const VISITOR: (&str, u32) = ("+14155550101", 450);
const SALES: (&str, u32) = ("+14155550123", 1_010);

/// Submits the form of the page, and checks that the parties hear each other.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = match PROGRAM.folder() {
        Ok(folder) => folder,
        Err(error) => return PROGRAM.missing(setting, error),
    };
    programs::install_locked(&folder)?;
    let package = std::fs::read_to_string(folder.join("node_modules/axios/package.json")).context("its axios")?;
    let package: serde_json::Value = serde_json::from_str(&package)?;
    let axios = package["version"].as_str().unwrap_or_default();
    ensure!(axios.starts_with("0.19."), "its axios is {axios}");
    let speech = Speech::new()?;
    let edge = Edge::start(&(speech.table(&[]) + &configuration(true)))?;
    let (visitor, sales) = (Phone::new(PBX, 5060, "visitor")?, Phone::new(DESK, 5060, "sales")?);
    let scratch = tempfile::tempdir()?;
    let variables = write_variables(&[&format!("http://{}", edge.http)], scratch.path())?;
    if setting.sabotage {
        // Broken: the edge is not a proxy.
        edge.write(&(speech.table(&[]) + &configuration(false)))?;
        edge.reload()?;
    }
    let address = programs::free_address()?;
    let mut command = Command::new("sh");
    command.args(["-c", &format!(". '{}'\nexec node app.js", variables.display())]).current_dir(&folder);
    command.env("PORT", address.port().to_string()).env("TWILIO_NUMBER", NUMBER);
    command.env("TWILIO_ACCOUNT_SID", ACCOUNT).env("TWILIO_AUTH_TOKEN", TOKEN);
    let program = Program::start(command, address)?;
    let told = || format!("{}\n{}", program.output(), edge.log_tail());
    let form = [("phoneNumber", VISITOR.0), ("salesNumber", SALES.0)];
    let said = programs::post(&format!("http://{address}/call"), &form).with_context(told)?;
    ensure!(said.contains("We will be calling you shortly"), "the page says {said}");
    connect(visitor, sales, &speech).with_context(told)?;
    Ok(format!(
        "axios {axios} by the variables of `twilio env`: the visitor is called, greeted and connected, and both hear \
         each other"
    ))
}

/// Returns a configuration with a trunk for each party.
fn configuration(is_proxy: bool) -> String {
    let trunk = |name: &str, ip: &str, number: &str| {
        format!(
            "[trunk.{name}]\noptions_interval = \"0s\"\npeers = [\"sip:{ip}:5060\"]\nallow_prefixes = [\"{number}\"]\n"
        )
    };
    format!(
        "[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nallow_private = true\nproxy = {is_proxy}\n\
         connect = [\"trunk:visitor\", \"trunk:sales\"]\n[[number]]\nnumber = \"{NUMBER}\"\n{}{}",
        trunk("visitor", PBX, VISITOR.0),
        trunk("sales", DESK, SALES.0)
    )
}

fn connect(visitor: Phone, sales: Phone, speech: &Speech) -> anyhow::Result<()> {
    let call = visitor.answer().context("the visitor is not called")?;
    let visitor = SpeakingParty::begin(visitor, call, VISITOR.1)?;
    visitor.hears(speech.spoken("Thanks for contacting our sales department")?.hz, 0)?;
    let call = sales.answer().context("the sales department is not called")?;
    let sales = SpeakingParty::begin(sales, call, SALES.1)?;
    visitor.hears(sales.hz(), 0)?;
    sales.hears(visitor.hz(), 0)?;
    visitor.hang_up()?;
    sales.is_hung_up_on()
}
