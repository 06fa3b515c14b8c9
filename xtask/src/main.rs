//! `cargo xtask`: drivers that need more than cargo. `interop` runs the real binary against independent peers (SIPp,
//! Kamailio) and prints one figure per case; `faults` runs failing agents; `changes` checks the fragments of the
//! changelog, and moves them into it at a release; `json` writes docs/reference/json.md; `numbers` writes numbering
//! plans; `peers-suites` runs other projects' scenarios; `bench` compares whole systems; `handover` upgrades and kills
//! the edge under calls; `deb` makes the Debian package, `release` all artefacts of a release; `twiml` runs folders of
//! TwiML documents;
//! `twilio-parameters` lists the parameters that Twilio's libraries can send; `seeds` runs web applications and programs
//! for Twilio against the edge; `screenshots` takes the pictures of the console.

mod bench;
mod changes;
mod commands;
mod faults;
mod handover;
mod interop;
mod json;
mod libraries;
mod numbers;
mod package;
mod release;
mod seeds;
mod suites;
mod twiml;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Drivers of this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

/// Task to run.
#[derive(Debug, Subcommand)]
enum Task {
    /// Runs the release binary against real peers; installs their Debian packages first.
    Interop(interop::Options),
    /// Runs failing agents of every kind and at every moment; prints the time until the next target.
    Faults(faults::Options),
    /// Upgrades and kills the edge again and again under calls of all kinds; judges each packet, call and record.
    Handover(handover::Options),
    /// Runs other projects' SIPp scenarios, which it fetches, without the edge and with it; prints a table.
    PeersSuites(suites::Options),
    /// Compares the edge with other systems, in one run.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Runs every TwiML document of a folder in the interpreter; lists unsupported parts.
    Twiml(twiml::Options),
    /// Lists the parameters that Twilio's libraries can send, from their packages, in crates/twiml.
    TwilioParameters(libraries::Options),
    /// Runs the examples of pages about systems that use Twilio against the release binary; judges each step by calls.
    Seeds(seeds::Options),
    /// Checks the fragments in changes/; moves them into CHANGELOG.md for a release.
    Changes(changes::Options),
    /// Writes docs/reference/json.md from the types that are serialised.
    Json(json::Options),
    /// Writes the numbering plans of crates/route from libphonenumber's metadata.
    Numbers,
    /// Makes the Debian package.
    Deb,
    /// Makes the artefacts of a release: archive, Debian package, image, list of components, installer, checksums.
    Release(release::Options),
    /// Takes the pictures of the console in docs/images, with calls of its own.
    Screenshots,
    /// The bare relay's own process.
    #[command(hide = true)]
    BareRelay {
        /// Make PCMA of the callers' PCMU, and the other way round.
        #[arg(long)]
        converts: bool,
    },
    /// The process of the echo agent.
    #[command(hide = true)]
    EchoAgent(bench::EchoAgent),
    /// The process of an agent that is killed.
    #[command(hide = true)]
    FaultsAgent,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.task {
        Task::Interop(options) => interop::run(&options),
        Task::Bench(bench) => bench::run(&bench),
        Task::Faults(options) => faults::run(&options),
        Task::Handover(options) => handover::run(&options),
        Task::PeersSuites(options) => suites::run(&options),
        Task::Twiml(options) => twiml::run(&options),
        Task::TwilioParameters(options) => libraries::run(&options),
        Task::Seeds(options) => seeds::run(&options),
        Task::Changes(options) => changes::run(&options),
        Task::Json(options) => json::run(&options),
        Task::Numbers => numbers::run(),
        Task::Deb => package::deb(),
        Task::Release(options) => release::run_release(&options),
        Task::Screenshots => interop::screenshots::run(),
        Task::EchoAgent(options) => bench::echo_agent(options).map(|()| true),
        Task::FaultsAgent => faults::echo_for_all().map(|()| true),
        Task::BareRelay { converts } => bench::bare_relay(converts).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}
