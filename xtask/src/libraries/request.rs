//! Requests of a library, collected while one of its files is parsed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};

use super::token::Token;

/// Parameters that a library can send, by request.
pub(super) type Requests = BTreeMap<Request, BTreeSet<String>>;

/// Request of a library: HTTP method and path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Request {
    /// HTTP method of the request.
    pub(super) method: String,
    /// Path below the version of the API, with `{}` for each SID.
    pub(super) path: String,
}

/// Returns a line for each request: method, path, and parameters.
#[cfg(test)]
pub(super) fn in_lines(requests: &Requests) -> Vec<String> {
    let line = |(request, names): (&Request, &BTreeSet<String>)| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("{} {} {}", request.method, request.path, names.join(" "))
    };
    requests.iter().map(line).collect()
}

/// Argument of a call, or property of an object, with its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Property<'t, 's> {
    pub(super) name: &'s str,
    pub(super) value: &'t [Token<'s>],
}

/// Reader of a file's requests, with the class and the method being parsed.
#[derive(Debug)]
pub(super) struct RequestReader<'r, 's> {
    requests: &'r mut Requests,
    /// Names of the variables in which parameters are collected.
    variables: &'static [&'static str],
    /// Path of the class being parsed, if it is known.
    path: Option<String>,
    /// Parameters collected for a request that has not been sent yet.
    names: Option<Vec<&'s str>>,
}

impl<'r, 's> RequestReader<'r, 's> {
    pub(super) fn new(variables: &'static [&'static str], requests: &'r mut Requests) -> RequestReader<'r, 's> {
        RequestReader { requests, variables, path: None, names: None }
    }

    /// Begins a class, of which the path is not known yet.
    pub(super) fn begin_class(&mut self) {
        self.path = None;
    }

    /// Sets the path of the class.
    pub(super) fn set_path(&mut self, path: &str) {
        self.path = Some(without_names(path));
    }

    /// Begins the parameters of a request.
    ///
    /// # Errors
    /// Returns an error if the previous parameters were not sent.
    pub(super) fn begin_parameters(&mut self) -> anyhow::Result<()> {
        ensure!(self.names.is_none(), "no request sends {:?}", self.names);
        self.names = Some(Vec::new());
        Ok(())
    }

    /// Adds a parameter to the request.
    ///
    /// # Errors
    /// Returns an error if no parameters were begun.
    pub(super) fn add_parameter(&mut self, name: &'s str) -> anyhow::Result<()> {
        self.names.as_mut().with_context(|| format!("{name} belongs to no parameters"))?.push(name);
        Ok(())
    }

    /// Adds a request, with the collected parameters if its properties send them.
    ///
    /// # Errors
    /// Returns an error if the request has an unknown property or value, no method, or no path.
    pub(super) fn add_request(&mut self, properties: &[Property<'_, 's>]) -> anyhow::Result<()> {
        let (mut method, mut names) = (None, None);
        for Property { name, value } in properties {
            match (*name, *value) {
                ("uri" | "headers", _) => {}
                ("method", [Token::Text(text)]) => method = Some(text.to_ascii_uppercase()),
                ("data" | "params", [Token::Word(variable)]) if self.variables.contains(variable) => {
                    ensure!(names.is_none(), "a request sends two sets of parameters");
                    names = Some(self.names.take().context("a request sends parameters that were not put together")?);
                }
                _ => bail!("unknown property {name} of a request: {value:?}"),
            }
        }
        let method = method.context("a request has no method")?;
        let path = self.path.clone().with_context(|| format!("{method} of a class that has no path"))?;
        let sent = self.requests.entry(Request { method, path }).or_default();
        sent.extend(names.unwrap_or_default().into_iter().map(str::to_owned));
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Returns an error if collected parameters were not sent.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        ensure!(self.names.is_none(), "no request sends {:?}", self.names);
        Ok(())
    }
}

/// Returns a path with `{}` in place of `{account_sid}` in Python, `${accountSid}` in JavaScript and `{AC}` in the
/// table.
pub(super) fn without_names(path: &str) -> String {
    let mut bare = String::new();
    let mut is_name = false;
    for char in path.replace("${", "{").chars() {
        is_name &= char != '}';
        if !is_name {
            bare.push(char);
        }
        is_name |= char == '{';
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_both_libraries_and_of_the_table_are_equal() {
        for path in ["/A/{account_sid}/C/{sid}.json", "/A/${accountSid}/C/${sid}.json", "/A/{AC}/C/{CA}.json"] {
            assert_eq!(without_names(path), "/A/{}/C/{}.json");
        }
        assert_eq!(without_names("/Accounts.json"), "/Accounts.json");
    }

    #[test]
    fn parameters_are_sent_once_by_a_request_with_method_and_path() {
        let mut requests = Requests::new();
        let mut reader = RequestReader::new(&["data"], &mut requests);
        let method = Property { name: "method", value: &[Token::Text("post")] };
        let data = Property { name: "data", value: &[Token::Word("data")] };
        assert!(reader.add_request(&[method]).is_err(), "no path");
        reader.set_path("/Calls.json");
        assert!(reader.add_request(&[]).is_err(), "no method");
        assert!(reader.add_request(&[method, data]).is_err(), "no parameters");
        assert!(reader.add_parameter("Url").is_err(), "no parameters have begun");
        reader.begin_parameters().unwrap();
        reader.add_parameter("Url").unwrap();
        assert!(reader.begin_parameters().is_err(), "not sent");
        reader.add_request(&[method, data]).unwrap();
        let other = Property { name: "params", value: &[Token::Word("params")] };
        assert!(reader.add_request(&[method, other]).is_err(), "another variable");
        reader.begin_parameters().unwrap();
        assert!(reader.finish().is_err(), "not sent");
        let request = Request { method: "POST".to_owned(), path: "/Calls.json".to_owned() };
        assert_eq!(requests, Requests::from([(request, BTreeSet::from(["Url".to_owned()]))]));
    }
}
