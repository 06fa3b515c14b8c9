//! twilio-samples/basic-ivr-python keeps the state of each caller's menu in a Flask session: without the call's
//! cookies, the program repeats its greeting forever.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::{PYTHON, hears};
use crate::interop::Setting;
use crate::interop::applications::{Application, Bench, TOKEN};
use crate::interop::caller::Caller;
use crate::interop::programs::{self, Checkout, Program};

const PROGRAM: Checkout =
    Checkout { owner: "twilio-samples", name: "basic-ivr-python", commit: "75f71935b4b61d2437bbd15da9e3bf98cc1639fa" };
const NUMBER: &str = "+14155550100";
/// Number of the receptionist in the program.
const RECEPTION: &str = "+19715701777";
const GREETING: &str = "Welcome to ACME";
const MENU: &str = "Listen to the following menu options";
/// Code that runs the program without sessions, as if its cookies were lost.
const FORGETFUL: &str = "\
import sys
from app import app
app.session_interface.save_session = lambda *arguments: None
app.run(port=int(sys.argv[1]))
";

/// Goes through the menu to the receptionist, while a second caller uses the menu.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = match PROGRAM.folder() {
        Ok(folder) => folder,
        Err(error) => return PROGRAM.missing(setting, error),
    };
    let python = programs::interpreter("basic-ivr", &folder)?;
    let address = programs::free_address()?;
    let program = Program::start(command(&python, &folder, address.port(), setting.sabotage), address)?;
    let keys = format!("url = \"http://{address}/webhook\"\nallow_private = true");
    let bench = Bench::start(TOKEN, &[Application { number: NUMBER.to_owned(), keys }], None)?;
    walk(&bench).with_context(|| format!("{}\n{}", program.output(), bench.edge.log_tail()))?;
    Ok("a menu in a session of Flask 3.0.3: hours, hours again, menu, a digit without a choice, a party; a second \
        caller has a session of its own"
        .to_owned())
}

fn command(python: &Path, folder: &Path, port: u16, is_forgetful: bool) -> Command {
    let mut command = Command::new(python);
    command.current_dir(folder).envs(PYTHON);
    // Broken: the cookies are lost.
    let start: &[&str] = if is_forgetful { &["-c", FORGETFUL] } else { &["-m", "flask", "run", "--port"] };
    command.args(start).arg(port.to_string());
    command
}

fn walk(bench: &Bench) -> anyhow::Result<()> {
    let caller = bench.call(NUMBER)?;
    hears(bench, &caller, GREETING, 0)?;
    hears(bench, &caller, MENU, 0)?;
    let other = bench.call(NUMBER)?;
    hears(bench, &other, GREETING, 0)?;
    choose(bench, &caller, '3', &["We are open Mondays", "Press 1 to repeat"])?;
    choose(bench, &caller, '1', &["We are open Mondays"])?;
    choose(bench, &caller, '9', &[MENU])?;
    choose(bench, &caller, '7', &["The option that you selected is invalid", MENU])?;
    other.hang_up()?;
    caller.press('0')?;
    let (invite, from) = bench.dialled(RECEPTION, None)?;
    let call = bench.connected(&caller, &invite, from)?;
    bench.hangs_up(&call)?;
    caller.is_hung_up_on()
}

/// Sends a digit and waits until the caller hears these words, in order.
fn choose(bench: &Bench, caller: &Caller, key: char, all: &[&str]) -> anyhow::Result<()> {
    let since = caller.mark();
    caller.press(key)?;
    all.iter().try_for_each(|words| hears(bench, caller, words, since)).with_context(|| format!("after {key}"))
}
