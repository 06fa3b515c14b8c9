//! The `trunkgate` binary.

use std::ffi::OsString;
use std::iter;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser as _};
use trunkgate_boot::{keeper, run};
use trunkgate_tools::cli::{AgentVerb, CallListing, CallVerb, Cli, CliVerb, RecordingListing, RecordingVerb};
use trunkgate_tools::doctor::Form;
use trunkgate_tools::init::InitOptions;
use trunkgate_tools::why;
use trunkgate_tools::{
    agent_test, call, check, client, configuration, demo, doctor, help, init, loadtest, preset, shell, top, twilio,
};

/// Allocator that takes fewer instructions per call than the system's, and less memory per active call.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commit and profile, set by `cargo xtask release`. Only this file reads them, so that another commit does not rebuild
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
        CliVerb::Run { drain, take_over, standby } => {
            run::run(config, drain, &run::TakeoverOptions::from_arguments(take_over, standby))
        }
        CliVerb::Keeper { command } => keep(config, command),
        CliVerb::Demo { serve, json } => demo::run(json, serve),
        CliVerb::Init(flags) => {
            let options = InitOptions { trunks: flags.trunk, pbx: flags.pbx, agent: flags.agent, yes: flags.yes };
            init::run(config.unwrap_or("trunkgate.toml".as_ref()), &options)
        }
        CliVerb::Check { strict, json } => match trunkgate_config::find(config) {
            Some(path) => check::run(&path, strict, json),
            None => run::no_config(),
        },
        CliVerb::Status { remote, json, watch, check } => client::status(config, &remote, json, watch, check),
        CliVerb::Calls { listing, what: Some(_), .. } if listing != CallListing::default() => {
            run::refuse("error: --state, --trunk, --limit and --csv are flags of `calls ls`: write them after `ls`")
        }
        CliVerb::Calls { remote, json, listing, what } => {
            client::calls(config, &remote, json, what.unwrap_or(CallVerb::Ls(listing)))
        }
        CliVerb::Recordings { listing, what: Some(_), .. } if listing != RecordingListing::default() => run::refuse(
            "error: --call, --since, --until and --limit are flags of `recordings ls`: write them after `ls`",
        ),
        CliVerb::Recordings { remote, json, listing, what } => {
            client::recordings(config, &remote, json, what.unwrap_or(RecordingVerb::Ls(listing)))
        }
        CliVerb::Pcap { secrets: true, .. } => no_secrets("pcap"),
        CliVerb::Pcap { media: true, .. } => unbuilt("pcap --media"),
        CliVerb::Pcap { sid, output, remote, .. } => client::pcap(config, &remote, &sid, output.as_deref()),
        CliVerb::Trace { secrets: true, .. } => no_secrets("trace"),
        CliVerb::Trace { sid, remote, svg: Some(file), .. } => client::picture(config, &remote, &sid, &file),
        CliVerb::Trace { sid, remote, json, raw: true, .. } => client::messages(config, &remote, json, &sid),
        CliVerb::Trace { sid, remote, json, svg: None, .. } => client::trace(config, &remote, json, &sid),
        CliVerb::Top { remote } => top::run(config, &remote),
        CliVerb::Call(verb) => call::run(&verb),
        CliVerb::Loadtest(verb) => loadtest::run(&verb),
        CliVerb::Why(question) => why::run(config, &question),
        CliVerb::Doctor { only, remote, json, json_line } => {
            let form = match (json, json_line) {
                (_, true) => Form::JsonLines,
                (true, false) => Form::Json,
                (false, false) => Form::Text,
            };
            doctor::run(config, &remote, &only, form)
        }
        CliVerb::Agent { what: AgentVerb::Test(verb) } => agent_test::run(config, &verb),
        CliVerb::Preset { what, json } => preset::run(config, &what, json),
        CliVerb::Configuration { what } => configuration::run(config, &what),
        CliVerb::Twilio { sandbox, what } => twilio::run(config, &sandbox, what.as_ref()),
        CliVerb::Reload { remote, json } => client::reload(config, &remote, json),
        CliVerb::Upgrade { remote, json } => client::upgrade(config, &remote, json),
        CliVerb::Drain { remote, undo, json } => client::drain(config, &remote, undo, json),
        CliVerb::Completions { shell } => shell::completions(shell),
        CliVerb::Man { folder } => shell::manual(folder.as_deref()),
        CliVerb::Help { markdown: true, topic } => {
            help::page(Some(topic.join(" ").as_str()).filter(|topic| !topic.is_empty()))
        }
        CliVerb::Help { topic, .. } if topic.is_empty() => help::of_verb(&mut Cli::command()),
        CliVerb::Help { topic, .. } => {
            let topic = topic.join(" ");
            let mut program = Cli::command();
            // Subcommands inherit the program's global flags only once the program is built.
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

/// Starts the keeper of an edge with this command line; `config` is the configuration named before it.
fn keep(config: Option<&Path>, command: Vec<OsString>) -> ExitCode {
    match Cli::try_parse_from(iter::once("trunkgate".into()).chain(command.iter().cloned())) {
        Ok(Cli { config: inner, verb: CliVerb::Run { .. } }) => {
            let outer = config.filter(|_| inner.is_none());
            let given = outer.into_iter().flat_map(|path| ["--config".into(), path.as_os_str().to_owned()]);
            keeper::run(inner.as_deref().or(config), given.chain(command).collect())
        }
        Ok(_) => run::refuse("error: the keeper starts `run` only: trunkgate keeper -- run"),
        Err(found) => help::of_flag(&found),
    }
}

fn unbuilt(verb: &str) -> ExitCode {
    run::refuse(&format!("error[TG0190]: `trunkgate {verb}`: not in this version"))
}

/// Rejects `--secrets`, because secrets are overwritten before a message is recorded.
fn no_secrets(verb: &str) -> ExitCode {
    run::refuse(&format!(
        "error[TG0190]: `trunkgate {verb} --secrets`: not in this version: secrets in messages are never recorded"
    ))
}

/// Parses the command line; `--version` also prints details of the build.
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
