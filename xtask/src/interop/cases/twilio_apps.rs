//! Demo applications of TwilioDevEd for incoming calls, tested like in their CI job: `trunkgate twilio --app URL
//! --start COMMAND` with scripts. Their code is fetched at a commit and not changed; pinned dependencies that can no
//! longer be installed are replaced by the newest compatible version. `TRUNKGATE_APPS` may name a folder with checkouts
//! by name; otherwise they are cloned from their public address.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::interop::programs::{self, Checkout};
use crate::interop::{Setting, edge, install, python};

/// Maximum duration of an application's test for each script, from the start of the command to its end.
const LONGEST_S: f64 = 10.0;

/// Packages among the requirements of call-forwarding-flask that the application imports.
const FLASK: &[&str] = &[
    "Flask==1.1.4",
    "Flask-SQLAlchemy==2.5.1",
    "SQLAlchemy==1.4.54",
    "Werkzeug==1.0.1",
    "Jinja2==2.11.3",
    "MarkupSafe==2.0.1",
    "itsdangerous==1.1.0",
    "click==7.1.2",
    "twilio==6.63.2",
];
/// Packages that ivr-recording-django imports.
const DJANGO: &[&str] = &["Django==3.2.25", "django-environ==0.4.5", "twilio==6.35.4"];

/// Program that fills the database of call-forwarding-flask: with the application's own senators, and one zip code of
/// its tests.
pub(super) const SENATORS: &str = "\
from call_forward_flask import app, db, parsers
with app.app_context():
    db.drop_all()
    db.create_all()
    parsers.data_from_json(open('senators.json').read())
    parsers.zips_from_csv([(0, None), (1, ['60616', '', '', 'IL'])])
";

/// Application that forwards calls to senators.
pub(super) const CALL_FORWARDING: Checkout = Checkout {
    owner: "TwilioDevEd",
    name: "call-forwarding-flask",
    commit: "d361c916f7a9599e32dd99e3bd2de60238f7020d",
};

/// Application that the case tests.
struct Application {
    checkout: Checkout,
    /// Path of the application's webhook.
    path: &'static str,
    flags: &'static [&'static str],
    scripts: &'static [&'static str],
    /// Prepares the application in its folder; returns the start command, with `{port}`, and variables.
    prepare: fn(&Path) -> anyhow::Result<Start>,
}

/// Command that starts an application, and environment variables for it.
type Start = (String, Vec<(&'static str, &'static str)>);

const APPLICATIONS: [Application; 3] = [
    Application {
        checkout: Checkout {
            owner: "TwilioDevEd",
            name: "ivr-phone-tree-node",
            commit: "272a414c9aa81b3eac1db399686090fdd7bfb3e4",
        },
        path: "/ivr/welcome",
        flags: &[],
        scripts: &[
            "hear Thanks for calling the E T Phone Home Service\npress 2\nhear To call the planet Broh doe As O G\npress 3\n\
             dial +17262043675\nhear audio\nparty hangs up\nends completed",
            "hear press 1 for directions\npress 9\nhear Returning to the main menu\nhear Thanks for calling",
        ],
        prepare: node,
    },
    Application {
        checkout: CALL_FORWARDING,
        path: "/callcongress/welcome",
        // A Gather of this application has an attribute that Twilio does not know either.
        flags: &["--allow-warnings"],
        scripts: &[
            // The caller's area code belongs to California.
            "hear you're calling from CA\npress 1\nhear Connecting you to Barbara Boxer\ndial +14157671351\nparty hangs up\n\
             hear Connecting you to Dianne Feinstein\ndial +12174412652 busy\nhear Your voice makes a difference\n\
             ends completed",
            "hear you're calling from CA\npress 2\nhear If you wish to call your senators\npress 60616\n\
             hear Connecting you to Richard J. Durbin\ndial +14157671351\nparty hangs up\n\
             hear Connecting you to Tammy Duckworth\ndial +12174412652 busy\nhear Your voice makes a difference\n\
             ends completed",
        ],
        prepare: flask,
    },
    Application {
        checkout: Checkout {
            owner: "TwilioDevEd",
            name: "ivr-recording-django",
            commit: "766a0c6cdf39e82206344324d58e015ddca49387",
        },
        path: "/ivr/welcome/",
        // The menu of this application is a file on the Internet; its callerId is the agent's own number, which an
        // account would have verified.
        flags: &["--allow-missing-audio", "--number", "+15558675309"],
        scripts: &[
            "press 2\nhear To call the planet DuhGo bah, press 3\npress 3\nhear You'll be connected shortly to your planet\n\
             dial +15558675309\nparty hears Press any key to accept\nparty presses 1#\n\
             party hears Connecting you to the extraterrestrial\nhear audio\nhang up",
        ],
        prepare: django,
    },
];

