//! The fully static binary for x86_64: musl instead of glibc, so that it runs in an empty root and on every distribution.
//!
//! Debian's compiler for web browsers (`rustc-web`) comes with the sources of the standard library, which are built for musl here:
//! rustup's toolchain of this project has the library for glibc only.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::Release;
use crate::commands::output;
use crate::interop::edge::{PROFILE, cargo};
use crate::interop::install;

/// Machine in the names of artefacts.
pub(super) const MACHINE: &str = "x86_64";
/// Rust's name of the platform.
pub(super) const TARGET: &str = "x86_64-unknown-linux-musl";
/// Debian's compiler.
const COMPILER: &str = "/usr/bin/rustc";
/// Static unwinder: glibc's does not link with musl.
const UNWINDER: &str = "/usr/lib/llvm-14/lib/libunwind.a";
/// A program or file, and the Debian package that has it.
const PACKAGES: [(&str, &str); 4] = [
    (COMPILER, "rustc-web"),
    ("/usr/src/rustc-1.96.0/library/Cargo.toml", "rust-web-src"),
    ("musl-gcc", "musl-tools"),
    (UNWINDER, "libunwind-14-dev"),
];
/// Debian builds its unwinder with glibc's checked functions, which musl has not.
const CHECKED_FUNCTIONS: &str = r#"
#include <stdarg.h>
#include <stdio.h>
int __fprintf_chk(FILE *to, int flag, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int written = vfprintf(to, format, list);
    va_end(list);
    return written;
}
int __vfprintf_chk(FILE *to, int flag, const char *format, va_list list) { return vfprintf(to, format, list); }
int __snprintf_chk(char *to, size_t size, int flag, size_t real, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int written = vsnprintf(to, size, format, list);
    va_end(list);
    return written;
}
"#;

/// Builds the binary below `folder`, and returns its path.
pub(super) fn build(release: &Release, folder: &Path) -> anyhow::Result<PathBuf> {
    install::packages(&PACKAGES)?;
    println!("building trunkgate {} for {TARGET}", release.version);
    let folder = std::path::absolute(folder)?;
    let libraries = folder.join("libraries");
    std::fs::create_dir_all(&libraries)?;
    std::fs::copy(UNWINDER, libraries.join("libunwind.a"))?;
    let (source, object) = (libraries.join("checked.c"), libraries.join("checked.o"));
    std::fs::write(&source, CHECKED_FUNCTIONS)?;
    output(Command::new("musl-gcc").args(["-O2", "-c"]).arg(&source).arg("-o").arg(&object))?;
    let status = cargo()
        .args([
            "build",
            "-Zbuild-std=std,panic_unwind",
            "--locked",
            "--quiet",
            "--profile",
            PROFILE,
            "--target",
            TARGET,
        ])
        .args(["--package", "trunkgate", "--bin", "trunkgate"])
        .env("CARGO_TARGET_DIR", &folder)
        .env("RUSTC", COMPILER)
        // The library is built from source, which stable compilers take only so.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_PROFILE_DIST_STRIP", "symbols")
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER", "musl-gcc")
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS", compiler_flags(&folder, &libraries, &object)?)
        .env("CC_x86_64_unknown_linux_musl", "musl-gcc")
        .env("CFLAGS_x86_64_unknown_linux_musl", prefix_flags("-ffile-prefix-map=", &folder)?.join(" "))
        .env("SOURCE_DATE_EPOCH", release.seconds.to_string())
        .env("TRUNKGATE_COMMIT", &release.commit)
        .env("TRUNKGATE_PROFILE", PROFILE)
        .env_remove("RUSTFLAGS")
        .status()?;
    if !status.success() {
        bail!("the static binary does not build");
    }
    let binary = folder.join(TARGET).join(PROFILE).join("trunkgate");
    let shown = output(Command::new(&binary).arg("--version")).context("the static binary does not run")?;
    print!("{shown}");
    Ok(binary)
}

/// Returns the compiler's flags: a static binary at a fixed address, without a path of this machine.
fn compiler_flags(folder: &Path, libraries: &Path, object: &Path) -> anyhow::Result<String> {
    let mut flags = vec![
        "-Clink-self-contained=no".to_owned(),
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Crelocation-model=static".to_owned(),
        format!("-Lnative={}", libraries.display()),
        "-Clink-arg=-static".to_owned(),
        "-Clink-arg=-no-pie".to_owned(),
        format!("-Clink-arg={}", object.display()),
        // Last: the unwinder needs it.
        "-Clink-arg=-lgcc".to_owned(),
    ];
    flags.extend(prefix_flags("--remap-path-prefix=", folder)?);
    Ok(flags.join(" "))
}

/// Returns flags that replace the folders of this machine in what is compiled.
fn prefix_flags(flag: &str, folder: &Path) -> anyhow::Result<Vec<String>> {
    let home = std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))?;
    let checkout = std::env::current_dir()?;
    // The last one that fits counts, and the target's folder lies in the checkout.
    Ok([(home.as_str().as_ref(), "/cargo"), (checkout.as_path(), "/trunkgate"), (folder, "/build")]
        .map(|(from, to): (&Path, &str)| format!("{flag}{}={to}", from.display()))
        .to_vec())
}
