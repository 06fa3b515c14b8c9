//! Installed programs: finds them on the search path, and checks that a file may be executed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, eaccess};

/// Returns the path of a program in the absolute folders of `PATH`; `None` if it is not installed.
pub fn installed(name: &str) -> Option<PathBuf> {
    installed_in(name, &std::env::var_os("PATH")?)
}

/// Returns the path of a program in the absolute folders of a search path; `None` if it is in none of them. Relative
/// folders are skipped, so that no program of the working directory is used.
pub(crate) fn installed_in(name: &str, folders: &OsStr) -> Option<PathBuf> {
    let mut folders = std::env::split_paths(folders).filter(|folder| folder.is_absolute());
    folders.find_map(|folder| Some(folder.join(name)).filter(|path| is_executable(path)))
}

/// Returns whether this process, with its user and groups, may execute a file.
pub fn is_executable(path: &Path) -> bool {
    path.is_file() && eaccess(path, AccessFlags::X_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_installed_program_is_not_taken_from_a_relative_folder() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("speaks");
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let up: PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
        let relative = up.join(folder.path().strip_prefix("/").unwrap());
        assert!(is_executable(&relative.join("speaks")));
        let installed = |folders: &[&Path]| installed_in("speaks", &std::env::join_paths(folders).unwrap());
        assert_eq!(installed(&[Path::new(""), Path::new("."), &relative]), None);
        assert_eq!(installed(&[&relative, folder.path()]), Some(program));
    }
}
