// SPDX-License-Identifier: GPL-2.0

//! The counters of a mount, as sysfs has them.

use std::fs;
use std::io;
use std::path::Path;

/// A counter of `/sys/fs/retryfs/DEVICE`. The numbers are places in [`NAMES`].
#[derive(Clone, Copy)]
pub enum Counter {
    RequestsRead,
    RequestsWrite,
    Async,
    AsyncSingle,
    SyncSingle,
    SyncExtend,
    SyncHole,
    SyncError,
    SyncMemory,
    Parked,
    Punted,
    Retries,
    RetriesQueued,
    BufferedFallback,
}

/// The names of all counters, as in Documentation/ABI/testing/sysfs-fs-retryfs, in its order.
pub const NAMES: [&str; 21] = [
    "requests_read",
    "requests_write",
    "async",
    "async_single",
    "sync_single",
    "sync_extend",
    "sync_hole",
    "sync_error",
    "sync_memory",
    "parked",
    "punted",
    "retries",
    "retries_queued",
    "buffered_fallback",
    "nowait_lock",
    "nowait_metadata",
    "nowait_blocks",
    "nowait_pages",
    "nowait_sync",
    "nowait_memory",
    "nowait_device",
];

/// Values of all counters: since the mount, or of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters([u64; NAMES.len()]);

impl Counters {
    /// Reads the directory of a mount. A counter that an older module lacks is zero.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut counters = Counters::default();
        // A mount that has gone is an error, and not one without counters.
        fs::metadata(dir)?;
        // Backwards: a part is read before the whole, so that it is never the greater one.
        for (name, value) in NAMES.iter().zip(&mut counters.0).rev() {
            match fs::read_to_string(dir.join(name)) {
                Ok(text) => {
                    *value = text
                        .trim()
                        .parse()
                        .map_err(|_| io::Error::other(format!("{name} is no number")))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(counters)
    }

    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        NAMES.iter().copied().zip(self.0)
    }

    /// Requests that failed with `EAGAIN`, by what they would have waited for.
    pub fn nowait(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.iter()
            .filter_map(|(name, n)| Some((name.strip_prefix("nowait_")?, n)))
    }

    /// What was counted since `before`. What counts less than before was mounted anew meanwhile, and
    /// began at zero.
    pub fn since(&self, before: &Counters) -> Counters {
        let is_new = self.0.iter().zip(before.0).any(|(now, then)| *now < then);
        match is_new {
            true => *self,
            false => Counters(std::array::from_fn(|i| self.0[i] - before.0[i])),
        }
    }

    /// Adds what another mount or interval has counted.
    pub fn add(&mut self, other: &Counters) {
        for (sum, n) in self.0.iter_mut().zip(other.0) {
            *sum += n;
        }
    }

    /// The requests of an interval whose bios had all ended before their submitter could leave, as
    /// near as counters tell: a request in flight at one of its ends is in one of the two numbers.
    pub fn at_once(&self) -> u64 {
        self.get(Counter::Async)
            .saturating_sub(self.get(Counter::Retries))
    }

    /// The synchronous requests, with those that came to nothing.
    pub fn sync(&self) -> u64 {
        let others = [
            Counter::Async,
            Counter::SyncExtend,
            Counter::SyncHole,
            Counter::SyncError,
            Counter::SyncMemory,
        ];
        let others: u64 = others.map(|counter| self.get(counter)).iter().sum();
        (self.get(Counter::RequestsRead) + self.get(Counter::RequestsWrite)).saturating_sub(others)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Counters of these values.
    pub fn counters(values: [u64; NAMES.len()]) -> Counters {
        Counters(values)
    }

    #[test]
    fn names_are_those_of_the_abi() {
        let abi = include_str!("../../../Documentation/ABI/testing/sysfs-fs-retryfs");
        let names: Vec<&str> = abi
            .lines()
            .filter_map(|line| line.strip_prefix("What:"))
            .map(|what| what.trim().rsplit('/').next().unwrap())
            .collect();
        assert_eq!(names, NAMES);
        assert_eq!(
            NAMES[Counter::BufferedFallback as usize],
            "buffered_fallback"
        );
    }

    #[test]
    fn a_directory_is_read() {
        let dir = std::env::temp_dir().join(format!("retryfs-top-counters-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("async"), "42\n").unwrap();
        fs::write(dir.join("nowait_device"), "7\n").unwrap();
        let counters = Counters::read(&dir).unwrap();
        assert_eq!(counters.get(Counter::Async), 42);
        assert_eq!(counters.nowait().last(), Some(("device", 7)));
        assert_eq!(counters.get(Counter::Retries), 0);
        fs::write(dir.join("async"), "many\n").unwrap();
        assert!(Counters::read(&dir).is_err());
        fs::remove_dir_all(&dir).unwrap();
        assert!(Counters::read(&dir).is_err());
    }

    #[test]
    fn differences() {
        let before = counters([
            5, 1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
        let now = counters([
            9, 2, 6, 0, 0, 1, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 2,
        ]);
        let delta = now.since(&before);
        assert_eq!(
            delta,
            counters([4, 1, 3, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2])
        );
        assert_eq!((delta.at_once(), delta.sync()), (1, 1));
        // Mounted anew: from zero.
        assert_eq!(before.since(&now), before);
    }
}
