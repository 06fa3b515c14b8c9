//! Requests of twilio-node: a class or the instance of a list sets `_uri`; its methods collect parameters by
//! `data["Name"] = …` and pass both to a function of the version.

use anyhow::bail;

use super::request::{Property, RequestReader, Requests};
use super::token::Token::{self, Sign, Text, Word};
use super::token::{Brackets, Language, beginning, bracketed, split_by_commas, tokenize};

/// Parses a source file and adds its requests.
///
/// # Errors
/// Returns an error if the file has an unknown construct.
pub(super) fn read(source: &str, requests: &mut Requests) -> anyhow::Result<()> {
    let tokens = tokenize(source, Language::JavaScript)?;
    let mut reader = RequestReader::new(&["data"], requests);
    let (mut brackets, mut before) = (Brackets::default(), Sign(';'));
    for (at, token) in tokens.iter().enumerate() {
        let rest = tokens.get(at..).unwrap_or_default();
        match rest {
            [Word("class"), ..] => reader.begin_class(),
            [Word("_uri"), Sign('='), Text(path), ..] => reader.set_path(path),
            [Word("uri"), Sign(':'), Word("instance"), Sign('.'), Word("_uri"), ..] => {
                reader.add_request(&properties(brackets.content(&tokens)?)?)?;
            }
            // URL of the next page, or field of a resource.
            [Word("uri"), Sign(':'), Word("targetUrl"), ..]
            | [Word("uri"), Sign(':'), Word("this"), Sign('.'), Word("uri"), ..] => {}
            [Word("_uri"), Sign('='), ..] | [Word("uri"), Sign(':'), ..] => {
                bail!("unknown path: {:?}", beginning(rest));
            }
            [Word("data"), ..] if before != Sign('.') => read_variable(before, rest, &mut reader)?,
            _ => {}
        }
        brackets.pass(at, *token);
        before = *token;
    }
    reader.finish()
}

/// Returns the properties of an object; a property without a value has that of the variable with its name.
fn properties<'t, 's>(tokens: &'t [Token<'s>]) -> anyhow::Result<Vec<Property<'t, 's>>> {
    let named = |part: &'t [Token<'s>]| match part {
        [Word(name), Sign(':'), value @ ..] => Ok(Property { name, value }),
        [Word(name)] => Ok(Property { name, value: part }),
        _ => bail!("unknown property of a request: {part:?}"),
    };
    split_by_commas(tokens).into_iter().map(named).collect()
}

/// Parses a use of the variable with the parameters, at the beginning of `rest`.
fn read_variable<'s>(before: Token<'s>, rest: &[Token<'s>], reader: &mut RequestReader<'_, 's>) -> anyhow::Result<()> {
    match rest {
        [_, Sign('='), Sign('{'), Sign('}'), Sign(';'), ..] if before == Word("let") => reader.begin_parameters(),
        [_, Sign('['), Text(name), Sign(']'), Sign('='), ..] => reader.add_parameter(name),
        // The same object is extended by a map with prefixed names.
        [_, Sign('='), Sign('{'), Sign('.'), Sign('.'), Sign('.'), Word("data"), Sign(','), map @ ..] => {
            let [
                Sign('.'),
                Sign('.'),
                Sign('.'),
                Word("serialize"),
                Sign('.'),
                Word("prefixedCollapsibleMap"),
                map @ ..,
            ] = map
            else {
                bail!("unknown map of parameters: {:?}", beginning(map));
            };
            let (arguments, _) = bracketed(map)?;
            let [_, [Text(prefix)]] = split_by_commas(arguments)[..] else {
                bail!("unknown map of parameters: {:?}", beginning(map));
            };
            reader.add_parameter(prefix)
        }
        // The word is the property of an object, or a method.
        [_, Sign(',' | '}'), ..] if matches!(before, Sign('{' | ',' | ':')) => Ok(()),
        [_, Sign('('), ..] => Ok(()),
        _ => bail!("unknown use of parameters: {:?}", beginning(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::in_lines;
    use super::*;

    /// Source file as the library's generator writes it.
    const FILE: &str = r#"
class RoomContextImpl {
    constructor(_version, accountSid, sid) {
        this._uri = `/Accounts/${accountSid}/Rooms/${sid}.json`;
    }
    remove(callback) {
        const instance = this;
        return operationVersion.remove({ uri: instance._uri, method: "delete", headers });
    }
    update(params, callback) {
        let data = {};
        data["Colour"] = params["colour"];
        if (params["doors"] !== undefined)
            data["Doors"] =
                serialize.map(params["doors"], (e) => e); // data["Comment"] = 1
        return operationVersion.update({
            uri: instance._uri,
            method: "post",
            data,
            headers,
        });
    }
    get data() {
        return this._data || { uri: this.uri };
    }
}
function RoomListInstance(version, accountSid) {
    instance._uri = `/Accounts/${accountSid}/Rooms.json`;
    instance.page = function page(params, callback) {
        let data = {};
        if (params["builtBefore"] !== undefined)
            data["Built<"] = serialize.iso8601Date(params["builtBefore"]);
        if (params.pageToken !== undefined)
            data["PageToken"] = params.pageToken;
        return operationVersion.page({ uri: instance._uri, method: "get", params: data, headers });
    };
    instance.getPage = function getPage(targetUrl, callback) {
        return instance._version._domain.twilio.request({ method: "get", uri: targetUrl }).data;
    };
}
"#;

    fn read_text(source: &str) -> anyhow::Result<Vec<String>> {
        let mut requests = Requests::new();
        read(source, &mut requests)?;
        Ok(in_lines(&requests))
    }

    #[test]
    fn a_map_of_parameters_is_known_by_the_beginning_of_its_names() {
        let known = "data[\"Colour\"] = params[\"colour\"];";
        let map =
            format!("{known} data = {{ ...data, ...serialize.prefixedCollapsibleMap(params[\"e\"], \"Extras\"), }};");
        let found = read_text(&FILE.replacen(known, &map, 1)).unwrap();
        assert!(found.iter().any(|request| request.contains("Colour Doors Extras")), "{found:?}");
        assert!(read_text(&FILE.replacen(known, &map.replace("prefixedCollapsibleMap", "flat"), 1)).is_err());
    }

    #[test]
    fn parameters_of_each_request_are_found() {
        let expected = [
            "DELETE /Accounts/{}/Rooms/{}.json ",
            "GET /Accounts/{}/Rooms.json Built< PageToken",
            "POST /Accounts/{}/Rooms/{}.json Colour Doors",
        ];
        assert_eq!(read_text(FILE).unwrap(), expected);
    }

    #[test]
    fn other_constructs_are_errors() {
        for (known, other) in [
            ("let data = {};", "let data = { ...params };"),
            ("let data = {};", "const data = {};"),
            ("data[\"Colour\"] =", "data[colour] ="),
            ("data[\"Colour\"] =", "data.Colour ="),
            ("data[\"Colour\"] =", "Object.assign(data, params); data[\"Colour\"] ="),
            ("            data,\n", "            data: params,\n"),
            ("            data,\n", "            json: data,\n"),
            ("            data,\n", "            ...data,\n"),
            ("            data,\n", ""),
            ("params: data", "params"),
            ("uri: instance._uri", "uri: path"),
            ("this._uri = `", "this._uri = base + `"),
            ("method: \"post\"", "method"),
            ("PageToken\"]", "PageToken]"),
        ] {
            assert!(FILE.contains(known), "{known}");
            assert!(read_text(&FILE.replacen(known, other, 1)).is_err(), "{known} as {other}");
        }
    }
}
