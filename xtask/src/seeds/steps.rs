//! Steps of the page that its servers handle: each is a call, judged by the audio, by the requests to the server and by
//! the calls to the dialled party.

use anyhow::{Context as _, bail, ensure};

use super::page::Page;
use super::servers::{Environment, Server, free};
use crate::interop::applications::{Application, Bench, TOKEN, accepted};
use crate::interop::caller::Caller;
use crate::interop::front::Front;
use crate::interop::node;
use crate::interop::python::{self, Packages, Script};

/// Numbers that the page's documents dial.
const SALES: &str = "+14155550100";
const SUPPORT: &str = "+14155550101";
/// Number of an application with a path that the server does not know.
const NOWHERE: &str = "+14155551001";
/// Number of an application that does not respond with TwiML.
const HEALTH: &str = "+14155551002";
/// Voice of the speech program that corresponds to the page's.
const JOANNA: &str = "joanna";

/// Language in which a server is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Node,
    Python,
}

/// Server of the page behind an edge, for the steps of the server.
#[derive(Debug)]
pub(super) struct Setup<'a> {
    language: Language,
    page: &'a Page,
    bench: Bench,
    front: Front,
    judge: Script,
    caller_id: &'a str,
    _server: Server,
}

/// Step of the page: section, name, and the call by which it is judged.
pub(super) struct Step {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) run: fn(&Setup<'_>) -> anyhow::Result<String>,
}

/// Steps for the Node server only: the Python server has no health check.
pub(super) const OF_NODE: [Step; 1] =
    [Step { section: "troubleshooting 4", name: "12100: a body that is no document", run: no_xml }];

/// Steps for both servers, in the order of the page.
pub(super) const STEPS: [Step; 9] = [
    Step { section: "inbound webhook", name: "the call is answered and the menu spoken", run: menu },
    Step { section: "inbound webhook", name: "1 during the prompt: sales is dialled and connected", run: sales },
    Step { section: "inbound webhook", name: "2: support is dialled and busy", run: support },
    Step { section: "inbound webhook", name: "another digit: the error is spoken, then the menu", run: invalid },
    Step { section: "inbound webhook", name: "no digit: the farewell, then the end", run: silent },
    Step { section: "Dial", name: "the caller hangs up while the party rings", run: withdrawn },
    Step { section: "status callbacks", name: "initiated, ringing, answered, completed", run: callbacks },
    Step { section: "troubleshooting 2", name: "11200: an error of HTTP", run: no_document },
    Step { section: "troubleshooting 9", name: "another token: the server refuses the signature", run: forged },
];

