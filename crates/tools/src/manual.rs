//! Manual pages for the program and each verb, generated from the command line's definition, with exit codes,
//! environment variables and files.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use clap::{Arg, Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::cli::Cli;

/// Date of the version, as in deploy/debian/changelog. A build date would make builds irreproducible.
pub(super) const DATE: &str = "2026-11-21";

/// Roff request after the title that disables hyphenation, because a hyphenated path would be wrong.
const NO_HYPHENS: &[u8] = b".nh\n";

/// Meanings of the exit codes 0, 1 and 2 for verbs that differ from [`PLAIN`].
const EXIT_STATUS: [(&str, [&str; 3]); 13] = [
    ("run", ["the edge was ended by SIGTERM or SIGINT", "the edge could not start or has failed", REQUEST]),
    ("keeper", ["the edge was ended by SIGTERM or SIGINT", "the edge could not be started", REQUEST]),
    ("demo", ["every assertion holds", "an assertion does not hold", REQUEST]),
    (
        "check",
        ["the file can be used", "the file has warnings, with --strict", "the file has errors or cannot be read"],
    ),
    ("status", ["an edge answers", "no edge answers; with --check: the edge has problems or takes no calls", REQUEST]),
    ("top", ["quit", "no edge answers at the start", "no terminal, or no edge is named"]),
    ("verify", ["every file is as recorded", "a file differs, is missing or cannot be read", REQUEST]),
    ("call", ["the call was answered", "the call was not answered", "the call cannot be placed"]),
    ("loadtest", ["every assertion holds", "an assertion does not hold, or the test is not valid", REQUEST]),
    ("doctor", ["no line is FAIL", "a line is FAIL", "the configuration has errors"]),
    ("agent", ["no line is FAIL", "a line is FAIL", "the test cannot be run"]),
    ("test", ["no line is FAIL", "a line is FAIL", "the test cannot be run"]),
    ("twilio", ["every script went as it expects", "a script failed", "the scripts cannot be run"]),
];
/// Meanings of the exit codes 0, 1 and 2 for all other verbs.
const PLAIN: [&str; 3] = ["success", "failure: no edge answers, or it refuses", REQUEST];
/// Usual meaning of exit code 2.
const REQUEST: &str = "the command is wrong: unknown flag, configuration with errors, no edge named";

/// Environment variables of verbs without a flag for them: verb, name, meaning.
const ENVIRONMENT: [(&str, &str, &str); 12] = [
    ("run", "TRUNKGATE_LOG", "log level, instead of `level` of [log]"),
    ("run", "TRUNKGATE_DNS", "name servers, instead of /etc/resolv.conf: 192.0.2.53,[2001:db8::53]:5353"),
    ("run", "STATE_DIRECTORY", "directory of the store, if `data_directory` of [edge] is absent"),
    ("run", "RUNTIME_DIRECTORY", "directory of the state of calls, if `state_directory` of [edge] is absent"),
    ("run", "NOTIFY_SOCKET, WATCHDOG_USEC", "set by systemd: the edge reports its state and that it is alive"),
    (
        "keeper",
        "NOTIFY_SOCKET",
        "set by systemd: the keeper gives the edge a socket of its own, and passes on what the edge reports",
    ),
    ("call", "TRUNKGATE_PASSWORD", "password of --username"),
    ("call", "TRUNKGATE_DNS", "name servers, instead of /etc/resolv.conf"),
    ("doctor", "TRUNKGATE_DNS", "name servers, instead of /etc/resolv.conf"),
    ("test", "TRUNKGATE_AGENT_TOKEN", "secret of the signature towards an agent that is named by a URL"),
    ("twilio", "TWILIO_AUTH_TOKEN", "token that signs the requests to the application"),
    ("twilio", "TWILIO_ACCOUNT_SID", "account of the requests"),
];

/// Writes the pages of all verbs into a directory.
pub(super) fn write(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    write_pages(&program, &[], folder)
}

/// Writes the page of a command after the pages of its subcommands.
fn write_pages(command: &Command, above: &[&Command], folder: &Path) -> io::Result<()> {
    let with_this = [above, &[command]].concat();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        write_pages(verb, &with_this, folder)?;
    }
    let mut file = File::create(folder.join(format!("{}.1", name(command))))?;
    file.write_all(&page(command, above)?)
}

