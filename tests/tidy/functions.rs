//! Finds functions by formatting: every file is formatted, so a body ends at the brace in the column of its `fn`.

use super::tree::{Line, Source};

/// Function with a body of several lines.
pub(crate) struct Function {
    pub(crate) name: String,
    /// First line of the function, counted from 1.
    pub(crate) line: usize,
    /// Number of lines from `fn` to the closing brace.
    pub(crate) length: usize,
    /// Number of lines in the function's longest `match`.
    pub(crate) in_match: usize,
}

/// Returns all functions of a file.
pub(crate) fn functions(source: &Source) -> Vec<Function> {
    let lines: Vec<Line> = source.lines().collect();
    let starts = lines.iter().enumerate().filter_map(|(at, line)| Some((at, function_name(line.code())?)));
    starts.filter_map(|(at, name)| function(&lines, at, name)).collect()
}

fn function(lines: &[Line], at: usize, name: String) -> Option<Function> {
    let opens = lines[at..].iter().position(|line| line.code().trim_end().ends_with(['{', ';', '}']))?;
    if !lines[at + opens].code().trim_end().ends_with('{') {
        return None;
    }
    let closes = block_end(lines, at)?;
    let body = &lines[at..=closes];
    let matches = body.iter().enumerate().filter(|(_, line)| opens_match(line.code()));
    let in_match = matches.filter_map(|(start, _)| Some(block_end(body, start)? - start + 1)).max().unwrap_or(0);
    Some(Function { name, line: lines[at].number, length: closes - at + 1, in_match })
}

/// Returns the line that closes the block beginning at `at`: a brace in the same column.
fn block_end(lines: &[Line], at: usize) -> Option<usize> {
    let depth = indent(lines[at].text);
    let closes = |line: &Line| indent(line.text) == depth && line.text.trim_start().starts_with('}');
    lines.iter().enumerate().skip(at + 1).find(|(_, line)| closes(line)).map(|(at, _)| at)
}

fn opens_match(code: &str) -> bool {
    let code = code.trim();
    code.ends_with('{') && (code.starts_with("match ") || code.contains(" match "))
}

fn function_name(code: &str) -> Option<String> {
    let mut words = code.split_whitespace();
    loop {
        match words.next()? {
            "fn" => break,
            "const" | "async" | "unsafe" | "extern" | "\"C\"" => {}
            word if word.starts_with("pub") || word == "crate)" || word == "super)" => {}
            _ => return None,
        }
    }
    Some(words.next()?.split(['(', '<']).next()?.to_owned())
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[test]
fn functions_are_measured() {
    let text = "//! x\nimpl A {\n    fn one() {}\n    pub(crate) const fn two(\n        a: u8,\n    ) -> u8 {\n        let b = match a {\n\
                \u{20}           0 => 1,\n        };\n        b\n    }\n    fn three();\n}\nfn four() {\n}\n";
    let found = functions(&Source { path: "x.rs".to_owned(), text: text.to_owned() });
    let short: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.length, f.in_match)).collect();
    assert_eq!(short, [("two", 4, 8, 3), ("four", 14, 2, 0)]);
}