/// Script for the first application, of which the second expectation fails.
const FAILS: &str = "hear press 1 for directions\npress 1\nhear list of planets";

/// Tests each application with its scripts, and the first application also with a script that must fail.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let mut figures = Vec::new();
    for application in &APPLICATIONS {
        let name = application.checkout.name;
        let folder = match application.checkout.folder() {
            Ok(folder) => folder,
            Err(error) => return application.checkout.missing(setting, error),
        };
        let start = (application.prepare)(&folder).context(name)?;
        let job = Job { application, folder: &folder, start: &start };
        let (code, reports, seconds) = job.run(application.scripts, setting.sabotage)?;
        ensure!(code == 0, "{name}: exit code {code}: {reports:#}");
        ensure!(seconds < LONGEST_S * f64::from(u32::try_from(application.scripts.len())?), "{name}: {seconds:.1} s");
        figures.push(format!("{name} {seconds:.1} s"));
        if figures.len() == 1 {
            let (code, reports, _) = job.run(&[FAILS], false)?;
            let failure = reports[0]["failures"][0].as_str().unwrap_or_default();
            let is_said = failure.contains("did not hear this text") && failure.contains("get on your bike");
            ensure!(code == 1 && is_said, "an expectation that fails: exit code {code}: {reports:#}");
        }
    }
    Ok(format!("{}; an expectation that fails exits 1 and prints what the caller heard instead", figures.join(", ")))
}

/// Test of an application, as in the application's CI job.
struct Job<'a> {
    application: &'a Application,
    folder: &'a Path,
    start: &'a Start,
}

impl Job<'_> {
    /// Runs scripts; returns the exit code, the reports, and the seconds from the start of the command to its end.
    fn run(&self, scripts: &[&str], sabotage: bool) -> anyhow::Result<(i32, Value, f64)> {
        let port = programs::free_address()?.port();
        let scratch = tempfile::tempdir()?;
        let mut command = Command::new(std::path::absolute(edge::binary())?);
        // Broken: the number leads to a page instead of the webhook.
        let path = if sabotage { "/" } else { self.application.path };
        command.args(["twilio", "--json", "--timeout", "5s", "--app", &format!("http://127.0.0.1:{port}{path}")]);
        command.args(["--start", &self.start.0.replace("{port}", &port.to_string())]).args(self.application.flags);
        command.current_dir(self.folder).envs(self.start.1.iter().copied());
        for (at, script) in scripts.iter().enumerate() {
            let file = scratch.path().join(format!("{at}.call"));
            std::fs::write(&file, script)?;
            command.arg(file);
        }
        let began = Instant::now();
        let output = command.output()?;
        let seconds = began.elapsed().as_secs_f64();
        let reports = serde_json::from_slice(&output.stdout);
        let reports = reports.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok((output.status.code().context("it was killed")?, reports, seconds))
    }
}

fn node(folder: &Path) -> anyhow::Result<Start> {
    install::packages(&[("node", "nodejs"), ("npm", "npm")])?;
    if !folder.join("node_modules").is_dir() {
        println!("      installing its packages");
        let flags = ["install", "--omit=dev", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"];
        python::run(Command::new("npm").args(flags).current_dir(folder)).context("npm install")?;
    }
    Ok(("PORT={port} npm start".to_owned(), Vec::new()))
}

fn flask(folder: &Path) -> anyhow::Result<Start> {
    let python = std::path::absolute(python::environment("flask-1", FLASK)?)?;
    let variables = vec![
        ("FLASK_APP", "call_forward_flask"),
        ("FLASK_ENV", "development"),
        ("PYTHONWARNINGS", "ignore"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
    ];
    let mut fill = Command::new(&python);
    python::run(fill.args(["-c", SENATORS]).current_dir(folder).envs(variables.iter().copied()))?;
    Ok((format!("exec '{}' -m flask run --no-reload --port {{port}}", python.display()), variables))
}

fn django(folder: &Path) -> anyhow::Result<Start> {
    let python = std::path::absolute(python::environment("django-3", DJANGO)?)?;
    let variables =
        vec![("SECRET_KEY", "not a secret"), ("PYTHONWARNINGS", "ignore"), ("PYTHONDONTWRITEBYTECODE", "1")];
    for arguments in [&["migrate"][..], &["loaddata", "ivr/fixtures/agents.json"]] {
        let mut manage = Command::new(&python);
        python::run(manage.arg("manage.py").args(arguments).current_dir(folder).envs(variables.iter().copied()))?;
    }
    Ok((format!("exec '{}' manage.py runserver --noreload {{port}}", python.display()), variables))
}
