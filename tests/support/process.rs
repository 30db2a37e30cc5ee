//! What Linux tells of a process in `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// A running process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    fn read(self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0)).unwrap()
    }

    /// The numbers of its open descriptors.
    pub(crate) fn descriptors(self) -> Vec<u32> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap();
        let name =
            |entry: std::io::Result<fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let mut numbers: Vec<u32> = entries
            .filter_map(|entry| name(entry)?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Memory in use, in bytes.
    pub(crate) fn resident(self) -> usize {
        let status = self.read("status");
        let kib = field(&status, "VmRSS:").trim_end_matches("kB").trim();
        kib.parse::<usize>().unwrap() * 1024
    }

    /// The most memory that it ever had, in bytes.
    pub(crate) fn peak(self) -> usize {
        let status = self.read("status");
        let kib = field(&status, "VmHWM:").trim_end_matches("kB").trim();
        kib.parse::<usize>().unwrap() * 1024
    }

    /// CPU time that it has used.
    pub(crate) fn cpu_time(self) -> Duration {
        let stat = self.read("stat");
        // The second field is the name in brackets; user and system time are fields 14 and 15.
        let (_, after_name) = stat.rsplit_once(')').unwrap();
        let mut fields = after_name.split_ascii_whitespace().skip(11);
        let ticks: u64 = fields
            .by_ref()
            .take(2)
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum();
        // USER_HZ is 100 on every architecture of Linux that runs this.
        Duration::from_millis(ticks * 10)
    }

    /// Its state: `T` while it is stopped.
    pub(crate) fn state(self) -> char {
        field(&self.read("status"), "State:")
            .chars()
            .next()
            .unwrap()
    }

    /// The words of a line of its status, such as `Uid:`, for each of its threads.
    pub(crate) fn of_threads(self, name: &str) -> Vec<Vec<String>> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).unwrap();
        let of_task = |entry: std::io::Result<fs::DirEntry>| {
            let status = fs::read_to_string(entry.unwrap().path().join("status")).unwrap();
            let words = field(&status, name).split_ascii_whitespace();
            words.map(ToOwned::to_owned).collect()
        };
        tasks.map(of_task).collect()
    }

    /// The list of cores that each of its threads may run on, by the thread's name.
    pub(crate) fn cores(self) -> BTreeMap<String, String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).unwrap();
        let of_task = |entry: std::io::Result<fs::DirEntry>| {
            let status = fs::read_to_string(entry.unwrap().path().join("status")).unwrap();
            let cores = field(&status, "Cpus_allowed_list:").to_owned();
            (field(&status, "Name:").to_owned(), cores)
        };
        tasks.map(of_task).collect()
    }
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let mut lines = status.lines();
    lines
        .find_map(|line| line.strip_prefix(name))
        .unwrap()
        .trim()
}
