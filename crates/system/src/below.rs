//! Resolves file names given in a document or as a target, confined to one folder.

use std::fmt;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Reason why a name does not lead to a file below the folder.
#[derive(Debug)]
pub enum PathFault {
    /// The name is empty.
    Empty,
    /// The name is absolute.
    Absolute,
    /// The name contains `..`.
    Upwards,
    /// A symbolic link leads out of the folder.
    Link,
    /// The system cannot resolve the name.
    System(io::Error),
}

impl PathFault {
    /// Returns whether the name itself is invalid, regardless of the existing files.
    pub fn is_name(&self) -> bool {
        matches!(self, PathFault::Empty | PathFault::Absolute | PathFault::Upwards)
    }
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathFault::Empty => f.write_str("no file is named"),
            PathFault::Absolute => f.write_str("an absolute path"),
            PathFault::Upwards => f.write_str("`..` leads out of the directory of the configuration"),
            PathFault::Link => f.write_str("a symbolic link leads out of the directory of the configuration"),
            PathFault::System(error) if error.kind() == io::ErrorKind::NotFound => f.write_str("no such file"),
            PathFault::System(error) => error.fmt(f),
        }
    }
}

/// Normalizes a relative name: removes `.` and empty components, so that equal files have equal names.
///
/// # Errors
/// Returns the reason if the name is empty, absolute or contains `..`.
pub fn normal(name: &str) -> Result<String, PathFault> {
    let mut parts: Vec<&str> = Vec::new();
    for part in Path::new(name).components() {
        match part {
            Component::ParentDir => return Err(PathFault::Upwards),
            Component::RootDir | Component::Prefix(_) => return Err(PathFault::Absolute),
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::CurDir => {}
        }
    }
    if parts.is_empty() { Err(PathFault::Empty) } else { Ok(parts.join("/")) }
}

/// Resolves a relative name to a file below `folder`, following symbolic links.
///
/// # Errors
/// Returns the reason if the name leads out of the folder or to no file.
pub fn below(folder: &Path, name: &str) -> Result<PathBuf, PathFault> {
    let name = normal(name)?;
    // The folder of a configuration file named without a directory is empty.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folder = folder.canonicalize().map_err(PathFault::System)?;
    let found = folder.join(name).canonicalize().map_err(PathFault::System)?;
    if found.starts_with(&folder) { Ok(found) } else { Err(PathFault::Link) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn equal_files_have_equal_names() {
        for (name, expected) in [("a.wav", "a.wav"), ("./a.wav", "a.wav"), ("b//./a.wav", "b/a.wav"), ("./b/c/", "b/c")]
        {
            assert_eq!(normal(name).unwrap(), expected, "{name}");
        }
        assert!(normal("./..").is_err() && normal("./.").is_err() && normal("/a.wav").is_err());
    }

    #[test]
    fn a_name_stays_below_its_folder() {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("inner");
        std::fs::create_dir_all(folder.join("sounds")).unwrap();
        for name in ["inner/a.wav", "inner/sounds/b.wav", "secret"] {
            std::fs::write(outside.path().join(name), "x").unwrap();
        }
        symlink("sounds/b.wav", folder.join("link.wav")).unwrap();
        symlink("../secret", folder.join("out.wav")).unwrap();
        symlink(outside.path(), folder.join("up")).unwrap();
        let found = |name: &str| {
            let real = folder.canonicalize().unwrap();
            below(&folder, name).map(|path| path.strip_prefix(&real).unwrap().display().to_string())
        };
        for (name, expected) in [
            ("a.wav", "a.wav"),
            ("./a.wav", "a.wav"),
            ("sounds/b.wav", "sounds/b.wav"),
            ("link.wav", "sounds/b.wav"),
            ("up/inner/a.wav", "a.wav"),
        ] {
            assert_eq!(found(name).unwrap(), expected, "{name}");
        }
        for (name, expected) in [
            ("", "no file is named"),
            (".", "no file is named"),
            ("/etc/passwd", "an absolute path"),
            ("../secret", "`..` leads out of the directory of the configuration"),
            ("sounds/../a.wav", "`..` leads out of the directory of the configuration"),
            ("out.wav", "a symbolic link leads out of the directory of the configuration"),
            ("up/secret", "a symbolic link leads out of the directory of the configuration"),
            ("none.wav", "no such file"),
        ] {
            assert_eq!(found(name).unwrap_err().to_string(), expected, "{name}");
        }
        assert!(matches!(found("a\0.wav"), Err(PathFault::System(_))));
    }
}
