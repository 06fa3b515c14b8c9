//! Finds the process that listens on a TCP port of this machine, by `/proc`. Other systems provide no such information.

use std::fs;
use std::path::Path;

/// Value of a listening socket's state in `/proc/net/tcp` (`include/net/tcp_states.h`).
const LISTEN: &str = "0A";

/// Process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// Process id.
    pub pid: u32,
    /// Process name.
    pub name: String,
    /// Whether a signal or a debugger has stopped the process.
    pub is_stopped: bool,
}

impl PortHolder {
    /// Returns the process that listens on a TCP port; `None` if there is none, or if this user may not inspect it.
    pub fn of_port(port: u16) -> Option<PortHolder> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
        let sockets: Vec<String> =
            tables.iter().flat_map(|table| listening(table, port)).map(|inode| format!("socket:[{inode}]")).collect();
        if sockets.is_empty() {
            return None;
        }
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let pid = pids.find(|pid| has_one(&Path::new("/proc").join(pid.to_string()).join("fd"), &sockets))?;
        let (name, state) = name_and_state(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        Some(PortHolder { pid, name, is_stopped: matches!(state, 'T' | 't') })
    }
}

/// Returns the inodes of the sockets in a `/proc/net/tcp` table that listen on a port.
fn listening(table: &str, port: u16) -> Vec<String> {
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let (_, of) = local.rsplit_once(':')?;
        (*state == LISTEN && u16::from_str_radix(of, 16) == Ok(port)).then(|| (*inode).to_owned())
    };
    table.lines().skip(1).filter_map(inode).collect()
}

/// Returns whether a process has one of these sockets open; `files` is its `/proc/PID/fd`.
fn has_one(files: &Path, sockets: &[String]) -> bool {
    let open = fs::read_dir(files).into_iter().flatten().flatten();
    open.filter_map(|file| fs::read_link(file.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target)))
}

/// Parses the name and the state letter in a line of `/proc/PID/stat`. The name is in parentheses and may contain
/// parentheses.
fn name_and_state(line: &str) -> Option<(String, char)> {
    let (begin, rest) = line.rsplit_once(") ")?;
    let (_, name) = begin.split_once('(')?;
    Some((name.to_owned(), rest.chars().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0\n\
                     1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0\n\
                     2: broken\n";
        assert_eq!(listening(table, 8080), ["4711"]);
        assert!(listening(table, 8081).is_empty() && listening("", 8080).is_empty());
        assert_eq!(name_and_state("42 (a (b) c) T 1 42"), Some(("a (b) c".to_owned(), 'T')));
        assert_eq!(name_and_state("42"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_of_a_port_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let holder = PortHolder::of_port(port).unwrap();
        assert_eq!((holder.pid, holder.is_stopped), (std::process::id(), false));
        drop(listener);
        assert_eq!(PortHolder::of_port(port), None);
    }
}
