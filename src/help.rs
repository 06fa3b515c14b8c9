//! `trunkgate help CODE`: what an error code means and what to do.

use std::process::ExitCode;

use crate::client;
use crate::config::code;

/// Prints the explanation of a code; for one that does not exist the list of all, and exit 2.
pub fn run(id: &str) -> ExitCode {
    match explain(id) {
        Some(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        None => {
            eprintln!("error: there is no code {id}. These are:");
            for code in code::ALL {
                eprintln!("{}  {}", code.id, code.title);
            }
            ExitCode::from(2)
        }
    }
}

/// The explanation of a code, in either case of its letters, with or without them.
pub fn explain(id: &str) -> Option<String> {
    let code = code::find(id).or_else(|| code::find(&format!("TG{id}")))?;
    Some(format!("{}: {}\n\n{}\n", code.id, code.title, code.text))
}

/// Prints every code as a page.
pub fn page() -> ExitCode {
    client::say(&markdown());
    ExitCode::SUCCESS
}

/// What docs/codes.md holds: what [`explain`] says of every code.
fn markdown() -> String {
    let mut page = "# Codes\n\nWhat `trunkgate help CODE` says of each code of an error or a warning, made by `trunkgate help --markdown`.\n\
                    A code never changes its meaning.\n"
        .to_owned();
    for code in code::ALL {
        // Patterns, URLs and wildcards are as they are written.
        page.push_str(&format!("\n## {}: {}\n\n```text\n{}\n```\n", code.id, code.title, code.text));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_codes_is_what_is_said_of_them() {
        assert!(include_str!("../docs/codes.md") == markdown(), "cargo run -- help --markdown > docs/codes.md");
    }

    #[test]
    fn every_code_is_explained_and_no_other() {
        for code in code::ALL {
            let text = explain(&code.id.to_lowercase()).unwrap();
            assert!(text.starts_with(&format!("{}: ", code.id)), "{text}");
            assert_eq!(explain(code.id.trim_start_matches("TG")), Some(text));
        }
        assert_eq!(explain("TG0000"), None);
    }
}
