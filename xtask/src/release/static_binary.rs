//! Fully static binary for x86_64: linked with musl instead of glibc, so that it runs in an empty root and on every
//! distribution.
//!
//! The standard library is built for musl, from Debian's sources for the compiler.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::Release;
use super::compiler::{COMPILER, Platform};
use crate::commands::output;
use crate::interop::install;

/// Platform of the static binary.
pub(super) const PLATFORM: Platform =
    Platform { machine: "x86_64", target: "x86_64-unknown-linux-musl", c_compiler: "musl-gcc" };
/// Path of the static unwinder: the one of glibc does not link with musl.
const UNWINDER: &str = "/usr/lib/llvm-14/lib/libunwind.a";
/// Programs or files, each with its Debian package.
const PACKAGES: [(&str, &str); 4] = [
    (COMPILER, "rustc-web"),
    ("/usr/src/rustc-1.96.0/library/Cargo.toml", "rust-web-src"),
    (PLATFORM.c_compiler, "musl-tools"),
    (UNWINDER, "libunwind-14-dev"),
];
/// Functions of glibc that check their arguments, which Debian's unwinder needs and musl lacks.
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

/// Builds the static binary below `folder`, and returns its path.
pub(super) fn build(release: &Release, folder: &Path) -> anyhow::Result<PathBuf> {
    install::packages(&PACKAGES)?;
    let folder = std::path::absolute(folder)?;
    let libraries = folder.join("libraries");
    std::fs::create_dir_all(&libraries)?;
    std::fs::copy(UNWINDER, libraries.join("libunwind.a"))?;
    let (source, object) = (libraries.join("checked.c"), libraries.join("checked.o"));
    std::fs::write(&source, CHECKED_FUNCTIONS)?;
    output(Command::new(PLATFORM.c_compiler).args(["-O2", "-c"]).arg(&source).arg("-o").arg(&object))?;
    let mut cargo = PLATFORM.cargo(&folder, &linker_flags(&libraries, &object))?;
    // The library is built from source, which stable compilers permit only with this variable.
    cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_unwind");
    let binary = PLATFORM.build(release, &folder, cargo)?;
    let shown = output(Command::new(&binary).arg("--version")).context("the static binary does not run")?;
    print!("{shown}");
    Ok(binary)
}

/// Returns the compiler flags for a static binary at a fixed address.
fn linker_flags(libraries: &Path, object: &Path) -> Vec<String> {
    vec![
        "-Clink-self-contained=no".to_owned(),
        "-Ctarget-feature=+crt-static".to_owned(),
        "-Crelocation-model=static".to_owned(),
        format!("-Lnative={}", libraries.display()),
        "-Clink-arg=-static".to_owned(),
        "-Clink-arg=-no-pie".to_owned(),
        format!("-Clink-arg={}", object.display()),
        // This flag is last, because the unwinder needs the library.
        "-Clink-arg=-lgcc".to_owned(),
    ]
}
