//! Cargo with Debian's compiler for web browsers (`rustc-web`). Debian has the standard library for it as source and
//! for other machines; rustup's toolchain of this project has the one for x86_64 with glibc.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use super::Release;
use crate::interop::edge::{PROFILE, cargo};

/// Path of Debian's compiler.
pub(super) const COMPILER: &str = "/usr/bin/rustc";

/// Platform for which artefacts are built.
#[derive(Debug, Clone, Copy)]
pub(super) struct Platform {
    /// Machine in the names of artefacts, as `uname -m` prints it.
    pub(super) machine: &'static str,
    /// Rust's name of the platform.
    pub(super) target: &'static str,
    /// C compiler, which is also the linker.
    pub(super) c_compiler: &'static str,
}

impl Platform {
    /// Returns the command of cargo with the compilers for this platform and the target folder `folder`; the files
    /// built contain no path of this machine.
    pub(super) fn cargo(&self, folder: &Path, compiler_flags: &[String]) -> anyhow::Result<Command> {
        let name = self.target.replace('-', "_");
        let variable = |key: &str| format!("CARGO_TARGET_{}_{key}", name.to_uppercase());
        let mut flags = compiler_flags.to_vec();
        flags.extend(prefix_flags("--remap-path-prefix=", folder)?);
        let mut cargo = cargo();
        cargo
            .env("CARGO_TARGET_DIR", folder)
            .env("RUSTC", COMPILER)
            .env(variable("LINKER"), self.c_compiler)
            .env(variable("RUSTFLAGS"), flags.join(" "))
            .env(format!("CC_{name}"), self.c_compiler)
            .env(format!("CFLAGS_{name}"), prefix_flags("-ffile-prefix-map=", folder)?.join(" "))
            .env_remove("RUSTFLAGS");
        Ok(cargo)
    }

    /// Builds the stripped binary with this command of [`Platform::cargo`], and returns its path.
    pub(super) fn build(&self, release: &Release, folder: &Path, mut cargo: Command) -> anyhow::Result<PathBuf> {
        println!("building trunkgate {} for {}", release.version, self.target);
        let status = cargo
            .args(["build", "--locked", "--quiet", "--profile", PROFILE, "--target", self.target])
            .args(["--package", "trunkgate", "--bin", "trunkgate"])
            .env("CARGO_PROFILE_DIST_STRIP", "symbols")
            .env("SOURCE_DATE_EPOCH", release.seconds.to_string())
            .env("TRUNKGATE_COMMIT", &release.commit)
            .env("TRUNKGATE_PROFILE", PROFILE)
            .status()?;
        if !status.success() {
            bail!("the binary for {} does not build", self.target);
        }
        Ok(folder.join(self.target).join(PROFILE).join("trunkgate"))
    }
}

/// Returns compiler flags that replace the folders of this machine in compiled code.
fn prefix_flags(flag: &str, folder: &Path) -> anyhow::Result<Vec<String>> {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))?;
    let checkout = std::env::current_dir()?;
    // The last matching flag applies; the target folder is inside the checkout.
    Ok([(home.as_str().as_ref(), "/cargo"), (checkout.as_path(), "/trunkgate"), (folder, "/build")]
        .map(|(from, to): (&Path, &str)| format!("{flag}{}={to}", from.display()))
        .to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_gets_the_compilers_of_the_platform_and_no_path_of_this_machine() {
        let platform =
            Platform { machine: "aarch64", target: "aarch64-unknown-linux-gnu", c_compiler: "aarch64-linux-gnu-gcc" };
        let cargo = platform.cargo("/somewhere/build".as_ref(), &["-Copt".to_owned()]).unwrap();
        let value = |key: &str| {
            let (_, value) = cargo.get_envs().find(|(name, _)| *name == key).unwrap();
            value.unwrap().to_string_lossy().into_owned()
        };
        assert_eq!(value("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"), "aarch64-linux-gnu-gcc");
        assert_eq!(value("CC_aarch64_unknown_linux_gnu"), "aarch64-linux-gnu-gcc");
        let flags = value("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS");
        assert!(flags.starts_with("-Copt --remap-path-prefix="), "{flags}");
        assert!(flags.ends_with(" --remap-path-prefix=/somewhere/build=/build"), "{flags}");
    }
}
