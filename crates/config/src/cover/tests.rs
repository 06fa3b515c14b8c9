//! Masking of secrets in rejected files, and the texts that must stay readable.

use std::path::Path;

use super::*;
use crate::{parse, render, to_json};

/// Returns every text shown for a rejected file or its warnings.
fn all_told(text: &str) -> String {
    let path = Path::new("t.toml");
    let (Ok((_, found)) | Err(found)) = parse(path, text);
    format!("{}\n{}\n{}", render(path, text, &found), to_json(path, text, &found), crate::brief(path, text, &found))
}

#[test]
fn no_form_of_a_secret_is_told_of_a_refused_file() {
    for text in [
        "[trunk.d]\npeers = ['sip:user:S3cret@h']\n",
        "[trunk.d]\npeers = [\n  \"sip:user:S3cret@h\",\n  { uri = 'sip:u:S3cret@h', weigth = 1 },\n]\n",
        "[trunk.d]\npeers = ['sip:u:a S3cret@h', 'sip:u:a\"S3cret@h', \"sip:u\\u003aS3cret@h\", 'user:S3cret@h']\n",
        "[trunk.d]\npeers = ['sip:h']\nregister = { registrar = 'sip:user:S3cret@h', user = 'u' }\n",
        "[trunk.d]\npeers = ['sip:h']\n[trunk.d.register]\nregistrar = 'sip:user:S3cret@h'\nuser = 'u'\n",
        "[cdr]\nurl = \"https://u:S3cret@h/?key=S3cret\"\n",
        "[cdr]\nurl = \"https://u:p/S3cret@h\"\nkeep = 3\n",
        "[agent.a]\nurl = \"wss://u:S3cret@h\"\n",
        "[agent.a]\nurl = \"wss://S3cret@h/?key=S3cret\"\nparameters = { n = 1, my_pin = 'S3cret' }\n",
        "[cdr]\nurl = 'https://h/'\nsecret = [\n\"whsec_S3cret\",\n  'S3cret', # old\n]\n",
        "[cdr]\nurl = 'https://h/'\nsecret = [\n\"whsec_S3cret\",\n",
        "[agent.a]\nurl = 'wss://h'\nparameters = { pwd = '{S3cret}', x = 'https://u:{S3cret}@h' }\n",
        "[agent.a.parameters]\ncookie = [\n'S3cret']\n",
        "[http]\n\"\\u0074oken\" = [\n'S3cret']\n",
        "[\"speech\"]\nkey = \"S3cret\"\n",
        "[speech]\ncommand = ['x', '--key', 'S3cret']\n",
        "[speech]\ncommand = 'x --key S3cret'\n",
        "[trunk.d.headers.add]\n\"X Y\" = 'S3cret'\nVia = 'S3cret'\nX-Z = [\n'S3cret']\n",
        "[trunk.d]\nheaders = { add = { \"X Y\" = 'S3cret', Via = \"S3cret\", Cookie = 3 } }\n",
        "[trunk.d.auth]\npaswrd = 'S3cret'\nusername = 3\n",
        "[trunk.d.auth]\npassword = [\n'S3cret'\n]\n",
        "[hep]\naddress = \"u:S3cret@h:1\"\n",
        "[otel]\nendpoint = 'https://u:S3cret@h'\nheaders = { x = 'S3cret', env = \"S3cret\" }\nsample = 2\n",
        "[otel.headers]\nplain = [\n'S3cret']\n",
        "[[route]]\nconnect = ['sip:u:S3cret@h;x=1', 'foo:u:S3cret@h']\n",
        "[http]\ntoken = \"\"\"\nS3cret\n\"\"\" 1\n",
        "[http]\ntoken = 'S3cret' 'S3cret'\n",
        "[http]\naddress = 1\ntoken = ['x'] # S3cret\n",
        // Files that are not valid TOML.
        "[http]\ntoken = \"\"\"\nS3cret==\nx = S3cret\n\"\"\" 1\n",
        "[cdr]\nsecret = [\nS3cret==,\n",
        "[http]\ntoken = a#S3cret\n",
        "[http]\ntoken = don't # S3cret\n",
        "[trunk.d]\nauth = { username = 'u', password = \"S3cret }\n",
        "[trunk.d]\nauth = { username = 'u', pasword = S3cret }\n",
        "[trunk.d.auth]\npaswrd = S3cret\n",
        "[agent.a]\nparameters = { x = 'S3cret\n",
        "[otel.headers]\nx = S3cret\n",
        "[speech]\ncommand = ['x', '{text}', S3cret]\n",
        "[trunk.d]\npeers = ['sip:u:a S3cret@h', x]\n",
        "[trunk.d]\nregister = { registrar = 'sip:u:S3cret@h, user = 1 }\n",
    ] {
        let told = all_told(text);
        assert!(!told.contains("S3cret"), "{text}\n{told}");
        assert!(told.contains("-->"), "{text}");
        let covered = covered(text);
        assert!(!covered.contains("S3cret") || text.contains("# S3cret"), "{covered}");
        let widths = |text: &str| text.lines().map(|line| line.chars().count()).collect::<Vec<_>>();
        assert_eq!(widths(&covered), widths(text));
    }
}