impl<'a> Setup<'a> {
    /// Starts the page's server in this language behind an edge.
    pub(super) fn start(page: &'a Page, language: Language, sabotage: bool) -> anyhow::Result<Setup<'a>> {
        let address = free()?;
        let front = Front::start(address)?;
        let caller_id = page.export("TWILIO_CALLER_ID")?;
        let environment = Environment { token: TOKEN, url: &front.url, caller_id };
        let (server, judge) = match language {
            Language::Node => {
                let flags = ["--token", TOKEN];
                let judge = node::start(node::Packages::Express, &node::script("webhook_application.cjs"), &flags)?;
                (Server::node(&page.node_server()?, address, environment)?, judge)
            }
            Language::Python => {
                let flags = ["--token", TOKEN];
                let judge = Script::start(Packages::Forms, &python::script("webhook_application.py"), &flags)?;
                (Server::python(&page.python_server()?, address, environment)?, judge)
            }
        };
        // Broken: requests are signed with another secret.
        let token = if sabotage { "another0123456789another0123456789" } else { TOKEN };
        let bench = Bench::start(token, &applications(&front.url, &judge, caller_id), Some(&front))?;
        Ok(Setup { language, page, bench, front, judge, caller_id, _server: server })
    }

    /// Calls the page's number and waits for the menu; returns the caller, and the number of requests before the call.
    fn menu(&self) -> anyhow::Result<(Caller, usize)> {
        let before = self.front.exchanges().len();
        let caller = self.bench.call(self.caller_id)?;
        self.bench.hears(&caller, "Press 1", JOANNA, 0)?;
        Ok((caller, before))
    }
}

fn applications(url: &str, judge: &Script, caller_id: &str) -> Vec<Application> {
    let status = format!("status_callback = \"http://{}/status?of=seed\"", judge.address);
    let events = "status_callback_events = [\"initiated\", \"ringing\", \"answered\", \"completed\"]";
    let application = |number: &str, path: &str, further: &str| Application {
        number: number.to_owned(),
        keys: format!("url = \"{url}{path}\"\nallow_private = true\n{further}"),
    };
    vec![
        application(caller_id, "/voice/inbound", &format!("{status}\n{events}")),
        application(NOWHERE, "/voice/nowhere", ""),
        application(HEALTH, "/healthz", "method = \"GET\""),
    ]
}

fn menu(setup: &Setup<'_>) -> anyhow::Result<String> {
    let (caller, before) = setup.menu()?;
    let inbound = setup.front.exchange("POST /voice/inbound", before)?;
    ensure!(inbound.status == 200, "the server answered {}", inbound.status);
    ensure!(inbound.parameter("To") == setup.caller_id, "To is {}", inbound.parameter("To"));
    for name in ["CallSid", "AccountSid", "From", "Caller", "Called", "CallStatus", "Direction", "ApiVersion"] {
        ensure!(!inbound.parameter(name).is_empty(), "no {name} in {:?}", inbound.form);
    }
    caller.hang_up()?;
    Ok("signature accepted, prompt heard in the mapped voice".to_owned())
}

/// Sends a digit during the menu's prompt; returns the caller after the request that this causes.
fn choose(setup: &Setup<'_>, key: char) -> anyhow::Result<Caller> {
    let (caller, before) = setup.menu()?;
    caller.press(key)?;
    let chosen = setup.front.exchange("POST /voice/menu", before)?;
    ensure!(chosen.status == 200, "the server answered {}", chosen.status);
    ensure!(chosen.parameter("Digits") == key.to_string(), "Digits is {}", chosen.parameter("Digits"));
    Ok(caller)
}

fn sales(setup: &Setup<'_>) -> anyhow::Result<String> {
    let caller = choose(setup, '1')?;
    let (invite, from) = setup.bench.dialled(SALES, Some(setup.caller_id))?;
    let call = setup.bench.connected(&caller, &invite, from)?;
    setup.bench.hangs_up(&call)?;
    caller.is_hung_up_on()?;
    Ok("number and caller ID as given, both hear each other, the end of the document hangs up".to_owned())
}

fn support(setup: &Setup<'_>) -> anyhow::Result<String> {
    let caller = choose(setup, '2')?;
    let (invite, from) = setup.bench.dialled(SUPPORT, Some(setup.caller_id))?;
    setup.bench.is_busy(&invite, from)?;
    caller.is_hung_up_on()?;
    Ok("486 ends the Dial, and the document".to_owned())
}

fn invalid(setup: &Setup<'_>) -> anyhow::Result<String> {
    let caller = choose(setup, '9')?;
    setup.bench.hears(&caller, "Invalid choice", JOANNA, 0)?;
    let since = caller.mark();
    setup.bench.hears(&caller, "Press 1", JOANNA, since)?;
    caller.press('1')?;
    let (invite, from) = setup.bench.dialled(SALES, Some(setup.caller_id))?;
    setup.bench.is_busy(&invite, from)?;
    caller.is_hung_up_on()?;
    Ok("both texts heard in order, the second choice counts".to_owned())
}

fn silent(setup: &Setup<'_>) -> anyhow::Result<String> {
    let (caller, before) = setup.menu()?;
    setup.bench.hears(&caller, "No input", JOANNA, 0)?;
    caller.is_hung_up_on()?;
    let more = setup.front.exchanges().into_iter().skip(before).any(|one| one.request.ends_with("/voice/menu"));
    ensure!(!more, "the action was asked without a digit");
    Ok("heard after the timeout, no request of the action, BYE".to_owned())
}

fn withdrawn(setup: &Setup<'_>) -> anyhow::Result<String> {
    let caller = choose(setup, '1')?;
    let (invite, from) = setup.bench.dialled(SALES, Some(setup.caller_id))?;
    setup.bench.is_cancelled(&invite, from, || caller.hang_up())?;
    Ok("CANCEL to the party".to_owned())
}

fn callbacks(setup: &Setup<'_>) -> anyhow::Result<String> {
    let before = setup.judge.lines().len();
    let (caller, _) = setup.menu()?;
    caller.hang_up()?;
    for status in ["initiated", "ringing", "in-progress", "completed"] {
        accepted(&setup.judge, before, &["POST /status", &format!("\"CallStatus\":\"{status}\"")])?;
    }
    Ok("each accepted by the SDK's validator".to_owned())
}

fn no_document(setup: &Setup<'_>) -> anyhow::Result<String> {
    let Err(refused) = setup.bench.call(NOWHERE) else { bail!("the call was answered") };
    setup.bench.trace_has("11200")?;
    Ok(format!("404 of the server, the caller gets {}", status_of(&refused)))
}

fn no_xml(setup: &Setup<'_>) -> anyhow::Result<String> {
    let Err(refused) = setup.bench.call(HEALTH) else { bail!("the call was answered") };
    setup.bench.trace_has("12100")?;
    Ok(format!("the health check's text, the caller gets {}", status_of(&refused)))
}

fn forged(setup: &Setup<'_>) -> anyhow::Result<String> {
    let address = free()?;
    let front = Front::start(address)?;
    let environment =
        Environment { token: "another0123456789another0123456789", url: &front.url, caller_id: setup.caller_id };
    let (_server, expected) = match setup.language {
        Language::Node => (Server::node(&setup.page.node_server()?, address, environment)?, 403),
        // The Python server raises an exception.
        Language::Python => (Server::python(&setup.page.python_server()?, address, environment)?, 500),
    };
    let url = format!("url = \"{}/voice/inbound\"\nallow_private = true", front.url);
    let application = Application { number: setup.caller_id.to_owned(), keys: url };
    // Trunks have one address each, so this edge runs next to the other one and has no party for its calls.
    let edge = Bench::start_alone(TOKEN, &[application], &front)?;
    let call = Caller::call(edge.udp, setup.caller_id);
    let Err(refused) = call else { bail!("the call was answered") };
    let status = front.exchange("POST /voice/inbound", 0).context("no request")?.status;
    ensure!(status == expected, "the server answered {status} instead of {expected}");
    ensure!(edge.newest_trace()?.contains("11200"), "no 11200 in the trace");
    Ok(format!("{status} and 11200, the caller gets {}", status_of(&refused)))
}

/// Returns the SIP status in the error of a failed call.
pub(super) fn status_of(refused: &anyhow::Error) -> String {
    let text = format!("{refused:#}");
    let status = text.split("SIP/2.0 ").nth(1).and_then(|rest| rest.split(" instead").next());
    status.unwrap_or(&text).to_owned()
}
