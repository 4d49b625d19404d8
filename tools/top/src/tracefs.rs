// SPDX-License-Identifier: GPL-2.0

//! A trace of one's own: an instance of tracefs, which disturbs no other trace, and is removed at the end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const ROOTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
const PREFIX: &str = "retryfs-top-";
/// The size of the buffer of each processor, in KiB: for 20 ms of more events than a processor makes.
const BUFFER_KIB: u32 = 2048;

/// How long to read at most before somebody looks at the clock and at the keys again.
const READ_LIMIT: Duration = Duration::from_millis(50);

/// An instance, which lives as long as this.
pub struct Instance {
    dir: PathBuf,
    pipe: Option<File>,
    /// What was read of a line that has not come to its end.
    rest: Vec<u8>,
}

fn context(what: &Path, error: io::Error) -> String {
    format!("{}: {error}", what.display())
}

impl Instance {
    /// Makes an instance, and removes those of processes that were killed. In words why that fails.
    pub fn new() -> Result<Self, String> {
        let root = ROOTS.iter().map(Path::new);
        let Some(instances) = root.map(|root| root.join("instances")).find(|d| d.is_dir()) else {
            let root = Path::new(ROOTS[0]);
            return Err(match fs::read_dir(root) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    context(root, error)
                }
                _ => "no tracefs: mount -t tracefs tracefs /sys/kernel/tracing".into(),
            });
        };
        remove_stale(&instances);
        let dir = instances.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&dir).map_err(|error| context(&dir, error))?;
        let mut instance = Instance {
            dir,
            pipe: None,
            rest: Vec::new(),
        };
        instance.write("trace_clock", "mono")?;
        instance.write("buffer_size_kb", &BUFFER_KIB.to_string())?;
        let pipe = instance.dir.join("trace_pipe");
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&pipe);
        instance.pipe = Some(opened.map_err(|error| context(&pipe, error))?);
        Ok(instance)
    }

    fn write(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.dir.join(file);
        fs::write(&path, text).map_err(|error| context(&path, error))
    }

    /// Turns the trace points on, if they are not: the module may have been loaded a moment ago.
    pub fn enable(&self) -> Result<(), String> {
        let enable = "events/retryfs/enable";
        match fs::read_to_string(self.dir.join(enable)) {
            Ok(is) if is.trim() == "1" => Ok(()),
            Ok(_) => self.write(enable, "1"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err("the module is not loaded, or has no trace points".into())
            }
            Err(error) => Err(context(&self.dir.join(enable), error)),
        }
    }

    /// Passes on the lines that are there. Does not wait, and ends after a while even if there are
    /// more and more of them. Returns whether those were all.
    pub fn read(&mut self, mut line: impl FnMut(&str)) -> io::Result<bool> {
        let begin = Instant::now();
        let Some(pipe) = &mut self.pipe else {
            return Ok(true);
        };
        let mut buffer = [0; 1 << 16];
        while begin.elapsed() < READ_LIMIT {
            let n = match pipe.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            split(&mut self.rest, &buffer[..n], &mut line);
        }
        Ok(false)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.write("events/enable", "0");
        // An instance that is in use cannot be removed.
        self.pipe = None;
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Passes on the lines of `rest` and `new`; what does not end with a newline is kept in `rest`.
fn split(rest: &mut Vec<u8>, new: &[u8], line: &mut impl FnMut(&str)) {
    rest.extend_from_slice(new);
    let Some(end) = rest.iter().rposition(|b| *b == b'\n') else {
        return;
    };
    for text in rest[..end].split(|b| *b == b'\n') {
        line(&String::from_utf8_lossy(text));
    }
    rest.drain(..=end);
}

/// Removes the instances of processes that are no more.
fn remove_stale(instances: &Path) {
    let Ok(entries) = fs::read_dir(instances) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let pid = pid.and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_in_pieces() {
        let (mut rest, mut lines) = (Vec::new(), Vec::new());
        for piece in ["one\ntw", "o", "\n", "three\nfour\nfi"] {
            split(&mut rest, piece.as_bytes(), &mut |line| {
                lines.push(line.to_string())
            });
        }
        assert_eq!(lines, ["one", "two", "three", "four"]);
        assert_eq!(rest, b"fi");
    }

    #[test]
    fn stale_instances_go_and_no_others() {
        let dir = std::env::temp_dir().join(format!("retryfs-top-stale-{}", std::process::id()));
        let mine = format!("{PREFIX}{}", std::process::id());
        for name in [&mine[..], "retryfs-top-4194305", "retryfs-top-x", "other"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        remove_stale(&dir);
        let mut left: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort();
        let mut want: Vec<std::ffi::OsString> =
            vec!["other".into(), mine.into(), "retryfs-top-x".into()];
        want.sort();
        assert_eq!(left, want);
        fs::remove_dir_all(&dir).unwrap();
    }
}
