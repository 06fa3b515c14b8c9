//! `trunkgate help CODE`: what an error code means and what to do.

use std::process::ExitCode;

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

#[cfg(test)]
mod tests {
    use super::*;

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
