//! What Linux tells of this process.

use core::time::Duration;
use std::fs;
use std::time::SystemTime;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};

/// Figures of the process. What cannot be had is none.
#[derive(Debug, Clone, Default)]
pub(super) struct Process {
    /// CPU time used, in user and kernel mode.
    pub(super) cpu: Option<Duration>,
    /// Memory in use, in bytes.
    pub(super) resident: Option<u64>,
    /// Address space, in bytes.
    pub(super) address_space: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) open_files_max: Option<u64>,
}

impl Process {
    pub(super) fn look() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        let kib = |name| field(name).map(|kib| kib.saturating_mul(1024));
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let cpu = usage.and_then(|usage| {
            let (user, kernel) = (usage.user_time(), usage.system_time());
            let us = |time: nix::sys::time::TimeVal| {
                u64::try_from(nix::sys::time::TimeValLike::num_microseconds(&time)).ok()
            };
            Some(Duration::from_micros(us(user)? + us(kernel)?))
        });
        let files = fs::read_dir("/proc/self/fd").ok();
        Self {
            cpu,
            resident: kib("VmRSS:"),
            address_space: kib("VmSize:"),
            threads: field("Threads:"),
            // One of them is the folder itself.
            open_files: files.map(|files| (files.count() as u64).saturating_sub(1)),
            open_files_max: getrlimit(Resource::RLIMIT_NOFILE)
                .ok()
                .map(|(soft, _)| soft),
        }
    }
}

/// Seconds since 1970, with what comes after the point.
pub(super) fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_everything() {
        let process = Process::look();
        assert!(process.cpu.is_some());
        assert!(process.resident.unwrap() > 100_000);
        assert!(process.address_space.unwrap() > process.resident.unwrap());
        assert!(process.threads.unwrap() >= 1);
        assert!(process.open_files.unwrap() >= 3);
        assert!(process.open_files_max.unwrap() >= process.open_files.unwrap());
    }
}
