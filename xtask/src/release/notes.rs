//! The text of the release page: the changelog's section of the version, and how to install.

use anyhow::Context as _;

use super::Release;

/// Writes `RELEASE.md`; `glibc` is the oldest glibc of the binary for aarch64, where the release has one.
pub(super) fn write(release: &Release, glibc: Option<&str>) -> anyhow::Result<()> {
    let changelog = std::fs::read_to_string("CHANGELOG.md")?;
    let section = section(&changelog, &release.version).context("CHANGELOG.md has no section of this version")?;
    let text = format!(
        "# Trunkgate {}\n\nCommit {}. To install, with the folder of these files as `URL`:\n\n```\ncurl -fsSLO URL/install.sh\n\
         TRUNKGATE_URL=URL sh install.sh\n```\n\n{}\n{section}\n",
        release.version,
        release.commit,
        table(&release.version, glibc)
    );
    std::fs::write(release.out.join("RELEASE.md"), text)?;
    Ok(())
}

/// Returns the table of machines with their files.
fn table(version: &str, glibc: Option<&str>) -> String {
    let row = |machine: &str, needs: &str, architecture: &str| {
        format!(
            "| {machine} | {needs} | `trunkgate-{version}-{machine}-linux.tar.gz` | `trunkgate_{version}-1_{architecture}.deb` |\n"
        )
    };
    let mut table = "| machine | needs | archive | Debian package |\n| --- | --- | --- | --- |\n".to_owned();
    table.push_str(&row("x86_64", "Linux", "amd64"));
    if let Some(glibc) = glibc {
        table.push_str(&row("aarch64", &format!("Linux with glibc {glibc} or newer"), "arm64"));
    }
    table
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
    use super::{section, table};

    #[test]
    fn only_machines_of_the_release_are_listed() {
        assert!(!table("0.2.0", None).contains("aarch64"));
        let table = table("0.2.0", Some("2.34"));
        let row = "| aarch64 | Linux with glibc 2.34 or newer | `trunkgate-0.2.0-aarch64-linux.tar.gz` | `trunkgate_0.2.0-1_arm64.deb` |";
        assert!(table.lines().any(|line| line == row), "{table}");
    }

    #[test]
    fn the_section_of_the_version_comes_first() {
        let changelog = "# Changelog\n\n## Unreleased\n\n- New.\n\n## 0.2.0 (2026-11-28)\n\n- Second.\n- Third.\n\n## 0.1.0\n\n- First.\n";
        assert_eq!(section(changelog, "0.2.0"), Some("- Second.\n- Third."));
        assert_eq!(section(changelog, "0.1.0"), Some("- First."));
        assert_eq!(section(changelog, "0.3.0"), Some("- New."));
        assert_eq!(section("# Changelog\n", "0.1.0"), None);
    }
}
