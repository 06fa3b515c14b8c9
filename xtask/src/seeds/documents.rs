//! The page's documents and its example of use, each as an application of its own.

use anyhow::{Context as _, ensure};

use super::page::Page;
use super::servers::{Environment, Server, free};
use crate::interop::applications::{Application, Bench, TOKEN};
use crate::interop::front::Front;

/// Caller ID of the page's documents.
const CALLER_ID: &str = "+14155551234";

/// Judges of them: section of the page, name, and the call.
pub(super) struct Step {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) run: fn(&Page) -> anyhow::Result<String>,
}

/// All of them.
pub(super) const STEPS: [Step; 3] = [
    Step { section: "stored templates", name: "outbound.xml: a text, then the number", run: template },
    Step { section: "usage 1", name: "the handler for Node: a text, then the number", run: handler },
    Step { section: "usage 5", name: "SIP to telephone: a text, the number is busy, another text", run: fallback },
];

/// The document that contains these words, as a static file's text.
fn document(page: &Page, words: &str) -> anyhow::Result<String> {
    let found = page.documents().into_iter().find(|document| document.contains(words));
    found.with_context(|| format!("the page has no document with {words:?}"))
}

/// An edge whose one application is this file. The configuration names it by its place below its folder.
fn with_file(text: &str) -> anyhow::Result<Bench> {
    let application = Application { number: CALLER_ID.to_owned(), keys: "file = \"page.xml\"".to_owned() };
    Bench::with_file(TOKEN, &application, ("page.xml", text))
}

fn template(page: &Page) -> anyhow::Result<String> {
    let bench = with_file(&document(page, "Connecting your call")?)?;
    let caller = bench.call(CALLER_ID)?;
    bench.hears(&caller, "Connecting", "joanna", 0)?;
    let (invite, from) = bench.dialled("+14155559876", Some(CALLER_ID))?;
    let call = bench.connected(&caller, &invite, from)?;
    bench.hangs_up(&call)?;
    caller.is_hung_up_on()?;
    bench.trace_has("record")?;
    Ok("heard, dialled, connected; `record` is skipped with a warning (recording: not yet)".to_owned())
}

fn handler(page: &Page) -> anyhow::Result<String> {
    let address = free()?;
    let front = Front::start(address)?;
    let environment = Environment { token: TOKEN, url: &front.url, caller_id: CALLER_ID };
    let _server = Server::example(&page.node_example()?, address, environment)?;
    let keys = format!("url = \"{}/voice\"\nallow_private = true", front.url);
    let bench = Bench::start(TOKEN, &[Application { number: CALLER_ID.to_owned(), keys }], Some(&front))?;
    let caller = bench.call(CALLER_ID)?;
    bench.hears(&caller, "incident", "matthew", 0)?;
    let (invite, from) = bench.dialled("+14155550123", Some(CALLER_ID))?;
    let call = bench.connected(&caller, &invite, from)?;
    caller.hang_up()?;
    bench.is_hung_up_on()?;
    drop(call);
    Ok("heard in the other voice, dialled, connected, ended by the caller; `record`: not yet".to_owned())
}

fn fallback(page: &Page) -> anyhow::Result<String> {
    let bench = with_file(&document(page, "Routing your SIP call")?)?;
    let caller = bench.call(CALLER_ID)?;
    bench.hears(&caller, "Routing", "matthew", 0)?;
    let (invite, from) = bench.dialled("+14155550199", Some(CALLER_ID))?;
    bench.is_busy(&invite, from)?;
    let text = bench.hears(&caller, "could not connect", "matthew", 0)?;
    ensure!(!text.is_empty(), "no text");
    caller.is_hung_up_on()?;
    Ok("both texts heard, the number dialled between them, BYE".to_owned())
}
