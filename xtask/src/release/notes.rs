//! The text of the release page: the changelog's section of the version, and how to install.

use anyhow::Context as _;

use super::Release;

/// Writes `RELEASE.md`.
pub(super) fn write(release: &Release) -> anyhow::Result<()> {
    let changelog = std::fs::read_to_string("CHANGELOG.md")?;
    let section = section(&changelog, &release.version).context("CHANGELOG.md has no section of this version")?;
    let text = format!(
        "# Trunkgate {}\n\nCommit {}. To install, with the folder of these files as `URL`:\n\n```\ncurl -fsSLO URL/install.sh\n\
         TRUNKGATE_URL=URL sh install.sh\n```\n\n{section}\n",
        release.version, release.commit
    );
    std::fs::write(release.out.join("RELEASE.md"), text)?;
    Ok(())
}

/// Returns the lines below the heading of the version; where it has none yet, those below "Unreleased".
fn section<'a>(changelog: &'a str, version: &str) -> Option<&'a str> {
    let below = |heading: &str| {
        let begin = changelog.find(&format!("\n## {heading}"))? + 1;
        let lines = &changelog[begin..];
        let body = &lines[lines.find('\n')?..];
        Some(body.split("\n## ").next().unwrap_or(body).trim())
    };
    below(version).or_else(|| below("Unreleased"))
}

#[cfg(test)]
mod tests {
    use super::section;

    #[test]
    fn the_section_of_the_version_comes_first() {
        let changelog = "# Changelog\n\n## Unreleased\n\n- New.\n\n## 0.2.0 (2026-11-28)\n\n- Second.\n- Third.\n\n## 0.1.0\n\n- First.\n";
        assert_eq!(section(changelog, "0.2.0"), Some("- Second.\n- Third."));
        assert_eq!(section(changelog, "0.1.0"), Some("- First."));
        assert_eq!(section(changelog, "0.3.0"), Some("- New."));
        assert_eq!(section("# Changelog\n", "0.1.0"), None);
    }
}
