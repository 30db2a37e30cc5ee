//! What a process has used, from `/proc` (Linux).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Ticks of `utime` and `stime` in a second; the same on every Linux (`USER_HZ`).
const TICKS: u64 = 100;

/// A process to look at.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    folder: PathBuf,
}

/// What it has used since it began, and what it has now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Nanoseconds on a CPU, all threads that live.
    pub(crate) cpu_ns: u64,
    /// The part of it in the program, as far as the kernel's clock tick tells.
    pub(crate) user_ns: u64,
    /// The part of it in the kernel.
    pub(crate) system_ns: u64,
    /// It went to sleep.
    pub(crate) switches_voluntary: u64,
    /// Another thread took its place.
    pub(crate) switches_involuntary: u64,
    /// Memory in use, in bytes.
    pub(crate) resident: u64,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Self {
        let folder = Path::new("/proc").join(pid.to_string());
        Self { folder }
    }

    /// This process.
    pub(crate) fn own() -> Self {
        Self::new(std::process::id())
    }

    /// # Errors
    /// If there is no such process, or it may not be looked at.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        let (user, system) = stat_ticks(&self.read("stat")?).ok_or(io::ErrorKind::InvalidData)?;
        let mut usage = Usage {
            resident: self.resident()?,
            ..Usage::default()
        };
        for task in fs::read_dir(self.folder.join("task"))? {
            let folder = task?.path();
            // A thread may end between the listing and the look.
            let (Ok(schedstat), Ok(status)) = (
                fs::read_to_string(folder.join("schedstat")),
                fs::read_to_string(folder.join("status")),
            ) else {
                continue;
            };
            usage.cpu_ns += first_number(&schedstat);
            usage.switches_voluntary += field(&status, "voluntary_ctxt_switches:");
            usage.switches_involuntary += field(&status, "nonvoluntary_ctxt_switches:");
        }
        usage.user_ns = user * (crate::units::SECOND / TICKS);
        usage.system_ns = system * (crate::units::SECOND / TICKS);
        if usage.cpu_ns == 0 {
            // A kernel without CONFIG_SCHED_INFO.
            usage.cpu_ns = usage.user_ns + usage.system_ns;
        }
        Ok(usage)
    }

    /// `status` counts with a slack of many pages; `smaps_rollup` adds up, where it may be read.
    fn resident(&self) -> io::Result<u64> {
        let kib = match self.read("smaps_rollup") {
            Ok(text) => field(&text, "Rss:"),
            Err(_) => field(&self.read("status")?, "VmRSS:"),
        };
        Ok(kib * 1024)
    }

    fn read(&self, name: &str) -> io::Result<String> {
        fs::read_to_string(self.folder.join(name))
    }
}

impl Usage {
    /// What was used since `earlier`; the memory is as it is now.
    pub(crate) const fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            user_ns: self.user_ns.saturating_sub(earlier.user_ns),
            system_ns: self.system_ns.saturating_sub(earlier.system_ns),
            switches_voluntary: self
                .switches_voluntary
                .saturating_sub(earlier.switches_voluntary),
            switches_involuntary: self
                .switches_involuntary
                .saturating_sub(earlier.switches_involuntary),
            resident: self.resident,
        }
    }
}

/// `utime` and `stime`: the 14th and 15th field. The second is a name in brackets, with any bytes.
fn stat_ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn first_number(text: &str) -> u64 {
    let first = text.split_whitespace().next();
    first.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> u64 {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(name))
        .map_or(0, first_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_hides_no_field() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 110 220 13 14 15";
        assert_eq!(stat_ticks(stat), Some((110, 220)));
        assert_eq!(stat_ticks("7 (a"), None);
    }

    #[test]
    fn fields_are_whole_names() {
        let status =
            "nonvoluntary_ctxt_switches:\t5\nvoluntary_ctxt_switches:\t3\nRss:     12 kB\n";
        assert_eq!(field(status, "voluntary_ctxt_switches:"), 3);
        assert_eq!(field(status, "Rss:"), 12);
        assert_eq!(field(status, "Pss:"), 0);
    }

    #[test]
    fn this_process_uses_something() {
        let before = Process::own().usage().unwrap();
        let end = std::time::Instant::now() + std::time::Duration::from_millis(50);
        while std::time::Instant::now() < end {}
        let used = Process::own().usage().unwrap().since(&before);
        assert!(used.cpu_ns > 10_000_000, "{used:?}");
        assert!(used.resident > 100_000);
        assert!(Process::new(u32::MAX).usage().is_err());
    }
}
