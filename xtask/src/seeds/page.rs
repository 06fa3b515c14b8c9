//! Page about Twilio applications as text, of which code blocks are extracted at run time. This repository contains
//! nothing of a page.
//!
//! Pages are texts without markup: a block is found by the lines before and after it, and leading white space is lost.
//! JavaScript and XML need none. For Python it is restored by the rules of [`indented`], which change no other
//! character.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Text of a page.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// Reads a page: the file `place`, or the file in the folder `place` of which the name begins with this number and
    /// `_`.
    pub(crate) fn read(place: &Path, number: &str) -> anyhow::Result<Page> {
        let file = if place.is_dir() { in_folder(place, &format!("{number}_"))? } else { place.to_owned() };
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(Page { text })
    }

    /// Returns the lines of the page between two lines.
    fn between(&self, before: &str, behind: &str) -> anyhow::Result<Vec<&str>> {
        let block = self.text.lines().skip_while(|line| line.trim() != before).skip(1);
        let block: Vec<&str> = block.take_while(|line| line.trim() != behind).collect();
        if block.is_empty() || !self.text.lines().any(|line| line.trim() == behind) {
            bail!("the page has no block between {before:?} and {behind:?}");
        }
        Ok(block)
    }

    /// Returns the code of the page's Node server.
    pub(crate) fn node_server(&self) -> anyhow::Result<String> {
        Ok(self.between("Create server.js:", "Run locally:")?.join("\n"))
    }

    /// Returns the code of the page's Python server.
    pub(crate) fn python_server(&self) -> anyhow::Result<String> {
        Ok(indented(&self.between("app.py:", "Run:")?))
    }

    /// Returns the body of the handler in the page's first example of use.
    pub(crate) fn node_example(&self) -> anyhow::Result<String> {
        Ok(self.between("Node TwiML snippet:", "Operational notes:")?.join("\n"))
    }

    /// Returns the opening tag of an element in the page's prose, without the end of the tag.
    pub(crate) fn opening(&self, beginning: &str) -> anyhow::Result<&str> {
        let tag = self.text.find(beginning).and_then(|at| self.text.get(at..)?.split_once('>'));
        tag.map(|(opening, _)| opening).with_context(|| format!("the page has no {beginning}…>"))
    }

    /// Returns the value in the page's line `export NAME="VALUE"`.
    pub(crate) fn export(&self, name: &str) -> anyhow::Result<&str> {
        let line = format!("export {name}=\"");
        let value = self.text.lines().find_map(|text| text.trim().strip_prefix(&line)?.strip_suffix('"'));
        value.with_context(|| format!("the page does not export {name}"))
    }

    /// Returns the page's example for Twilio's Python library.
    pub(crate) fn python_example(&self) -> anyhow::Result<String> {
        let before = self.line(|line| line.starts_with("PyPI: pip install twilio"))?;
        let behind = self.line(|line| line.starts_with("Source: twilio/twilio-python"))?;
        Ok(indented(&self.between(before, behind)?))
    }

    /// Returns the page's command that makes a call by curl, without the lines that set credentials.
    pub(crate) fn curl_example(&self) -> anyhow::Result<String> {
        let block = self.between("Using curl:", "Notes:")?;
        let is_export = |line: &&str| line.trim().starts_with("export ");
        Ok(block.into_iter().filter(|line| !is_export(line)).collect::<Vec<_>>().join("\n"))
    }

    /// Returns the path of the list in the page's command-line example.
    pub(crate) fn cli_path(&self) -> anyhow::Result<&str> {
        let line = self.line(|line| line.starts_with("--uri \""))?;
        line.split('"').nth(1).context("a path in quotes")
    }

    /// Returns the page's command for the command-line program with this beginning, including continuation lines.
    pub(crate) fn command(&self, beginning: &str) -> anyhow::Result<String> {
        let from = self.text.lines().map(str::trim).skip_while(|line| !line.starts_with(beginning));
        let mut command = Vec::new();
        for line in from {
            command.push(line);
            if !line.ends_with('\\') {
                return Ok(command.join("\n"));
            }
        }
        bail!("the page has no command {beginning}")
    }

    fn line(&self, is_it: impl Fn(&str) -> bool) -> anyhow::Result<&str> {
        self.text.lines().map(str::trim).find(|line| is_it(line)).context("the page lacks a line")
    }

    /// Returns whether the page contains these words.
    pub(crate) fn has(&self, words: &str) -> bool {
        self.text.contains(words)
    }

    /// Returns the value of a form field in the page's curl command.
    pub(crate) fn field(&self, name: &str) -> anyhow::Result<&str> {
        let words = format!("\"fieldname\": \"{name}\", \"fieldvalue\": \"");
        let value = self.text.split_once(&words).and_then(|(_, rest)| rest.split('"').next());
        value.with_context(|| format!("the page has no field {name}"))
    }

    /// Returns the phone numbers in backquotes between two words of the page.
    pub(crate) fn numbers_between(&self, before: &str, behind: &str) -> Vec<&str> {
        let part = self.text.split_once(before).and_then(|(_, rest)| Some(rest.split_once(behind)?.0));
        part.unwrap_or_default().split('`').filter(|word| word.starts_with('+')).collect()
    }

    /// Returns the first URL that stands on a line of its own and ends in this text.
    pub(crate) fn url_ending(&self, end: &str) -> anyhow::Result<&str> {
        self.line(|line| line.starts_with("https://") && line.ends_with(end))
    }

    /// Returns the text between `before`, which ends in a quotation mark, and the next quotation mark.
    pub(crate) fn quoted(&self, before: &str) -> anyhow::Result<&str> {
        let text = self.text.split_once(before).and_then(|(_, rest)| rest.split('"').next());
        text.with_context(|| format!("the page has no text behind {before:?}"))
    }

    /// Returns the phone numbers in the page's table of formats: the last cell of each row.
    pub(crate) fn formats(&self) -> Vec<&str> {
        let cells = self.text.lines().filter_map(|line| line.trim().strip_suffix('|')?.rsplit('|').next());
        cells.map(str::trim).filter(|cell| cell.starts_with('+')).collect()
    }

    /// Returns the JSON objects of the page in order: each begins with a line that consists of a brace.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let mut objects = Vec::new();
        let mut end = 0;
        for (at, _) in self.text.match_indices("{\n") {
            let is_first = self.text.get(..at).is_some_and(|before| before.is_empty() || before.ends_with('\n'));
            if at < end || !is_first {
                continue;
            }
            let mut values = serde_json::Deserializer::from_str(self.text.get(at..).unwrap_or_default()).into_iter();
            if let Some(Ok(object)) = values.next() {
                end = at + values.byte_offset();
                objects.push(object);
            }
        }
        objects
    }

    /// Returns the TwiML documents of the page, in order.
    pub(crate) fn documents(&self) -> Vec<String> {
        let mut documents: Vec<Vec<&str>> = Vec::new();
        let mut open = false;
        for line in self.text.lines() {
            if line.trim().starts_with("<?xml ") {
                documents.push(Vec::new());
                open = true;
            }
            if let Some(document) = documents.last_mut().filter(|_| open) {
                document.push(line);
                open = line.trim() != "</Response>";
            }
        }
        documents.iter().map(|lines| lines.join("\n")).collect()
    }
}

