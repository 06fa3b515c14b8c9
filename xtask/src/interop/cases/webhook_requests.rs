//! Requests of the real binary to applications, validated in real servers by both of Twilio's libraries: documents,
//! whispers, actions, call progress and fallbacks, by POST and GET, over HTTP with a port and over TLS, with query
//! strings and credentials.

use anyhow::{Context as _, bail, ensure};

use crate::interop::applications::{Application, Bench, TOKEN, accepted};
use crate::interop::front::Front;
use crate::interop::python::{self, Packages, Script};
use crate::interop::{Setting, node};

/// Number that the applications dial.
const DESK: &str = "+14155550199";
/// Requests expected in a call: path, whether the method is the application's own, and words of the parameters.
const REQUESTS: [(&str, bool, &str); 10] = [
    ("/voice", true, "\"tenant\":\"a b\""),
    ("/gather", true, "\"Digits\":\"5\""),
    ("/whisper", true, "\"for\":\"party\""),
    ("/progress", true, "\"CallStatus\":\"initiated\""),
    ("/progress", true, "\"CallStatus\":\"ringing\""),
    ("/progress", true, "\"CallStatus\":\"in-progress\""),
    ("/progress", true, "\"CallStatus\":\"completed\""),
    ("/dialled", true, "\"DialCallStatus\":\"completed\""),
    ("/again", false, "\"a\":"),
    ("/status", true, "\"CallStatus\":\"completed\""),
];

/// Calls the applications of both servers in all these ways.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // Broken: the edge signs requests with another secret.
    let token = if setting.sabotage { "another0123456789another0123456789" } else { TOKEN };
    let flags = ["--token", TOKEN];
    let by_python = Script::start(Packages::Forms, &python::script("webhook_application.py"), &flags)?;
    let by_node = node::start(node::Packages::Express, &node::script("webhook_application.cjs"), &flags)?;
    let mut requests = 0;
    for (library, judge) in [("twilio-python", by_python), ("twilio-node", by_node)] {
        judged(&judge, token).with_context(|| library.to_owned())?;
        requests += judge.lines().iter().filter(|line| line.starts_with("accepted ")).count();
    }
    Ok(format!("{requests} requests of 12 calls accepted, none refused"))
}

fn judged(judge: &Script, token: &str) -> anyhow::Result<()> {
    let front = Front::start(judge.address)?;
    let places = [format!("http://{}", judge.address), front.url.clone()];
    let applications: Vec<Application> = (1..).zip(&places).flat_map(|(place, url)| ways(url, place)).collect();
    let bench = Bench::start(token, &applications, Some(&front))?;
    for (place, url) in (1..).zip(&places) {
        for (method, kind) in [("POST", 1), ("GET", 2)] {
            let since = judge.lines().len();
            whole_call(&bench, &number(place, kind))
                .with_context(|| format!("{method} {url}: {}", judge.lines().join("\n")))?;
            for (path, own, words) in REQUESTS {
                let other = if method == "POST" { "GET" } else { "POST" };
                // The edge always reports the progress of its own call by POST.
                let method = if path == "/status" {
                    "POST"
                } else if own {
                    method
                } else {
                    other
                };
                accepted(judge, since, &[&format!("{method} {path} "), words])?;
            }
        }
        let since = judge.lines().len();
        let Err(refused) = bench.call(&number(place, 3)) else { bail!("a refused call was answered") };
        ensure!(format!("{refused:#}").contains("486"), "{refused:#} instead of 486");
        accepted(judge, since, &["POST /broken "])?;
        accepted(judge, since, &["POST /fallback ", "\"ErrorCode\":\"11200\"", "/broken?x=1"])?;
    }
    Ok(())
}

/// Returns the number of an application on a server.
fn number(place: u32, kind: u32) -> String {
    format!("+1415555{place}{kind}00")
}

fn ways(url: &str, place: u32) -> Vec<Application> {
    let guarded = url.replace("://", "://ann:s3%20cret@");
    let status = format!("status_callback = \"{url}/status?of=call\"");
    let keys = [
        format!("url = \"{guarded}/voice?tenant=a%20b&by=POST\"\n{status}"),
        format!("url = \"{guarded}/voice?tenant=a%20b&by=GET\"\nmethod = \"GET\"\n{status}"),
        format!("url = \"{url}/broken?x=1\"\nfallback_url = \"{url}/fallback?y=2\""),
    ];
    let keys = (1..).zip(keys);
    keys.map(|(kind, keys)| Application { number: number(place, kind), keys: format!("{keys}\nallow_private = true") })
        .collect()
}

/// Makes a complete call: the menu, a digit, the party with its whisper, and the hang-ups.
fn whole_call(bench: &Bench, number: &str) -> anyhow::Result<()> {
    let caller = bench.call(number)?;
    bench.hears(&caller, "Press any key", "en-us", 0)?;
    caller.press('5')?;
    let (invite, from) = bench.dialled(DESK, None)?;
    let call = bench.connected(&caller, &invite, from)?;
    bench.hangs_up(&call)?;
    caller.is_hung_up_on()
}
