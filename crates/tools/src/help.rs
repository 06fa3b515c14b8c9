//! `trunkgate help TOPIC`: explains an error code, a reason, a SIP status code, or a word shown for a call. Also prints
//! the help of verbs and the errors of the command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Command;
use clap::builder::StyledStr;
use trunkgate_call::ReasonSlug;

use crate::client;
use trunkgate_boot::run::USAGE;
use trunkgate_config::code::DiagnosticCode;
use trunkgate_config::{code, nearest};
use trunkgate_system::terminal;

mod drops;
mod pages;
mod q850;
mod reasons;
mod sip;
mod twilio;
mod words;

/// Maximum width of an explanation, in characters.
const WIDTH: usize = 96;

/// Prints the help of a verb, wrapped to the terminal's width.
pub fn of_verb(command: &mut Command) -> ExitCode {
    let Some(width) = terminal::width() else {
        return command.print_help().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
    };
    client::say(&laid_out(&command.render_help(), terminal::has_colour(), width));
    ExitCode::SUCCESS
}

/// Prints the help requested by a flag, or the error of a command line, wrapped to the terminal's width, and returns
/// the exit code.
pub fn of_flag(found: &clap::Error) -> ExitCode {
    let (mut stdout, mut stderr) = (std::io::stdout(), std::io::stderr());
    let is_error = found.use_stderr();
    let width = if is_error { terminal::width_of(&stderr) } else { terminal::width() };
    // A closed stream (`| head`) is not an error.
    let _ = match width {
        None => found.print(),
        Some(width) if is_error => {
            let text = laid_out(&found.render(), terminal::has_colour_on(&stderr), width);
            stderr.write_all(text.as_bytes())
        }
        Some(width) => stdout.write_all(laid_out(&found.render(), terminal::has_colour(), width).as_bytes()),
    };
    ExitCode::from(if is_error { USAGE } else { 0 })
}

/// Wraps a text of the command-line parser to a width.
fn laid_out(text: &StyledStr, has_colour: bool, width: usize) -> String {
    let text = if has_colour { text.ansi().to_string() } else { text.to_string() };
    terminal::folded(&text, 0, Some(width))
}

/// Prints the explanation of a topic; for an unknown topic suggests the nearest one and returns exit code 2.
pub fn run(topic: &str, verbs: &[&str]) -> ExitCode {
    let width = terminal::width();
    if let Some(text) = explain(topic, width).or_else(|| explain_beginning(topic, width)) {
        client::say(&text);
        return ExitCode::SUCCESS;
    }
    terminal::print_error(&unknown(topic, verbs));
    ExitCode::from(2)
}

/// Returns the explanation of an error code (upper or lower case, with or without letters), a SIP status code, a
/// reason, a configuration key, or a word shown for a call, wrapped to a width; `None` for an unknown topic.
pub fn explain(topic: &str, width: Option<usize>) -> Option<String> {
    if let Some(code) = code::find(topic).or_else(|| code::find(&format!("TG{topic}"))) {
        return Some(explain_code(code, width));
    }
    let found = sip::explain(topic).or_else(|| reasons::explain(topic)).or_else(|| words::explain(topic));
    let found = found.or_else(|| pages::explain(topic)).or_else(|| twilio::explain(topic));
    let found = found.or_else(|| pages::api_code(topic));
    let found = found.or_else(|| pages::alert(topic)).or_else(|| q850::explain(topic));
    // The same word may be a mark or a column, and a configuration key.
    let all: Vec<String> = found.into_iter().chain(pages::key(topic)).collect();
    (!all.is_empty()).then(|| wrapped(&all.join("\n"), width))
}

/// Explains the longest known prefix of several words, e.g. of `one way audio`.
fn explain_beginning(topic: &str, width: Option<usize>) -> Option<String> {
    let words: Vec<&str> = topic.split_whitespace().collect();
    (1..words.len()).rev().find_map(|count| explain(&words.get(..count)?.join(" "), width))
}

/// Returns the explanation of an error code, wrapped only if the terminal is narrower than its lines.
fn explain_code(code: DiagnosticCode, width: Option<usize>) -> String {
    let DiagnosticCode { id, title, text } = code;
    let whole = format!("{id}: {title}\n\n{text}\n");
    match width {
        Some(width) if whole.lines().any(|line| line.chars().count() > width) => {
            wrapped(&format!("{id}: {title}\n\n{}\n", text.replace('\n', " ")), Some(width))
        }
        Some(_) | None => whole,
    }
}

/// Wraps lines to [`WIDTH`] or the terminal's width, whichever is smaller.
fn wrapped(text: &str, width: Option<usize>) -> String {
    let width = width.map_or(WIDTH, |width| width.min(WIDTH));
    text.lines().map(|line| terminal::wrapped(line, 0, Some(width)).trim_end().to_owned() + "\n").collect()
}

/// Returns the error for an unknown topic, with the nearest known one.
fn unknown(topic: &str, verbs: &[&str]) -> String {
    let (upper, lower) = (topic.to_uppercase(), topic.to_lowercase().replace('-', "_"));
    let near = nearest(&upper, code::ALL.iter().map(|code| code.id));
    let near = near.or_else(|| nearest(&lower, ReasonSlug::ALL.iter().map(|reason| reason.as_str())));
    let near = near.or_else(|| nearest(&lower, words::all()));
    let near = near.or_else(|| nearest(&lower, verbs.iter().copied())).or_else(|| sip::nearest(topic));
    let hint = near.map(|near| format!("Did you mean `trunkgate help {near}`?\n"));
    let hint = hint.unwrap_or_else(|| match words::mentioning(topic).as_slice() {
        [] => String::new(),
        all => format!("Topics that mention it: {}\n", all.join(", ")),
    });
    format!(
        "error: unknown help topic: {topic}\n{hint}Topics are verbs (calls), error codes (TG0104), SIP status codes (503), Twilio's error codes (11200, 21215), reasons \
         (no_route), flags, outcomes, causes and figures of calls (one_way, busy, MOS), columns (CPS), lines of doctor (sip_alg), metrics and their labels (trunkgate_call_mos, udp_unread), alerts (TrunkgateDown), configuration keys (failover_on).\n`trunkgate --help` lists the verbs, docs/reference/codes.md the error codes, docs/reference/reasons.md the reasons.\n"
    )
}

