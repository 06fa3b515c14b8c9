//! Text of the release page: installation, and the changes of the version, including fragments that are not yet in
//! CHANGELOG.md.

use super::Release;
use crate::changes;

/// Writes `RELEASE.md`; `glibc`: oldest version of glibc for the aarch64 binary, if the release has one.
pub(super) fn write(release: &Release, glibc: Option<&str>) -> anyhow::Result<()> {
    let changes = changes::text_of_version(&release.version)?;
    let text = format!(
        "# Trunkgate {}\n\nCommit {}. To install, with the folder of these files as `URL`:\n\n```\ncurl -fsSLO URL/install.sh\n\
         TRUNKGATE_URL=URL sh install.sh\n```\n\n{}\n{changes}\n",
        release.version,
        release.commit,
        table(&release.version, glibc)
    );
    std::fs::write(release.out.join("RELEASE.md"), text)?;
    Ok(())
}

/// Returns the table of machines with the files for each.
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

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn only_machines_of_the_release_are_listed() {
        assert!(!table("0.2.0", None).contains("aarch64"));
        let table = table("0.2.0", Some("2.34"));
        let row = "| aarch64 | Linux with glibc 2.34 or newer | `trunkgate-0.2.0-aarch64-linux.tar.gz` | `trunkgate_0.2.0-1_arm64.deb` |";
        assert!(table.lines().any(|line| line == row), "{table}");
    }
}
