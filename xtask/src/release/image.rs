//! Container image without a base image: the static binary, the root certificates, and a user.

use std::path::Path;
use std::process::Command;

use super::Release;
use crate::commands::output;
use crate::interop::install;

/// Path of the root certificates on the build machine.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// User and group with which the edge runs.
const USER: &str = "65534:65534";

/// Writes the image `trunkgate-VERSION-image.tar` for `docker load` and `podman load`.
pub(super) fn write(release: &Release, binary: &Path) -> anyhow::Result<()> {
    install::packages(&[("buildah", "buildah"), (CERTIFICATES, "ca-certificates")])?;
    let staging = tempfile::tempdir()?;
    let root = staging.path();
    for folder in ["usr/bin", "etc/ssl/certs", "etc/trunkgate", "var/lib/trunkgate", "run/trunkgate", "tmp"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    std::fs::copy(binary, root.join("usr/bin/trunkgate"))?;
    std::fs::copy(CERTIFICATES, root.join("etc").join("ssl/certs/ca-certificates.crt"))?;
    std::fs::copy("deploy/trunkgate.toml", root.join("etc/trunkgate/trunkgate.toml"))?;
    std::fs::write(root.join("etc/passwd"), "nobody:x:65534:65534:nobody:/:/sbin/nologin\n")?;
    std::fs::write(root.join("etc/group"), "nogroup:x:65534:\n")?;
    output(Command::new("chmod").arg("1777").arg(root.join("tmp")))?;
    output(Command::new("chmod").arg("0700").arg(root.join("run/trunkgate")))?;
    output(Command::new("chown").arg(USER).args([root.join("var/lib/trunkgate"), root.join("run/trunkgate")]))?;
    let buildah =
        |arguments: &[&str]| output(Command::new("buildah").args(["--storage-driver", "vfs"]).args(arguments));
    let container = buildah(&["from", "scratch"])?.trim().to_owned();
    let made = (|| {
        buildah(&["add", "--quiet", &container, &root.display().to_string(), "/"])?;
        buildah(&[
            "config",
            "--entrypoint",
            r#"["/usr/bin/trunkgate"]"#,
            "--cmd",
            "keeper -- run",
            "--user",
            USER,
            "--env",
            "STATE_DIRECTORY=/var/lib/trunkgate",
            "--env",
            "RUNTIME_DIRECTORY=/run/trunkgate",
            "--label",
            &format!("org.opencontainers.image.version={}", release.version),
            "--label",
            &format!("org.opencontainers.image.revision={}", release.commit),
            &container,
        ])?;
        let archive = release.out.join(format!("trunkgate-{}-image.tar", release.version));
        let reference = format!("docker-archive:{}:trunkgate:{}", archive.display(), release.version);
        buildah(&["commit", "--quiet", "--timestamp", &release.seconds.to_string(), &container, &reference])
    })();
    buildah(&["rm", &container])?;
    made.map(|_| ())
}