/// Prints all error codes as a Markdown page, or for the topic `reasons` the body of docs/reference/reasons.md.
pub fn page(topic: Option<&str>) -> ExitCode {
    match topic {
        None => client::say(&markdown()),
        Some("reasons") => client::say(&reasons::markdown()),
        Some(other) => {
            terminal::print_error(&format!(
                "error: --markdown: unknown page: {other}. Pages: none (error codes), `reasons`."
            ));
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Returns docs/reference/codes.md: the output of [`explain`] for all codes.
fn markdown() -> String {
    let mut page = "# Error codes\n\nThe output of `trunkgate help CODE` for each error and warning code, generated by `trunkgate help --markdown`.\n\
                    A code never changes its meaning.\n"
        .to_owned();
    for code in code::ALL {
        // Patterns, URLs and wildcards must not be parsed as Markdown.
        page.push_str(&format!("\n## {}: {}\n\n```text\n{}\n```\n", code.id, code.title, code.text));
    }
    page
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn the_page_of_codes_is_what_is_said_of_them() {
        assert!(
            include_str!("../../../docs/reference/codes.md") == markdown(),
            "cargo run -- help --markdown > docs/reference/codes.md"
        );
    }

    #[test]
    fn every_code_is_explained_and_no_other() {
        for code in code::ALL {
            let text = explain(&code.id.to_lowercase(), None).unwrap();
            assert!(text.starts_with(&format!("{}: ", code.id)), "{text}");
            assert_eq!(explain(code.id.trim_start_matches("TG"), None), Some(text));
        }
        assert_eq!(explain("TG0000", None), None);
    }

    #[test]
    fn explanations_fit_a_terminal() {
        for topic in ["target_rejected", "session_expired", "503", "TG0113"] {
            let text = explain(topic, None).unwrap();
            assert!(text.lines().all(|line| line.chars().count() <= 118), "{text}");
            let narrow = explain(topic, Some(80)).unwrap();
            assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
            assert!(narrow.split_whitespace().eq(text.split_whitespace()), "{narrow}");
        }
        assert!(explain("503", None).unwrap().lines().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(explain("TG0113", Some(200)), explain("TG0113", None));
        assert_eq!(wrapped("a b\n\nc\n", None), "a b\n\nc\n");
    }

    /// Checks that the help of a verb and its subcommands fits into 80 columns. Examples are not wrapped, because they
    /// are copied into a shell.
    fn check_width(command: &mut Command, verbs: &mut usize) {
        let help = command.render_help();
        for has_colour in [false, true] {
            let page = laid_out(&help, has_colour, 80);
            let (flags, _) = page.split_once("EXAMPLES:").unwrap();
            assert!(flags.lines().all(|line| terminal::columns(line) <= 80), "{page}");
            assert_eq!(page.contains("\x1b["), has_colour, "{page}");
        }
        assert!(laid_out(&help, false, 80).split_whitespace().eq(help.to_string().split_whitespace()), "{help}");
        *verbs += 1;
        command.get_subcommands_mut().for_each(|verb| check_width(verb, verbs));
    }

    #[test]
    fn help_of_every_verb_fits_a_terminal() {
        let (mut program, mut verbs) = (Cli::command(), 0);
        program.build();
        check_width(&mut program, &mut verbs);
        assert!(verbs > 30, "{verbs}");
        let help = laid_out(&program.render_help(), false, 80);
        assert!(help.contains("SIGTERM\n               ends all calls)\n"), "{help}");
    }

    #[test]
    fn a_key_is_explained_beside_a_mark_and_several_words_by_their_beginning() {
        let text = explain("codecs", None).unwrap();
        assert!(text.contains("mark of a call") && text.contains("codecs: key of [trunk.NAME]"), "{text}");
        assert_eq!(explain("one way audio", None), None);
        assert_eq!(explain_beginning("one way audio", None), explain("one_way", None));
        assert_eq!(explain_beginning("xyzzy audio", None), None);
        let text = unknown("callers hang up", &[]);
        assert!(!text.contains("Topics that mention it"), "{text}");
        let text = unknown("firewall rules", &[]);
        assert!(!text.contains("Did you mean"), "{text}");
        let text = unknown("dead air firewall", &[]);
        assert!(text.starts_with("error: unknown help topic: dead air firewall\n"), "{text}");
        let text = unknown("certificates peers", &[]);
        assert!(text.contains("\nTopics that mention it: tls\n"), "{text}");
    }

    #[test]
    fn an_unknown_topic_gets_a_suggestion() {
        for (topic, near) in [
            ("no_rout", "no_route"),
            ("TARGET-REJECTD", "target_rejected"),
            ("TG1004", "TG0104"),
            ("clals", "calls"),
            ("499", "400"),
        ] {
            assert_eq!(explain(topic, None), None, "{topic}");
            let text = unknown(topic, &["calls", "check"]);
            assert!(text.contains(&format!("\nDid you mean `trunkgate help {near}`?\n")), "{topic}: {text}");
        }
        assert!(!unknown("xyzzyxyzzy", &["calls"]).contains("Did you mean"));
    }
}
