//! Errors of an application in the log: each error is logged once; its repetitions are counted and logged when the
//! application's control ends.

/// Errors counted individually; further ones are counted together.
const KNOWN: usize = 8;

/// Errors of an application that have been logged.
#[derive(Debug, Default)]
pub(crate) struct LoggedErrors {
    /// Each error with the number of its repetitions.
    known: Vec<(String, u32)>,
    /// Number of errors beyond the individually counted ones.
    further: u32,
}

impl LoggedErrors {
    /// Counts an error; returns whether the caller must log it. Beyond [`KNOWN`] different errors, further ones are
    /// only counted.
    pub(crate) fn is_new(&mut self, error: &str) -> bool {
        if let Some((_, times)) = self.known.iter_mut().find(|(known, _)| known == error) {
            *times = times.saturating_add(1);
            return false;
        }
        let is_new = self.known.len() < KNOWN;
        match is_new {
            true => self.known.push((error.to_owned(), 0)),
            false => self.further = self.further.saturating_add(1),
        }
        is_new
    }

    /// Returns the log lines that summarise repeated and further errors, and resets the counts.
    pub(crate) fn take_repeated(&mut self) -> Vec<String> {
        let LoggedErrors { known, further } = std::mem::take(self);
        let repeated = known.into_iter().filter(|(_, times)| *times > 0);
        let mut lines: Vec<String> =
            repeated.map(|(error, times)| format!("{error}: repeated {times} times in this call")).collect();
        if further > 0 {
            lines.push(format!("{further} further errors in this call, which its trace has"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_logged_once_and_counted() {
        let mut logged = LoggedErrors::default();
        assert!(logged.is_new("error 1") && logged.is_new("error 2"));
        assert_eq!((0..40).filter(|_| logged.is_new("error 1")).count(), 0);
        assert_eq!((3..30).filter(|number| logged.is_new(&format!("error {number}"))).count(), KNOWN - 2);
        let expected =
            ["error 1: repeated 40 times in this call", "21 further errors in this call, which its trace has"];
        assert_eq!(logged.take_repeated(), expected);
        assert!(logged.take_repeated().is_empty() && logged.is_new("error 1"));
    }
}