/// Returns the file name of a command's page, without its section.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// Returns the page of a command; `above` are its parent commands.
fn page(command: &Command, above: &[&Command]) -> io::Result<Vec<u8>> {
    let source = concat!("trunkgate ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).date(DATE).source(source).manual("Trunkgate");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    page.write_all(NO_HYPHENS)?;
    man.render_name_section(&mut page)?;
    page.write_all(synopsis(command).to_roff().as_bytes())?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    let mut roff = Roff::new();
    exit_status(command, &mut roff);
    environment(command, &mut roff);
    files(command, &mut roff);
    examples(command, &mut roff);
    see_also(command, above, &mut roff);
    roff.to_writer(&mut page)?;
    Ok(page)
}

/// Returns the synopsis: options with their values, then arguments.
fn synopsis(command: &Command) -> Roff {
    let mut line = vec![bold(command.get_bin_name().unwrap_or_else(|| command.get_name()))];
    let shown = |argument: &&Arg| !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str());
    let (arguments, flags): (Vec<&Arg>, Vec<&Arg>) =
        command.get_arguments().filter(shown).partition(|one| one.is_positional());
    for flag in flags {
        let mut parts = vec![bold(format!("--{}", flag.get_long().unwrap_or_default()))];
        if flag.get_action().takes_values() {
            let is_optional = flag.get_num_args().is_some_and(|range| range.min_values() == 0);
            parts.extend(in_brackets(value(flag), is_optional, " "));
        }
        line.extend(in_brackets(parts, !flag.is_required_set(), " "));
    }
    if command.has_subcommands() {
        line.extend(in_brackets(vec![italic("VERB")], !command.is_subcommand_required_set(), " "));
    }
    for argument in arguments {
        let mut parts = value(argument);
        if argument.is_last_set() {
            parts.insert(0, roman("-- "));
        }
        line.extend(in_brackets(parts, !argument.is_required_set(), " "));
    }
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]).text(line);
    roff
}

/// Returns the value name of an option or argument, as in `--help`.
fn value(argument: &Arg) -> Vec<Inline> {
    let names = argument.get_value_names().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let is_repeated = argument.get_num_args().is_some_and(|range| range.max_values() > 1);
    let name = if names.is_empty() { argument.get_id().as_str().to_uppercase() } else { names.join(" ") };
    let repeated = roman(if is_repeated { "..." } else { "" });
    vec![italic(name), repeated]
}

fn in_brackets(parts: Vec<Inline>, are_brackets: bool, before: &str) -> Vec<Inline> {
    let (open, close) = if are_brackets { ("[", "]") } else { ("", "") };
    [vec![roman(format!("{before}{open}"))], parts, vec![roman(close)]].concat()
}

/// Appends a term with its explanation.
fn term(roff: &mut Roff, term: &str, text: &str) {
    roff.control("TP", []).text([bold(term)]).text([roman(text)]);
}

fn exit_status(command: &Command, roff: &mut Roff) {
    let verb = command.get_name();
    let codes = EXIT_STATUS.iter().find(|(name, _)| *name == verb).map_or(&PLAIN, |(_, codes)| codes);
    roff.control("SH", ["EXIT STATUS"]);
    for (code, text) in ["0", "1", "2"].iter().zip(codes) {
        term(roff, code, text);
    }
}

fn environment(command: &Command, roff: &mut Roff) {
    let has = |id: &str| command.get_arguments().any(|argument| argument.get_id() == id && !argument.is_hide_set());
    roff.control("SH", ["ENVIRONMENT"]);
    if has("config") {
        term(roff, "TRUNKGATE_CONFIG", "configuration file, if --config is absent");
    }
    if has("token") {
        term(roff, "TRUNKGATE_TOKEN", "bearer token of the HTTP API, if --token is absent");
    }
    for (_, name, text) in ENVIRONMENT.iter().filter(|(verb, ..)| *verb == command.get_name()) {
        term(roff, name, text);
    }
    term(roff, "NO_COLOR", "no colours, if it is set");
}

