//! CHANGELOG.md: a section for each version, newest first, with a head such as `## 0.1.0 (2026-11-28)` or
//! `## 0.1.0 (unreleased): …`.

use std::ops::Range;

use anyhow::bail;

const UNRELEASED: &str = "(unreleased)";

/// Positions of a version's section in the changelog.
struct Section {
    head: Range<usize>,
    body: Range<usize>,
}

/// Returns the sections of a changelog in their order.
fn sections(changelog: &str) -> Vec<Section> {
    let heads: Vec<usize> = changelog.match_indices("\n## ").map(|(at, _)| at + 1).collect();
    let ends = heads.iter().skip(1).copied().chain([changelog.len()]);
    let section = |(begin, end): (usize, usize)| {
        let body = changelog[begin..end].find('\n').map_or(end, |length| begin + length);
        Section { head: begin..body, body: body..end }
    };
    heads.iter().copied().zip(ends).map(section).collect()
}

/// Returns the version named in a head.
fn version_of(head: &str) -> &str {
    head.trim_start_matches("## ").split([' ', ':']).next().unwrap_or_default()
}

/// Returns the text below the head of a version's section.
pub(super) fn section<'a>(changelog: &'a str, version: &str) -> Option<&'a str> {
    let found =
        sections(changelog).into_iter().find(|section| version_of(&changelog[section.head.clone()]) == version)?;
    Some(changelog[found.body].trim())
}

/// Joins two parts of the text, either of which may be empty.
pub(super) fn join(first: &str, second: &str) -> String {
    let parts = [first.trim(), second.trim()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
}

/// Returns the changelog with `changes` in the section of the version, and with the date in the head of the section.
pub(super) fn with_release(changelog: &str, version: &str, date: &str, changes: &str) -> anyhow::Result<String> {
    let sections = sections(changelog);
    let head_of = |section: &Section| &changelog[section.head.clone()];
    if let Some(other) =
        sections.iter().map(head_of).find(|head| head.contains(UNRELEASED) && version_of(head) != version)
    {
        bail!("{:?} of CHANGELOG.md is unreleased: release {} first", other, version_of(other));
    }
    let (before, released, after) = match sections.iter().find(|section| version_of(head_of(section)) == version) {
        Some(section) if head_of(section).contains(UNRELEASED) => {
            let head = head_of(section).replacen(UNRELEASED, &format!("({date})"), 1);
            let text = join(&head, &join(&changelog[section.body.clone()], changes));
            (&changelog[..section.head.start], text, &changelog[section.body.end..])
        }
        Some(section) => bail!("CHANGELOG.md has this version already: {:?}", head_of(section)),
        None if changes.is_empty() => bail!("nothing to release: no fragments, and no section of {version}"),
        None => {
            let at = sections.first().map_or(changelog.len(), |newest| newest.head.start);
            (&changelog[..at], join(&format!("## {version} ({date})"), changes), &changelog[at..])
        }
    };
    Ok(join(before, &join(&released, after)) + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_found_by_its_version() {
        let changelog = "# Changelog\n\n## 0.2.10 (unreleased): more\n\n- New.\n\n## 0.2.0 (2026-11-28)\n\n- Second.\n- Third.\n\n## 0.1.0\n\n- First.\n";
        for (version, expected) in [
            ("0.2.0", Some("- Second.\n- Third.")),
            ("0.1.0", Some("- First.")),
            ("0.2.10", Some("- New.")),
            ("0.2.1", None),
            ("0.3.0", None),
        ] {
            assert_eq!(section(changelog, version), expected, "{version}");
        }
        assert_eq!(section("# Changelog\n", "0.1.0"), None);
        assert_eq!(section("# Changelog\n\n## 0.1.0", "0.1.0"), Some(""));
    }

    #[test]
    fn a_release_has_its_date_and_changes() {
        let (changes, first) = ("### Added\n\n- A.", "# Changelog\n\n## 0.1.0 (2026-01-01)\n\n- First.\n");
        let unreleased = "# Changelog\n\n## 0.1.0 (unreleased): what it does\n\nText.\n";
        for (changelog, version, changes, expected) in [
            (
                first,
                "0.2.0",
                changes,
                Ok("# Changelog\n\n## 0.2.0 (2026-02-02)\n\n### Added\n\n- A.\n\n## 0.1.0 (2026-01-01)\n\n- First.\n"),
            ),
            (
                unreleased,
                "0.1.0",
                changes,
                Ok("# Changelog\n\n## 0.1.0 (2026-02-02): what it does\n\nText.\n\n### Added\n\n- A.\n"),
            ),
            (unreleased, "0.1.0", "", Ok("# Changelog\n\n## 0.1.0 (2026-02-02): what it does\n\nText.\n")),
            ("# Changelog\n", "0.1.0", changes, Ok("# Changelog\n\n## 0.1.0 (2026-02-02)\n\n### Added\n\n- A.\n")),
            (unreleased, "0.2.0", changes, Err("release 0.1.0 first")),
            (first, "0.1.0", changes, Err("this version already")),
            (first, "0.2.0", "", Err("nothing to release")),
        ] {
            match (with_release(changelog, version, "2026-02-02", changes), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (found, expected) => panic!("{version}: {found:?} instead of {expected:?}"),
            }
        }
    }
}
