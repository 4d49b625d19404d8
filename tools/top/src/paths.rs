// SPDX-License-Identifier: GPL-2.0

//! From inode numbers to paths, by file handles.
//!
//! A file that is gone from memory is read from the device, which may not answer: so somebody else
//! asks, and is not waited for longer than that is worth.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// A file: its number and its generation.
type Inode = (u64, u32);

/// A path, or why there is none.
type Answer = Result<PathBuf, String>;

/// How many times one asks for other files until an answer is forgotten.
const KEPT: u64 = 20;

/// What is known of a file.
struct Known {
    /// When it was asked for last.
    asked: u64,
    /// A question is under way.
    is_open: bool,
    path: Answer,
}

/// Asks for paths.
pub struct Paths {
    questions: Sender<(PathBuf, Inode)>,
    answers: Receiver<(PathBuf, Inode, Answer)>,
    known: HashMap<(PathBuf, Inode), Known>,
    /// How often one has asked.
    times: u64,
    /// Questions without an answer so far.
    open: usize,
}

impl Paths {
    pub fn new() -> Self {
        let (questions, asked) = mpsc::channel::<(PathBuf, Inode)>();
        let (answer, answers) = mpsc::channel();
        // It ends when nobody asks any more.
        thread::spawn(move || {
            for (mounted_on, inode) in asked {
                let path =
                    path_of(&mounted_on, inode).map_err(|error| match error.raw_os_error() {
                        Some(libc::ESTALE) => "(deleted)".into(),
                        _ => format!("({error})"),
                    });
                if answer.send((mounted_on, inode, path)).is_err() {
                    break;
                }
            }
        });
        Paths {
            questions,
            answers,
            known: HashMap::new(),
            times: 0,
            open: 0,
        }
    }

    /// Finds out the paths of these files, as far as that is done in time. They are asked for each
    /// time, as names change.
    pub fn ask(&mut self, files: &[(&Path, Inode)], limit: Duration) {
        let end = Instant::now() + limit;
        self.times += 1;
        self.known
            .retain(|_, known| known.is_open || known.asked + KEPT > self.times);
        for (mounted_on, inode) in files {
            let file = (mounted_on.to_path_buf(), *inode);
            let known = self.known.entry(file.clone()).or_insert(Known {
                asked: 0,
                is_open: false,
                path: Err("?".into()),
            });
            if known.asked < self.times && !known.is_open && self.questions.send(file).is_ok() {
                known.is_open = true;
                self.open += 1;
            }
            known.asked = self.times;
        }
        while self.open > 0 {
            let left = end.saturating_duration_since(Instant::now());
            let Ok((mounted_on, inode, path)) = self.answers.recv_timeout(left) else {
                break;
            };
            self.open -= 1;
            if let Some(known) = self.known.get_mut(&(mounted_on, inode)) {
                known.is_open = false;
                known.path = renew(&known.path, path);
            }
        }
    }

    /// The path of a file that was asked for not long ago; or in words why it is not known.
    pub fn get(&self, mounted_on: Option<&Path>, inode: Inode) -> String {
        let known = mounted_on.and_then(|on| self.known.get(&(on.to_path_buf(), inode)));
        match known.map(|known| &known.path) {
            Some(Ok(path)) => path.to_string_lossy().into_owned(),
            Some(Err(why)) => why.clone(),
            None => "?".into(),
        }
    }
}

/// What is known after another answer: a file that is gone had a name.
fn renew(old: &Answer, new: Answer) -> Answer {
    match (old, new) {
        (Ok(path), Err(why)) => Err(format!("{} {why}", path.to_string_lossy())),
        (Err(before), Err(why)) if before.ends_with(&why) => Err(before.clone()),
        (_, new) => new,
    }
}

/// A file handle of ext2, which retryfs has, too: `FILEID_INO32_GEN`.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    ino: u32,
    generation: u32,
}

const FILEID_INO32_GEN: i32 = 1;

/// The path of a file in the filesystem that is mounted there. Needs `CAP_DAC_READ_SEARCH`.
fn path_of(mounted_on: &Path, (ino, generation): Inode) -> io::Result<PathBuf> {
    let root = File::open(mounted_on)?;
    let mut handle = Handle {
        bytes: 8,
        kind: FILEID_INO32_GEN,
        ino: u32::try_from(ino).map_err(|_| io::ErrorKind::InvalidInput)?,
        generation,
    };
    // SAFETY: `Handle` begins as a struct file_handle does, and has as many bytes behind that as it says.
    let fd = unsafe {
        libc::open_by_handle_at(
            root.as_raw_fd(),
            (&raw mut handle).cast(),
            libc::O_PATH | libc::O_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: It is open, and nobody else's.
    let file = unsafe { File::from_raw_fd(fd) };
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    // What no directory leads to in memory has no name but its number.
    match path.starts_with(mounted_on) && path != mounted_on {
        true => Ok(path),
        false => Err(io::Error::other("no name in memory")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_laid_out_as_in_c() {
        assert_eq!(size_of::<Handle>(), 16);
        assert_eq!(std::mem::offset_of!(Handle, ino), 8);
    }

    #[test]
    fn the_last_name_is_kept() {
        let gone = || Err("(deleted)".to_string());
        let first = renew(&Err("?".into()), Ok("/m/a".into()));
        assert_eq!(first, Ok("/m/a".into()));
        let second = renew(&first, gone());
        assert_eq!(second, Err("/m/a (deleted)".into()));
        assert_eq!(renew(&second, gone()), second);
        assert_eq!(renew(&Err("?".into()), gone()), gone());
    }

    #[test]
    fn what_is_not_found_is_said() {
        let mut paths = Paths::new();
        let none = Path::new("/no/such/mount");
        paths.ask(&[(none, (12, 1))], Duration::from_secs(60));
        assert!(paths.get(Some(none), (12, 1)).contains("No such file"));
        assert_eq!(paths.get(None, (12, 1)), "?");
        assert_eq!(paths.get(Some(none), (13, 1)), "?");
        // It is kept for a while.
        for times in 1..=KEPT {
            assert_eq!(
                paths.get(Some(none), (12, 1)) == "?",
                times > KEPT,
                "{times}"
            );
            paths.ask(&[], Duration::ZERO);
        }
        assert_eq!(paths.get(Some(none), (12, 1)), "?");
    }
}