fn files(command: &Command, roff: &mut Roff) {
    let reads_file = |argument: &Arg| argument.get_id() == "config" && !argument.is_hide_set();
    if !command.get_arguments().any(reads_file) {
        return;
    }
    roff.control("SH", ["FILES"]);
    term(
        roff,
        "./trunkgate.toml, /etc/trunkgate/trunkgate.toml",
        "configuration: the first that exists, if none is named",
    );
    if command.get_name() == "run" {
        term(roff, "trunkgate.db", "the store, in the data directory: data that survives a restart");
    }
}

/// Appends the examples with their lines unchanged.
fn examples(command: &Command, roff: &mut Roff) {
    let Some(text) = command.get_after_help() else { return };
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in text.to_string().lines().filter(|line| *line != "EXAMPLES:") {
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("fi", []);
}

/// Appends references to the pages of parents, siblings and subcommands.
fn see_also(command: &Command, above: &[&Command], roff: &mut Roff) {
    let beside = above.last().filter(|_| above.len() > 1).map(|one| one.get_subcommands()).into_iter().flatten();
    let near = above.iter().copied().chain(beside).chain(command.get_subcommands());
    let mut pages: Vec<String> = Vec::new();
    for one in near.filter(|one| !one.is_hide_set() && name(one) != name(command)) {
        pages.push(format!("{}(1)", name(one)));
    }
    if above.len() == 1 && command.get_name() != "help" {
        pages.push("trunkgate-help(1)".to_owned());
    }
    roff.control("SH", ["SEE ALSO"]).text([roman(pages.join(", "))]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the generated page of a verb.
    fn page_of(verb: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        std::fs::read_to_string(folder.path().join(format!("{verb}.1"))).unwrap()
    }

    #[test]
    fn every_page_has_its_sections_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let sections =
            ["NAME", "SYNOPSIS", "DESCRIPTION", "\"EXIT STATUS\"", "ENVIRONMENT", "EXAMPLES", "\"SEE ALSO\""];
        let mut pages = 0;
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let found: Vec<usize> = sections.iter().filter_map(|name| text.find(&format!("\n.SH {name}\n"))).collect();
            assert!(found.len() == sections.len() && found.is_sorted(), "{}: {text}", path.display());
            assert!(!text.contains("EXTRA"), "{text}");
            let (title, _) = text.split_once("\n.nh\n").unwrap();
            assert!(title.lines().last().unwrap().starts_with(".TH trunkgate"), "{title}");
            pages += 1;
        }
        assert!(pages > 30, "{pages}");
    }

    #[test]
    fn examples_are_as_written_and_flags_have_their_values() {
        let text = page_of("trunkgate-trace");
        let examples = ".SH EXAMPLES\n.nf\ntrunkgate trace last\ntrunkgate trace CA0123 \\-\\-svg call.svg\n\
                        trunkgate trace CA0123 \\-\\-json\n.fi\n";
        assert!(text.contains(examples), "{text}");
        assert!(text.contains("[\\fB\\-\\-svg\\fR \\fIFILE\\fR]"), "{text}");
        let synopsis = text.split(".SH SYNOPSIS\n").nth(1).unwrap().lines().next().unwrap();
        assert!(synopsis.ends_with(" \\fISID\\fR"), "{synopsis}");
        assert!(page_of("trunkgate").contains("trunkgate demo      "), "columns of examples are kept");
        let status = page_of("trunkgate-status");
        assert!(status.contains("[\\fB\\-\\-watch\\fR [\\fISECONDS\\fR]]"), "{status}");
    }

    #[test]
    fn verbs_with_exit_codes_and_variables_of_their_own_exist() {
        let mut program = Cli::command();
        program.build();
        let mut verbs = Vec::new();
        let mut waiting = vec![&program];
        while let Some(command) = waiting.pop() {
            verbs.push(command.get_name());
            waiting.extend(command.get_subcommands());
        }
        let named = EXIT_STATUS.iter().map(|(verb, _)| *verb).chain(ENVIRONMENT.iter().map(|(verb, ..)| *verb));
        let lost: Vec<&str> = named.filter(|verb| !verbs.contains(verb)).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}