#[test]
fn what_is_no_secret_stays() {
    let plain = include_str!("../../../../config/trunkgate.toml");
    assert_eq!(covered(plain), plain);
    for text in [
        "[http.tls]\nprivate_key = 'k.pem'\n",
        "[http]\ntoken = { env = 'NAME' }\n[cdr]\nsecret = [\n{ file = '/run/x' },\n]\n",
        "[[route]]\nconnect = [{ ring_all = ['trunk:a', 'sip:100@h:5060'] }]\nto = '/^\\+?1(?:2)$/'\n",
        "[trunk.token]\npeers = [\n'sip:h', # \"\n]\nheaders = { pass = ['X-Key'] }\n",
        "[speech]\ncommand = ['espeak', '{voice}', '{text}']\n",
        "[otel]\nendpoint = 'https://h'\nheaders = { x-token = { env = 'NAME' } }\nsample = 0.5\n",
    ] {
        assert_eq!(covered(text), text);
    }
    assert_eq!(
        covered("[trunk.d]\npeers = ['sip:u:ñé@h', # '\n'sip:i']\n[http]\ntoken = x1 # n\n"),
        "[trunk.d]\npeers = ['sip:u:**@h', # '\n'sip:i']\n[http]\ntoken = ** # n\n"
    );
    for text in ["[trunk.d]\nmax_calls = 4OO # n\nlisten = udp\n", "[http.tls]\nprivate_key = k.pem\n", "[a]\nb = x\n"]
    {
        assert_eq!(covered(text), text);
    }
    assert_eq!(
        covered("[trunk.d]\nauth = { username = 'me', realm = x }\n"),
        "[trunk.d]\nauth = { username = '**', ***** = * }\n"
    );
    // An unclosed bracket does not hide the following table.
    assert_eq!(covered("[a]\nb = [\n'x',\n[http]\ntoken = 'y'\n"), "[a]\nb = [\n'x',\n[http]\ntoken = '*'\n");
}

proptest::proptest! {
    #[test]
    fn whatever_is_written_keeps_its_columns(text in "([\\[\\]{}=,.\"'#\\\\ \n?@:/]|token|sip:|é|a){0,60}") {
        let widths = |text: &str| text.split('\n').map(|line| line.chars().count()).collect::<Vec<_>>();
        proptest::prop_assert_eq!(widths(&covered(&text)), widths(&text));
        told_words(&text);
        proptest::prop_assert_eq!(widths(&starred_words(&text)), widths(&text));
    }
}

#[test]
fn an_address_is_told_without_password_and_query() {
    for (written, shown) in [
        ("https://u:p@h/x?a=b#c", "https://…@h/x?…"),
        ("https://h/@x", "https://h/@x"),
        ("https://u:p?x@h", "https://u:…"),
        ("sip:u:p@h;transport=tcp", "sip:u:…@h;transport=tcp"),
        ("sips:u@h:5061", "sips:u@h:5061"),
        ("sip:h?Subject=x", "sip:h?…"),
        ("u:p@h:1", "u:…@h:1"),
        ("trunk:a/1@2", "trunk:a/1@2"),
        ("127.0.0.1:9", "127.0.0.1:9"),
    ] {
        assert_eq!(told(written), shown);
    }
    assert_eq!(told_words("\"sip:u:p@h\": did you mean `x`?"), "\"sip:u:…@h\": did you mean `x`?");
}
