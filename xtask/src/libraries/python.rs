//! Requests of twilio-python: a class sets `self._uri`; its methods collect parameters by `values.of({…})` and pass
//! both to a function of the version.

use anyhow::{Context as _, bail};

use super::request::{Property, RequestReader, Requests};
use super::token::Token::{self, Sign, Text, Word};
use super::token::{Brackets, Language, beginning, bracketed, split_by_commas, tokenize};

/// Names of the variables in which parameters are collected.
const VARIABLES: &[&str] = &["data", "params"];

/// Parses a source file and adds its requests.
///
/// # Errors
/// Returns an error if the file has an unknown construct.
pub(super) fn read(source: &str, requests: &mut Requests) -> anyhow::Result<()> {
    let tokens = tokenize(source, Language::Python)?;
    let mut reader = RequestReader::new(VARIABLES, requests);
    let (mut brackets, mut before) = (Brackets::default(), Sign(';'));
    for (at, token) in tokens.iter().enumerate() {
        let rest = tokens.get(at..).unwrap_or_default();
        match rest {
            [Word("class"), ..] => reader.begin_class(),
            [Word("_uri"), Sign('='), Text(path), ..] | [Word("_uri"), Sign('='), Sign('('), Text(path), ..] => {
                reader.set_path(path);
            }
            [Word("uri"), Sign('='), Word("self"), Sign('.'), Word("_uri"), ..] => {
                reader.add_request(&arguments(brackets.content(&tokens)?)?)?;
            }
            [Word("_uri"), Sign('='), ..] => bail!("unknown path: {:?}", beginning(rest)),
            [Word("uri"), Sign('='), ..] if before != Sign('.') => bail!("unknown path: {:?}", beginning(rest)),
            [Word(name), ..] if VARIABLES.contains(name) && before != Sign('.') => {
                read_variable(before, rest, &mut reader)?;
            }
            _ => {}
        }
        brackets.pass(at, *token);
        before = *token;
    }
    reader.finish()
}

/// Returns the arguments of a call, each with its name and value.
fn arguments<'t, 's>(tokens: &'t [Token<'s>]) -> anyhow::Result<Vec<Property<'t, 's>>> {
    let named = |part: &'t [Token<'s>]| match part {
        [Word(name), Sign('='), value @ ..] => Ok(Property { name, value }),
        _ => bail!("unknown argument of a request: {part:?}"),
    };
    split_by_commas(tokens).into_iter().map(named).collect()
}

/// Parses a use of a variable with parameters, at the beginning of `rest`.
fn read_variable<'s>(before: Token<'s>, rest: &[Token<'s>], reader: &mut RequestReader<'_, 's>) -> anyhow::Result<()> {
    match rest {
        // The word is the name of an argument, its value, or a method.
        [_, Sign('='), ..] if matches!(before, Sign('(' | ',')) => Ok(()),
        [_, Sign(',' | ')'), ..] if before == Sign('=') => Ok(()),
        [_, Sign('('), ..] if before == Word("def") => Ok(()),
        [_, Sign('='), Word("values"), Sign('.'), Word("of"), Sign('('), dictionary @ ..] => {
            let [Sign('{'), ..] = dictionary else { bail!("unknown parameters: {:?}", beginning(rest)) };
            let (entries, behind) = bracketed(dictionary)?;
            let [Sign(')'), ..] = behind else { bail!("unknown end of parameters: {:?}", beginning(behind)) };
            reader.begin_parameters()?;
            for entry in split_by_commas(entries) {
                let [Text(name), Sign(':'), ..] = entry else { bail!("unknown parameter: {:?}", beginning(entry)) };
                reader.add_parameter(name)?;
            }
            Ok(())
        }
        // A map adds names with this prefix.
        [_, Sign('.'), Word("update"), Sign('('), Word("serialize"), Sign('.'), map @ ..] => {
            let [Word("prefixed_collapsible_map"), Sign('('), Word(_), Sign(','), Text(prefix), Sign(')'), ..] = map
            else {
                bail!("unknown map of parameters: {:?}", beginning(map));
            };
            reader.add_parameter(prefix)
        }
        _ => bail!("unknown use of parameters: {:?}", beginning(rest)),
    }
}

