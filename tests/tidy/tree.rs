//! Source tree as text: its files, and the code, comments and tests in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Names of folders without sources.
const SKIPPED: [&str; 5] = ["target", ".git", "corpus", "artifacts", "node_modules"];
/// Extensions of files read as text; others (pictures, captured messages) are skipped.
const TEXT: [&str; 9] = ["rs", "toml", "md", "yml", "yaml", "sh", "cfg", "xml", "service"];

/// Crates that access the operating system, lowest first.
pub(crate) const SHELL: [&str; 9] =
    ["system", "audio", "config", "delivery", "runtime", "explain", "admin", "boot", "tools"];

/// Returns whether a file belongs to the shell: the binary and the crates of `SHELL`.
pub(crate) fn is_of_shell(path: &str) -> bool {
    let of_crate = path.strip_prefix("crates/").and_then(|path| path.split_once("/src/"));
    path.starts_with("src/") || of_crate.is_some_and(|(name, _)| SHELL.contains(&name))
}

/// Source file.
pub(crate) struct Source {
    /// Path of the file from the top of the tree, with `/`.
    pub(crate) path: String,
    /// Complete text of the file.
    pub(crate) text: String,
}

/// Line of a file, counted from 1.
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) text: &'a str,
}

impl Line<'_> {
    /// Returns the part of the line before a comment; strings count as code.
    pub(crate) fn code(&self) -> &str {
        self.text.split("//").next().unwrap_or_default()
    }

    /// Returns the text after `//`, if that begins a comment and is not part of a URL.
    pub(crate) fn comment(&self) -> &str {
        match self.text.split_once("//") {
            Some((before, comment)) if !before.ends_with(':') => comment,
            _ => "",
        }
    }
}

impl Source {
    pub(crate) fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.text.lines().enumerate().map(|(at, text)| Line { number: at + 1, text })
    }

    /// Returns the lines of the file before its unit tests.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = Line<'_>> {
        let end = self.unit_tests_at();
        self.lines().take_while(move |line| line.number < end)
    }

    /// Returns the lines of the file before its unit tests, without comments and quoted text, so that all braces and
    /// names are code.
    pub(crate) fn product_code(&self) -> String {
        let text: String = self.product_lines().map(|line| line.text.to_owned() + "\n").collect();
        let blank = |found: &Captures<'_>| "\n".repeat(found[0].matches('\n').count());
        quoted().replace_all(&text, blank).into_owned()
    }

    /// Returns the test code of the file: all of it under `tests/`, otherwise the part after `#[cfg(test)]`.
    pub(crate) fn test_text(&self) -> String {
        let from = if self.is_test() { 0 } else { self.unit_tests_at() };
        let lines: Vec<&str> = self.lines().filter(|line| line.number >= from).map(|line| line.text).collect();
        lines.join("\n")
    }

    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.contains("/tests.rs")
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the line of a `#[cfg(test)]` that a module follows, with at most other attributes in between.
    fn unit_tests_at(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let starts = |at: &usize| {
            let mut after = lines.iter().skip(at + 1).skip_while(|line| line.starts_with("#["));
            lines[*at] == "#[cfg(test)]" && after.next().is_some_and(|line| line.starts_with("mod "))
        };
        (0..lines.len()).find(starts).map_or(usize::MAX, |at| at + 1)
    }
}

/// Returns an expression that matches comments, strings and characters.
fn quoted() -> &'static Regex {
    static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
        let comment = r"//[^\n]*|/\*.*?\*/";
        let raw = r###"\bb?r"[^"]*"|\bb?r#".*?"#|\bb?r##".*?"##|"###;
        let text = r#""(?:\\.|[^"\\])*"|'(?:\\.[^']*|[^'\\])'"#;
        Regex::new(&format!("(?s){comment}|{raw}{text}")).unwrap()
    });
    &QUOTED
}

/// Returns the top folder of the tree.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all text files of the tree, by path.
pub(crate) fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    walk(root(), &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
        Some(Source { path: relative, text: fs::read_to_string(&path).ok()? })
    };
    let sources: Vec<Source> = found.into_iter().filter_map(read).collect();
    assert!(sources.len() > 50, "the tree has only {} files: is this its top?", sources.len());
    sources
}

/// Returns all Rust files of the tree.
pub(crate) fn rust() -> Vec<Source> {
    sources().into_iter().filter(Source::is_rust).collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                walk(&path, found);
            }
        } else if path.extension().is_some_and(|e| TEXT.contains(&e.to_string_lossy().as_ref())) || name == "run" {
            found.push(path);
        }
    }
}

/// Fails with the rule and its violations, if there are any.
pub(crate) fn report(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{rule}\n  {}\n", broken.join("\n  "));
}

#[test]
fn code_has_no_comments_and_quotes() {
    let text = "//! {\nfn one<'a>(of: &'a str) {\n    /* { */ let x = '{'; // {\n    f(\"\\\" {\", '\\'', \"\", 'a');\n    \
                g(r#\"\" {\"#, br\"{\");\n}\n#[cfg(test)]\nmod tests {}\n";
    let code = Source { path: "x.rs".to_owned(), text: text.to_owned() }.product_code();
    assert_eq!(code, "\nfn one<'a>(of: &'a str) {\n     let x = ; \n    f(, , , );\n    g(, );\n}\n");
}
