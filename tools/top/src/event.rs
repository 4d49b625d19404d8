// SPDX-License-Identifier: GPL-2.0

//! The lines of a trace: `rust/helpers/retryfs_trace.h` has the format.

/// A device, by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dev {
    pub major: u32,
    pub minor: u32,
}

impl Dev {
    /// From "MAJOR:MINOR".
    pub fn parse(text: &str) -> Option<Dev> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Dev {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

/// Where a request begins, which is how trace points name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    pub dev: Dev,
    pub ino: u64,
    pub pos: u64,
}

/// Why a request is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Extend,
    Hole,
    Error,
    Memory,
}

/// What a trace point said of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Submit {
        len: u64,
        write: bool,
        is_async: bool,
        generation: u32,
    },
    /// The place is that of the bio, not of the request.
    Bio,
    Switch(Reason),
    Retry,
    Fallback,
    /// Bytes, or a negative errno.
    Complete(i64),
}

/// A line of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Event {
        /// Of the task in whose context it was.
        pid: u32,
        /// When, in microseconds.
        us: u64,
        place: Place,
        what: What,
    },
    /// So many events were overwritten before they were read.
    Lost(u64),
}

/// The value after a word.
fn value<'a>(words: &mut impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    match words.next() == Some(name) {
        true => words.next(),
        false => None,
    }
}

/// "SECONDS.MICROSECONDS", in microseconds.
fn microseconds(text: &str) -> Option<u64> {
    let (s, us) = text.split_once('.')?;
    match us.len() {
        6 => Some(s.parse::<u64>().ok()? * 1_000_000 + us.parse::<u64>().ok()?),
        _ => None,
    }
}

/// Reads a line of `trace_pipe`. None if it is another one.
pub fn parse(line: &str) -> Option<Line> {
    if let Some(lost) = line.strip_prefix("CPU:") {
        let (_, n) = lost.split_once("[LOST ")?;
        return Some(Line::Lost(n.split_once(' ')?.0.parse().ok()?));
    }
    // "NAME-PID [CPU] FLAGS SECONDS: EVENT: ...", and a name may hold anything: from behind.
    let (head, event) = line.rsplit_once(": retryfs_dio_")?;
    let (task, rest) = head.rsplit_once(" [")?;
    let pid = task.trim_end().rsplit_once('-')?.1.parse().ok()?;
    let us = microseconds(rest.rsplit_once(' ')?.1)?;

    let (name, rest) = event.split_once(": ")?;
    let mut words = rest.split_ascii_whitespace();
    let place = Place {
        dev: Dev::parse(value(&mut words, "dev")?)?,
        ino: value(&mut words, "ino")?.parse().ok()?,
        pos: value(&mut words, "pos")?.parse().ok()?,
    };
    let what = match name {
        "submit" => {
            let len = value(&mut words, "len")?.parse().ok()?;
            value(&mut words, "i_size")?;
            let write = words.next()? == "write";
            let is_async = words.next()? == "async";
            let generation = value(&mut words, "gen")?.parse().ok()?;
            What::Submit {
                len,
                write,
                is_async,
                generation,
            }
        }
        "bio" => What::Bio,
        "switch" => What::Switch(match value(&mut words, "reason")? {
            "extend" => Reason::Extend,
            "hole" => Reason::Hole,
            "error" => Reason::Error,
            "memory" => Reason::Memory,
            _ => return None,
        }),
        "retry" => What::Retry,
        "fallback" => What::Fallback,
        "complete" => What::Complete(value(&mut words, "result")?.parse().ok()?),
        _ => return None,
    };
    Some(Line::Event {
        pid,
        us,
        place,
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(line: &str) -> Option<(u32, u64, Place, What)> {
        match parse(line)? {
            Line::Event {
                pid,
                us,
                place,
                what,
            } => Some((pid, us, place, what)),
            Line::Lost(_) => None,
        }
    }

    #[test]
    fn events() {
        let place = Place {
            dev: Dev {
                major: 253,
                minor: 7,
            },
            ino: 12,
            pos: 4096,
        };
        let submit = "             fio-123     [001] .....    10.000042: retryfs_dio_submit: dev 253:7 ino 12 \
                      pos 4096 len 512 i_size 8192 write async gen 4000000000";
        let what = What::Submit {
            len: 512,
            write: true,
            is_async: true,
            generation: 4_000_000_000,
        };
        assert_eq!(event(submit), Some((123, 10_000_042, place, what)));
        for (text, what) in [
            ("bio: dev 253:7 ino 12 pos 4096 len 512 sector 9", What::Bio),
            (
                "switch: dev 253:7 ino 12 pos 4096 reason hole",
                What::Switch(Reason::Hole),
            ),
            ("retry: dev 253:7 ino 12 pos 4096 len 512", What::Retry),
            (
                "fallback: dev 253:7 ino 12 pos 4096 len 512",
                What::Fallback,
            ),
            (
                "complete: dev 253:7 ino 12 pos 4096 result -5",
                What::Complete(-5),
            ),
        ] {
            let line =
                format!("          <idle>-0       [000] d.h2.     0.000001: retryfs_dio_{text}");
            assert_eq!(event(&line), Some((0, 1, place, what)));
        }
    }

    #[test]
    fn names_of_tasks_that_look_like_something_else() {
        let rest = "[000] ..... 1.000002: retryfs_dio_retry: dev 1:2 ino 3 pos 4 len 5";
        for name in ["a b", "x-1 [000]", "1.5: dio: a", "-", "CPU [LOST 1"] {
            let line = format!("  {name}-77 {rest}");
            let (pid, us, place, what) = event(&line).unwrap();
            assert_eq!(
                (pid, us, place.ino, what),
                (77, 1_000_002, 3, What::Retry),
                "{name}"
            );
        }
    }

    #[test]
    fn other_lines() {
        assert_eq!(parse("CPU:1 [LOST 123 EVENTS]"), Some(Line::Lost(123)));
        for line in [
            "",
            "# tracer: nop",
            "x-1 [000] ..... 1.000002: sched_switch: prev_comm=x",
            "x-1 [000] ..... 1.000002: retryfs_dio_other: dev 1:2 ino 3 pos 4",
            "x-1 [000] ..... 1.000002: retryfs_dio_complete: dev 1:2 ino 3 pos 4 result",
            "x-1 [000] ..... 1.02: retryfs_dio_retry: dev 1:2 ino 3 pos 4 len 5",
            "x [000] ..... 1.000002: retryfs_dio_retry: dev 1:2 ino 3 pos 4 len 5",
            "CPU:1 [LOST",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