/// Returns the version of the package, as in `__init__.py`.
///
/// # Errors
/// Returns an error if the file names no version.
pub(super) fn version(source: &str) -> anyhow::Result<String> {
    let tokens = tokenize(source, Language::Python)?;
    let at = tokens.iter().position(|token| *token == Word("__version_info__")).context("no __version_info__")?;
    let [_, Sign('='), tuple @ ..] = tokens.get(at..).unwrap_or_default() else { bail!("unknown __version_info__") };
    let (numbers, _) = bracketed(tuple)?;
    let numbers: Vec<&str> = numbers
        .iter()
        .filter_map(|token| match token {
            Text(number) => Some(*number),
            Word(_) | Sign(_) => None,
        })
        .collect();
    Ok(numbers.join("."))
}

#[cfg(test)]
mod tests {
    use super::super::request::in_lines;
    use super::*;

    /// Class as the library's generator writes it.
    const CLASS: &str = r#"
class RoomContext(InstanceContext):
    """Speaks of data = {} and uri=nothing."""

    def __init__(self, version: Version, sid: str):
        self._uri = (
            "/Accounts/{account_sid}/Rooms/{sid}.json".format(**self._solution)
        )

    async def _fetch_async(self) -> tuple:
        headers = values.of({})
        return await self._version.fetch_async(method="GET", uri=self._uri, headers=headers)

    def _update(self, colour: str) -> tuple:
        data = values.of(
            {
                "Colour": colour,  # "Comment": colour,
                "Doors": serialize.map(doors, lambda e: {"Width": e}),
            }
        )
        headers = values.of({"Content-Type": "application/x-www-form-urlencoded"})
        return self._version.update(method="POST", uri=self._uri, data=data, headers=headers)

class RoomList(ListResource):
    def __init__(self, version: Version):
        self._uri = "/Accounts/{account_sid}/Rooms.json".format(**self._solution)

    def page(self) -> RoomPage:
        params = values.of({"Built<": built, "PageSize": page_size})
        response = self._version.page(method="GET", uri=self._uri, params=params)
        return ApiResponse(data=RoomPage(response), limit=page_response.data, uri_count=1)

    @property
    def data(self) -> DataList:
        self.uri = payload.get("uri")
        return self._data
"#;

    fn read_text(source: &str) -> anyhow::Result<Vec<String>> {
        let mut requests = Requests::new();
        read(source, &mut requests)?;
        Ok(in_lines(&requests))
    }

    #[test]
    fn parameters_of_each_request_are_found() {
        let expected = [
            "GET /Accounts/{}/Rooms.json Built< PageSize",
            "GET /Accounts/{}/Rooms/{}.json ",
            "POST /Accounts/{}/Rooms/{}.json Colour Doors",
        ];
        assert_eq!(read_text(CLASS).unwrap(), expected);
        let package = "from typing import Any\n__version_info__ = (\"9\", \"13\", \"0\")\n__version__ = 1";
        assert_eq!(version(package).unwrap(), "9.13.0");
        assert!(version("__version__ = '1'").is_err());
    }

    #[test]
    fn a_map_of_parameters_is_known_by_the_beginning_of_its_names() {
        let map = "        data.update(serialize.prefixed_collapsible_map(extras, \"Extras\"))\n        headers = values.of({\"";
        let found = read_text(&CLASS.replacen("        headers = values.of({\"", map, 1)).unwrap();
        assert!(found.iter().any(|request| request.contains(" Extras")), "{found:?}");
        let other = map.replace("prefixed_collapsible_map", "flat");
        assert!(read_text(&CLASS.replacen("        headers = values.of({\"", &other, 1)).is_err());
    }

    #[test]
    fn other_constructs_are_errors() {
        for (known, other) in [
            ("data = values.of(", "data = dict("),
            ("\"Colour\": colour,", "**colours,"),
            ("\"Colour\": colour,", "COLOUR: colour,"),
            ("            }\n        )\n", "            },\n            more,\n        )\n"),
            ("data=data, headers", "data=other, headers"),
            ("data=data, headers", "json=data, headers"),
            ("data=data, headers", "headers"),
            ("        headers = values.of({\"", "        data[\"Size\"] = 1\n        headers = values.of({\""),
            ("        headers = values.of({\"", "        data.update(more)\n        headers = values.of({\""),
            ("uri=self._uri, data", "uri=path, data"),
            ("self._uri = \"", "self._uri = base + \""),
            ("        self._uri = \"/Accounts/{account_sid}/Rooms.json\".format(**self._solution)", "        pass"),
            ("method=\"POST\"", "method=method"),
            ("\"PageSize\": page_size", "\"PageSize"),
        ] {
            assert!(CLASS.contains(known), "{known}");
            assert!(read_text(&CLASS.replacen(known, other, 1)).is_err(), "{known} as {other}");
        }
    }
}
