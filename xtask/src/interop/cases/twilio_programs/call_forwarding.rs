//! TwilioDevEd/call-forwarding-flask behind a proxy that terminates TLS. The program does not know the scheme of its
//! URL, and its Flask redirects to `http://` at its own host. The program forwards callers to the senators of their
//! state, by a zip code or by `FromState`.

use std::process::Command;

use anyhow::{Context as _, ensure};

use super::{PYTHON, hears};
use crate::interop::Setting;
use crate::interop::applications::{Application, Bench, TOKEN};
use crate::interop::caller::Caller;
use crate::interop::cases::twilio_apps::{CALL_FORWARDING, SENATORS};
use crate::interop::front::Front;
use crate::interop::programs::{self, Program};
use crate::interop::python;
use crate::interop::sipp::CARRIER;

const NUMBER: &str = "+14155550100";
/// Caller with an area code of Illinois, which the edge reports as `FromState` and `CallerState`.
const CHICAGO: &str = "+13125550123";
/// Numbers of the senators in the program's file.
const DURBIN: &str = "+14157671351";
const DUCKWORTH: &str = "+12174412652";

/// Tests a caller who enters a zip code, and one from Chicago who accepts the state that the program has found.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = match CALL_FORWARDING.folder() {
        Ok(folder) => folder,
        Err(error) => return CALL_FORWARDING.missing(setting, error),
    };
    let python = programs::interpreter("call-forwarding", &folder)?;
    let address = programs::free_address()?;
    let command = || {
        let mut command = Command::new(&python);
        command.current_dir(&folder).envs(PYTHON);
        command.env("FLASK_APP", "call_forward_flask").env("FLASK_ENV", "development");
        command
    };
    python::run(command().args(["-c", SENATORS])).context("its database")?;
    let mut serve = command();
    serve.args(["-m", "flask", "run", "--no-reload", "--port", &address.port().to_string()]);
    let program = Program::start(serve, address)?;
    let front = Front::start(address)?;
    // Broken: the edge follows redirects literally, by http to a TLS port.
    let further = if setting.sabotage { "\ninsecure_redirects = true" } else { "" };
    let keys = format!("url = \"{}/callcongress/welcome\"\nallow_private = true{further}", front.url);
    let bench = Bench::start(TOKEN, &[Application { number: NUMBER.to_owned(), keys }], Some(&front))?;
    let told = || format!("{}\n{}", program.output(), bench.edge.log_tail());
    by_zip_code(&bench, &front).with_context(told)?;
    by_state(&bench).with_context(told)?;
    Ok("Flask 1.1.2 behind TLS: redirects to http are asked by https; both senators by a zip code, one by the state \
        of +1 312"
        .to_owned())
}

fn by_zip_code(bench: &Bench, front: &Front) -> anyhow::Result<()> {
    let caller = bench.call(NUMBER)?;
    hears(bench, &caller, "Thank you for calling Call Congress", 0)?;
    "60616".chars().try_for_each(|digit| caller.press(digit))?;
    let looked_up = front.exchange("POST /callcongress/state-lookup", 0)?;
    let is_insecure = looked_up.location.starts_with("http://localhost:");
    ensure!(looked_up.status == 302 && is_insecure, "{} to {:?}", looked_up.status, looked_up.location);
    hears(bench, &caller, "Connecting you to Richard J. Durbin", 0)?;
    let (invite, from) = bench.dialled(DURBIN, None)?;
    let call = bench.connected(&caller, &invite, from)?;
    bench.hangs_up(&call)?;
    hears(bench, &caller, "Connecting you to Tammy Duckworth", 0)?;
    let (invite, from) = bench.dialled(DUCKWORTH, None)?;
    bench.is_busy(&invite, from)?;
    hears(bench, &caller, "Your voice makes a difference", 0)?;
    caller.is_hung_up_on()
}

fn by_state(bench: &Bench) -> anyhow::Result<()> {
    let caller = Caller::call_from(CARRIER, CHICAGO, bench.edge.udp, NUMBER)?;
    hears(bench, &caller, "you're calling from IL", 0)?;
    let since = caller.mark();
    caller.press('1')?;
    hears(bench, &caller, "Connecting you to Richard J. Durbin", since)?;
    let (invite, from) = bench.dialled(DURBIN, Some(CHICAGO))?;
    bench.connected(&caller, &invite, from)?;
    caller.hang_up()?;
    bench.is_hung_up_on()
}
