//! Errors of verbs that connect to an edge: the message on stderr and the exit code.

use std::process::ExitCode;

use super::EdgeTarget;
use trunkgate_boot::run::USAGE;
use trunkgate_system::terminal;

impl EdgeTarget {
    /// Returns the exit code for a failed request: 2 if the edge rejected it as invalid (400) or the configuration file
    /// with the edge's address is missing, otherwise 1.
    pub(super) fn failure_code(&self, error: &str) -> u8 {
        // The edge rejected the request as invalid.
        if error.ends_with("(400)") || self.is_guessed { USAGE } else { 1 }
    }

    /// Prints the error, then the warning about the configuration file, and returns the exit code.
    pub(super) fn fail(&self, error: &str) -> ExitCode {
        let error = terminal::harmless(error);
        // Diagnostics of a reload are complete messages and include all warnings.
        if error.starts_with("error[") {
            let unchanged = "reload rejected: the running configuration is unchanged";
            terminal::print_error(&format!("{}\n{unchanged}", error.trim_end()));
        } else {
            terminal::print_error(&format!("error: {error}"));
            self.warn();
        }
        ExitCode::from(self.failure_code(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::super::TlsTrust;
    use super::*;

    #[test]
    fn an_edge_that_no_file_names_is_an_error_of_the_command_line() {
        let edge = |is_guessed| EdgeTarget {
            base: "http://127.0.0.1:8080".to_owned(),
            named: String::new(),
            is_guessed,
            token: None,
            believed: TlsTrust::BySystem,
            warning: None,
        };
        let codes = |error: &str| [false, true].map(|is_guessed| edge(is_guessed).failure_code(error));
        assert_eq!(codes("no edge at http://127.0.0.1:8080: Connection refused"), [1, USAGE]);
        assert_eq!(codes("unknown state: up (400)"), [USAGE, USAGE]);
    }
}
