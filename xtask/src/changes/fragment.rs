//! Changelog fragment: a file `NAME.KIND.md` with one sentence.

/// Maximum length of a fragment's text, in characters.
const TEXT_CHARACTERS: usize = 300;
/// Maximum length of a fragment's name, in characters.
const NAME_CHARACTERS: usize = 60;

/// Kind of a change, in the order of the changelog: first those that may require action by users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChangeKind {
    Security,
    Removed,
    Changed,
    Added,
    Fixed,
}

impl ChangeKind {
    const ALL: [ChangeKind; 5] =
        [ChangeKind::Security, ChangeKind::Removed, ChangeKind::Changed, ChangeKind::Added, ChangeKind::Fixed];

    /// Returns the part of a fragment's file name that names the kind.
    fn slug(self) -> &'static str {
        match self {
            ChangeKind::Security => "security",
            ChangeKind::Removed => "removed",
            ChangeKind::Changed => "changed",
            ChangeKind::Added => "added",
            ChangeKind::Fixed => "fixed",
        }
    }

    /// Returns the heading above the changes of this kind.
    fn heading(self) -> &'static str {
        match self {
            ChangeKind::Security => "Security",
            ChangeKind::Removed => "Removed",
            ChangeKind::Changed => "Changed",
            ChangeKind::Added => "Added",
            ChangeKind::Fixed => "Fixed",
        }
    }
}

/// Change that is not in CHANGELOG.md yet.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fragment {
    kind: ChangeKind,
    name: String,
    text: String,
}

impl Fragment {
    /// Reads a fragment from a file's name and contents; the error names the fault and its remedy.
    pub(super) fn parse(file: &str, contents: &str) -> Result<Fragment, String> {
        let parts: Vec<&str> = file.split('.').collect();
        let [name, slug, "md"] = parts[..] else {
            return Err("the name is not of the form NAME.KIND.md".to_owned());
        };
        let is_plain = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '-';
        if name.is_empty() || name.len() > NAME_CHARACTERS || !name.chars().all(is_plain) {
            return Err(format!(
                "name {name:?}: use small letters, digits and hyphens, {NAME_CHARACTERS} characters at most"
            ));
        }
        let Some(kind) = ChangeKind::ALL.into_iter().find(|kind| kind.slug() == slug) else {
            let known = ChangeKind::ALL.map(ChangeKind::slug).join(", ");
            return Err(format!("unknown kind {slug:?}: use one of {known}"));
        };
        let text = contents.strip_suffix('\n').unwrap_or(contents);
        check_text(text)?;
        Ok(Fragment { kind, name: name.to_owned(), text: text.to_owned() })
    }

    /// Returns the fragment's file name.
    pub(super) fn file(&self) -> String {
        format!("{}.{}.md", self.name, self.kind.slug())
    }
}

/// Checks that a fragment's text is one line with one sentence; otherwise, returns a description of the fault.
fn check_text(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the file is empty: write one sentence".to_owned());
    }
    if text.contains(['\n', '\r']) {
        return Err("more than one line: write one sentence, in one line".to_owned());
    }
    let characters = text.chars().count();
    if characters > TEXT_CHARACTERS {
        return Err(format!("{characters} characters: {TEXT_CHARACTERS} at most; details belong in docs/"));
    }
    if text.starts_with([' ', '\t', '-', '*', '+', '#', '>']) {
        return Err("begins with a space, list mark or heading: write the sentence alone".to_owned());
    }
    if !text.ends_with('.') {
        return Err("no full stop at the end: write one sentence".to_owned());
    }
    Ok(())
}

/// Returns the changes as lists, each below the heading of its kind; `fragments` are already sorted.
pub(super) fn list(fragments: &[Fragment]) -> String {
    let groups = fragments.chunk_by(|one, next| one.kind == next.kind).map(|group| {
        let lines: Vec<String> = group.iter().map(|fragment| format!("- {}", fragment.text)).collect();
        format!("### {}\n\n{}", group[0].kind.heading(), lines.join("\n"))
    });
    groups.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_has_a_name_a_kind_and_one_sentence() {
        let longest = format!("{}.", "x".repeat(TEXT_CHARACTERS - 1));
        let too_long = format!("x{longest}");
        let long_name = format!("{}.added.md", "n".repeat(NAME_CHARACTERS + 1));
        for (file, contents, fault) in [
            ("from-user.added.md", "`from_user` of a trunk sets the user of From.\n", None),
            ("from-user.changed.md", "No newline at the end.", None),
            ("2-lines.security.md", &longest, None),
            ("x.removed.md", "The flag `-x` is gone: use `--y`.\n", None),
            ("x.fixed.md", "Umlauts (ä) count as one.\n", None),
            ("x.md", "A sentence.\n", Some("NAME.KIND.md")),
            ("x.added", "A sentence.\n", Some("NAME.KIND.md")),
            ("x.y.added.md", "A sentence.\n", Some("NAME.KIND.md")),
            ("x.added.md.orig", "A sentence.\n", Some("NAME.KIND.md")),
            (".added.md", "A sentence.\n", Some("small letters")),
            ("From_User.added.md", "A sentence.\n", Some("small letters")),
            (&long_name, "A sentence.\n", Some("60 characters")),
            ("x.feature.md", "A sentence.\n", Some("\"feature\": use one of security, removed, changed, added, fixed")),
            ("x.Added.md", "A sentence.\n", Some("unknown kind")),
            ("x.added.md", "", Some("empty")),
            ("x.added.md", " \n", Some("empty")),
            ("x.added.md", "One line.\nAnother.\n", Some("more than one line")),
            ("x.added.md", "One line.\n\n", Some("more than one line")),
            ("x.added.md", "One line.\r\n", Some("more than one line")),
            ("x.added.md", &too_long, Some("301 characters: 300 at most")),
            ("x.added.md", "- A list.\n", Some("list mark")),
            ("x.added.md", "## A heading.\n", Some("heading")),
            ("x.added.md", "A title\n", Some("full stop")),
        ] {
            let parsed = Fragment::parse(file, contents);
            match (fault, parsed) {
                (None, parsed) => assert_eq!(parsed.as_ref().map(Fragment::file).as_deref(), Ok(file)),
                (Some(fault), Err(found)) => assert!(found.contains(fault), "{file}: {found}"),
                (Some(fault), Ok(_)) => panic!("{file}: {contents:?} is accepted, not refused with {fault:?}"),
            }
        }
    }

    #[test]
    fn changes_are_listed_by_kind() {
        let parsed = |file: &str| Fragment::parse(file, &format!("Text of {file}.\n")).unwrap();
        for (files, expected) in [
            (&[][..], ""),
            (&["b.fixed.md"], "### Fixed\n\n- Text of b.fixed.md."),
            (
                &["c.fixed.md", "a.added.md", "z.security.md", "b.added.md"],
                "### Security\n\n- Text of z.security.md.\n\n### Added\n\n- Text of a.added.md.\n- Text of b.added.md.\n\n\
                 ### Fixed\n\n- Text of c.fixed.md.",
            ),
            (
                &["a.changed.md", "a.removed.md"],
                "### Removed\n\n- Text of a.removed.md.\n\n### Changed\n\n- Text of a.changed.md.",
            ),
        ] {
            let mut fragments: Vec<Fragment> = files.iter().map(|file| parsed(file)).collect();
            fragments.sort();
            assert_eq!(list(&fragments), expected, "{files:?}");
        }
    }
}