fn in_folder(folder: &Path, prefix: &str) -> anyhow::Result<PathBuf> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut names = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    names.find(named).with_context(|| format!("no page {prefix}… in {}", folder.display()))
}

/// Restores the indentation of Python: the body of a function is indented by one step up to its final `return` (or the
/// next decorator), the line after `if`, `elif` or `else` and the following ones by another, up to the next of them or
/// that `return`. An `if` without `else` has one line. The pages' servers need no more.
fn indented(lines: &[&str]) -> String {
    let mut text = String::new();
    let (mut in_function, mut branch, mut chain) = (false, 0, false);
    for (at, line) in lines.iter().map(|line| line.trim()).enumerate() {
        let last = lines.get(at + 1).is_none_or(|next| next.trim().is_empty() || next.trim().starts_with('@'));
        let opens = line.ends_with(':');
        if line.starts_with('@') || line.starts_with("def ") || line.starts_with("async def ") {
            (in_function, branch, chain) = (opens, 0, false);
            _ = writeln!(text, "{line}");
            continue;
        }
        let heads = ["if ", "elif ", "else:"].iter().any(|word| line.starts_with(word)) && opens;
        if heads {
            chain = chain || lines.iter().skip(at + 1).take(2).any(|next| next.trim().starts_with("el"));
            branch = 0;
        } else if line.starts_with("return ") && last {
            branch = 0;
        }
        let steps = usize::from(in_function) + usize::from(branch > 0);
        _ = writeln!(text, "{}{line}", "    ".repeat(steps));
        branch = match (heads, chain) {
            (true, true) => usize::MAX,
            (true, false) => 1,
            (false, _) => branch.saturating_sub(1),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "import os\napp = App()\ndef judge(form: dict) -> None:\nwhole = good(form)\nif not whole:\n\
        raise PermissionError(\"no\")\n@app.post(\"/a\")\nasync def a(request):\nform = {}\njudge(form)\nif form:\nb = 1\n\
        elif b:\nb = 2\nelse:\nb = 3\nc = 4\nreturn b\n@app.post(\"/b\")\ndef b():\nif x:\ny = 1\nz = 2\nreturn z";

    #[test]
    fn python_gets_its_indentation_back() {
        let expected = "import os\napp = App()\ndef judge(form: dict) -> None:\n    whole = good(form)\n    if not whole:\n        \
            raise PermissionError(\"no\")\n@app.post(\"/a\")\nasync def a(request):\n    form = {}\n    judge(form)\n    if form:\n        b = 1\n    \
            elif b:\n        b = 2\n    else:\n        b = 3\n        c = 4\n    return b\n@app.post(\"/b\")\ndef b():\n    if x:\n        y = 1\n    z = 2\n    return z\n";
        let made = indented(&CODE.lines().collect::<Vec<_>>());
        assert_eq!(made, expected);
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&made), words(CODE), "only white space is put in");
    }

    #[test]
    fn blocks_stand_between_their_lines() {
        let text = "intro\napp.py:\nx = 1\nRun:\nexport TOKEN=\"a b\"\n<?xml version=\"1.0\"?>\n<Response>\n</Response>\nend\n\
                    <?xml version=\"1.0\"?>\n<Response>\n<Say>a</Say>\n</Response>";
        let page = Page { text: text.to_owned() };
        assert_eq!(page.python_server().unwrap(), "x = 1\n");
        assert_eq!(page.export("TOKEN").unwrap(), "a b");
        assert!(page.node_server().is_err() && page.export("OTHER").is_err());
        let documents = page.documents();
        assert_eq!(documents.len(), 2);
        assert!(documents[0].ends_with("</Response>") && documents[1].contains("<Say>"));
    }

    #[test]
    fn a_command_has_the_lines_that_it_goes_on_in() {
        let page = Page { text: "a\nprog list \\\n--limit 1 \\\n--b\nprog fetch --sid X\n".to_owned() };
        assert_eq!(page.command("prog list").unwrap(), "prog list \\\n--limit 1 \\\n--b");
        assert_eq!(page.command("prog fetch").unwrap(), "prog fetch --sid X");
        assert!(page.command("prog update").is_err());
    }

    #[test]
    fn objects_commands_and_numbers_are_found() {
        let text = "PyPI: pip install twilio · any\nx = 1\nSource: twilio/twilio-python\nUsing curl:\nexport A=\"1\"\ncurl x \\\n-d y\nNotes:\n\
                    --uri \"/a?b=1\"\n{\n  \"action\": {\n \"a\": 1\n}\n}\n{\nbroken\n}\n| US | +1 (415) 555-1234 |\n| B | no |\n\
                    {\"fieldname\": \"holdtext\", \"fieldvalue\": \"Please hold.\"} Examples: `+1415`, `a`, `+44`. Then `+49`.";
        let page = Page { text: text.to_owned() };
        assert_eq!(page.python_example().unwrap(), "x = 1\n");
        assert_eq!((page.curl_example().unwrap().as_str(), page.cli_path().unwrap()), ("curl x \\\n-d y", "/a?b=1"));
        assert_eq!(page.objects(), [serde_json::json!({"action": {"a": 1}})]);
        assert_eq!((page.formats(), page.field("holdtext").unwrap()), (vec!["+1 (415) 555-1234"], "Please hold."));
        assert_eq!(page.numbers_between("Examples:", "Then"), ["+1415", "+44"]);
        assert_eq!(page.quoted("\"fieldvalue\": \"").unwrap(), "Please hold.");
        assert!(page.url_ending("/sms").is_err());
        assert!(page.has("broken") && page.field("other").is_err());
    }
}
