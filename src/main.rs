//! The `trunkgate` binary.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use trunkgate_boot::run;
use trunkgate_tools::cli::{Agents, Calls, Cli, Listing, RecordingListing, RecordingVerb, Verb};
use trunkgate_tools::doctor::Form;
use trunkgate_tools::init::InitOptions;
use trunkgate_tools::why;
use trunkgate_tools::{
    agent_test, call, check, client, configuration, demo, doctor, help, init, loadtest, preset, shell, top, twilio,
};

/// Uses fewer instructions per call than the system allocator, and less memory per active call.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commit and profile, as set by `cargo xtask release`. Only this file reads them, so another commit does not rebuild
/// the library.
const COMMIT: Option<&str> = option_env!("TRUNKGATE_COMMIT");
const PROFILE: Option<&str> = option_env!("TRUNKGATE_PROFILE");

fn main() -> ExitCode {
    let cli = match parse_command_line() {
        Ok(cli) => cli,
        Err(found) => return help::of_flag(&found),
    };
    let config = cli.config.as_deref();
    match cli.verb {
        Verb::Run { drain } => run::run(config, drain),
        Verb::Demo { serve, json } => demo::run(json, serve),
        Verb::Init(flags) => {
            let options = InitOptions { trunks: flags.trunk, pbx: flags.pbx, agent: flags.agent, yes: flags.yes };
            init::run(config.unwrap_or("trunkgate.toml".as_ref()), &options)
        }
        Verb::Check { strict, json } => match trunkgate_config::find(config) {
            Some(path) => check::run(&path, strict, json),
            None => run::no_config(),
        },
        Verb::Status { remote, json, watch, check } => client::status(config, &remote, json, watch, check),
        Verb::Calls { listing, what: Some(_), .. } if listing != Listing::default() => {
            run::refuse("error: --state, --trunk, --limit and --csv are flags of `calls ls`: write them after `ls`")
        }
        Verb::Calls { remote, json, listing, what } => {
            client::calls(config, &remote, json, what.unwrap_or(Calls::Ls(listing)))
        }
        Verb::Recordings { listing, what: Some(_), .. } if listing != RecordingListing::default() => run::refuse(
            "error: --call, --since, --until and --limit are flags of `recordings ls`: write them after `ls`",
        ),
        Verb::Recordings { remote, json, listing, what } => {
            client::recordings(config, &remote, json, what.unwrap_or(RecordingVerb::Ls(listing)))
        }
        Verb::Pcap { secrets: true, .. } => no_secrets("pcap"),
        Verb::Pcap { media: true, .. } => unbuilt("pcap --media"),
        Verb::Pcap { sid, output, remote, .. } => client::pcap(config, &remote, &sid, output.as_deref()),
        Verb::Trace { secrets: true, .. } => no_secrets("trace"),
        Verb::Trace { sid, remote, svg: Some(file), .. } => client::picture(config, &remote, &sid, &file),
        Verb::Trace { sid, remote, json, raw: true, .. } => client::messages(config, &remote, json, &sid),
        Verb::Trace { sid, remote, json, svg: None, .. } => client::trace(config, &remote, json, &sid),
        Verb::Top { remote } => top::run(config, &remote),
        Verb::Call(verb) => call::run(&verb),
        Verb::Loadtest(verb) => loadtest::run(&verb),
        Verb::Why(question) => why::run(config, &question),
        Verb::Doctor { only, remote, json, json_line } => {
            let form = match (json, json_line) {
                (_, true) => Form::JsonLines,
                (true, false) => Form::Json,
                (false, false) => Form::Text,
            };
            doctor::run(config, &remote, &only, form)
        }
        Verb::Agent { what: Agents::Test(verb) } => agent_test::run(config, &verb),
        Verb::Preset { what, json } => preset::run(config, &what, json),
        Verb::Configuration { what } => configuration::run(config, &what),
        Verb::Twilio { sandbox, what } => twilio::run(config, &sandbox, what.as_ref()),
        Verb::Reload { remote, json } => client::reload(config, &remote, json),
        Verb::Drain { remote, undo, json } => client::drain(config, &remote, undo, json),
        Verb::Completions { shell } => shell::completions(shell),
        Verb::Man { folder } => shell::manual(folder.as_deref()),
        Verb::Help { markdown: true, topic } => {
            help::page(Some(topic.join(" ").as_str()).filter(|topic| !topic.is_empty()))
        }
        Verb::Help { topic, .. } if topic.is_empty() => help::of_verb(&mut Cli::command()),
        Verb::Help { topic, .. } => {
            let topic = topic.join(" ");
            let mut program = Cli::command();
            // Subcommands inherit the program's global flags only after this.
            program.build();
            match program.find_subcommand_mut(&topic).filter(|v| !v.is_hide_set()) {
                Some(verb) => help::of_verb(verb),
                None => {
                    let verbs: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
                    help::run(&topic, &verbs)
                }
            }
        }
    }
}

fn unbuilt(verb: &str) -> ExitCode {
    run::refuse(&format!("error[TG0190]: `trunkgate {verb}`: not in this version"))
}

/// Refuses `--secrets`: secrets are overwritten before a message is recorded.
fn no_secrets(verb: &str) -> ExitCode {
    run::refuse(&format!(
        "error[TG0190]: `trunkgate {verb} --secrets`: not in this version: secrets in messages are never recorded"
    ))
}

/// Parses the command line; `--version` also shows the build.
fn parse_command_line() -> Result<Cli, clap::Error> {
    let matches = Cli::command().long_version(&*build_details().leak()).try_get_matches()?;
    Cli::from_arg_matches(&matches)
}

/// Returns version, commit, profile, platform and features of this binary.
fn build_details() -> String {
    let profile = PROFILE.unwrap_or(if cfg!(debug_assertions) { "dev" } else { "release" });
    let environment = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
    let features = if cfg!(feature = "libopus") { "libopus" } else { "none" };
    format!(
        "{}\ncommit: {}\nprofile: {profile}\nplatform: {}-{}-{environment}\nfeatures: {features}",
        env!("CARGO_PKG_VERSION"),
        COMMIT.unwrap_or("unknown (not built by `cargo xtask release`)"),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
}
