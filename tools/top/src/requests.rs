// SPDX-License-Identifier: GPL-2.0

//! From the events of a trace to requests: how long they took, which way they went, and what is in
//! flight.

use crate::event::{Dev, Line, Place, Reason, What};
use crate::histogram::Histogram;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// How many of the slowest requests of an interval are kept for each device.
pub const SLOWEST: usize = 10;

/// The way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is synchronous.
    Sync,
    /// It is asynchronous, and has no retry: its bios had ended when it was issued, or it is in flight.
    AtOnce,
    /// It was completed by a retry.
    Retried,
    /// Its submitter waited for it.
    Waited(Reason),
}

impl Way {
    pub const ALL: [Way; 7] = [
        Way::Sync,
        Way::AtOnce,
        Way::Retried,
        Way::Waited(Reason::Extend),
        Way::Waited(Reason::Hole),
        Way::Waited(Reason::Error),
        Way::Waited(Reason::Memory),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Way::Sync => "sync",
            Way::AtOnce => "at_once",
            Way::Retried => "retried",
            Way::Waited(Reason::Extend) => "waited_extend",
            Way::Waited(Reason::Hole) => "waited_hole",
            Way::Waited(Reason::Error) => "waited_error",
            Way::Waited(Reason::Memory) => "waited_memory",
        }
    }

    fn index(self) -> usize {
        Way::ALL.iter().position(|way| *way == self).unwrap_or(0)
    }
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub place: Place,
    pub generation: u32,
    pub len: u64,
    pub write: bool,
    pub way: Way,
    pub bios: u64,
    /// How long it took, or has taken so far, in microseconds.
    pub us: u64,
    /// Bytes, or a negative errno; none yet of what is in flight.
    pub result: Option<i64>,
}

/// The requests of one kind that were completed in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub bytes: u64,
    pub errors: u64,
    /// Each request counts once here.
    pub latency: Histogram,
}

/// What an interval had of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// Reads, and writes.
    pub done: [Done; 2],
    /// Completed requests by [`Way::ALL`].
    pub ways: [u64; Way::ALL.len()],
    /// Bios that were issued.
    pub bios: u64,
    /// Writes of which a part went through the page cache.
    pub fallbacks: u64,
    /// At its end.
    pub requests_in_flight: u64,
    pub bios_in_flight: u64,
    /// Completed, or in flight at its end; the slowest one first.
    pub slowest: Vec<Request>,
}

impl Traced {
    fn slow(&mut self, request: Request) {
        let at = self.slowest.partition_point(|other| other.us >= request.us);
        if at < SLOWEST {
            self.slowest.truncate(SLOWEST - 1);
            self.slowest.insert(at, request);
        }
    }

    pub fn way(&self, way: Way) -> u64 {
        self.ways[way.index()]
    }

    /// Adds an interval that follows.
    pub fn add(&mut self, next: &Traced) {
        for (sum, done) in self.done.iter_mut().zip(&next.done) {
            sum.bytes += done.bytes;
            sum.errors += done.errors;
            sum.latency.merge(&done.latency);
        }
        for (sum, n) in self.ways.iter_mut().zip(next.ways) {
            *sum += n;
        }
        self.bios += next.bios;
        self.fallbacks += next.fallbacks;
        self.requests_in_flight = next.requests_in_flight;
        self.bios_in_flight = next.bios_in_flight;
        // What was in flight before is done, or in the next one again.
        self.slowest.retain(|request| request.result.is_some());
        for request in &next.slowest {
            self.slow(*request);
        }
    }
}

/// A request in flight.
struct Pending {
    /// When it was submitted.
    us: u64,
    request: Request,
    is_async: bool,
    /// The task that has submitted it.
    pid: u32,
}

/// All requests that were seen to be submitted.
#[derive(Default)]
pub struct Requests {
    next: u64,
    in_flight: BTreeMap<u64, Pending>,
    /// Those at a place, in the order in which they came.
    places: HashMap<Place, VecDeque<u64>>,
    /// The one that a task has submitted last.
    submitters: HashMap<u32, u64>,
    devices: BTreeMap<Dev, Traced>,
    /// When the last event was.
    now: u64,
    /// Events that were lost in this interval.
    lost: u64,
}

impl Requests {
    /// Takes a line of the trace.
    pub fn line(&mut self, line: Line) {
        match line {
            // Some of those in flight may have been completed: it cannot be known which.
            Line::Lost(n) => {
                self.lost += n;
                self.in_flight.clear();
                self.places.clear();
                self.submitters.clear();
            }
            Line::Event {
                pid,
                us,
                place,
                what,
            } => {
                self.now = self.now.max(us);
                self.event(pid, us, place, what);
            }
        }
    }

    fn event(&mut self, pid: u32, us: u64, place: Place, what: What) {
        match what {
            What::Submit {
                len,
                write,
                is_async,
                generation,
            } => {
                let way = if is_async { Way::AtOnce } else { Way::Sync };
                let request = Request {
                    place,
                    generation,
                    len,
                    write,
                    way,
                    bios: 0,
                    us: 0,
                    result: None,
                };
                let pending = Pending {
                    us,
                    request,
                    is_async,
                    pid,
                };
                self.in_flight.insert(self.next, pending);
                self.places.entry(place).or_default().push_back(self.next);
                self.submitters.insert(pid, self.next);
                self.next += 1;
            }
            What::Bio => {
                self.device(place.dev).bios += 1;
                // A task issues all bios of a request before it submits another one.
                let id = self.submitters.get(&pid).copied();
                if let Some(pending) = id.and_then(|id| self.in_flight.get_mut(&id)) {
                    pending.request.bios += 1;
                }
            }
            What::Switch(reason) => {
                if let Some(pending) = self.of_task(pid, place) {
                    pending.request.way = Way::Waited(reason);
                }
            }
            What::Retry => {
                if let Some(id) = self.first(place, |pending| {
                    pending.is_async && pending.request.way == Way::AtOnce
                }) {
                    if let Some(pending) = self.in_flight.get_mut(&id) {
                        pending.request.way = Way::Retried;
                    }
                }
            }
            What::Fallback => self.device(place.dev).fallbacks += 1,
            What::Complete(result) => self.complete(pid, us, place, result),
        }
    }

    /// The request at this place that the task has just submitted.
    fn of_task(&mut self, pid: u32, place: Place) -> Option<&mut Pending> {
        let id = self.submitters.get(&pid)?;
        let pending = self.in_flight.get_mut(id)?;
        (pending.request.place == place).then_some(pending)
    }

    /// The first one at this place that is as it has to be.
    fn first(&self, place: Place, is: impl Fn(&Pending) -> bool) -> Option<u64> {
        let ids = self.places.get(&place)?.iter().copied();
        ids.into_iter()
            .find(|id| self.in_flight.get(id).is_some_and(&is))
    }

    /// Of several requests at one place in flight at once, the first one that fits is taken.
    fn complete(&mut self, pid: u32, us: u64, place: Place, result: i64) {
        let own = self.of_task(pid, place).map(|pending| pending.request.way);
        let found = match own {
            // It sleeps for its own, and completes that itself.
            Some(Way::Sync | Way::Waited(_)) => self.submitters.get(&pid).copied(),
            _ => self
                .first(place, |pending| pending.request.way == Way::Retried)
                .or_else(|| self.first(place, |pending| pending.pid == pid))
                .or_else(|| self.first(place, |_| true)),
        };
        // Submitted before there was a trace.
        let Some(id) = found else { return };
        let Some(pending) = self.in_flight.remove(&id) else {
            return;
        };
        if let Some(ids) = self.places.get_mut(&place) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.places.remove(&place);
            }
        }
        if self.submitters.get(&pending.pid) == Some(&id) {
            self.submitters.remove(&pending.pid);
        }
        let mut request = pending.request;
        request.us = us.saturating_sub(pending.us);
        request.result = Some(result);
        let traced = self.device(place.dev);
        let done = &mut traced.done[usize::from(request.write)];
        done.bytes += u64::try_from(result).unwrap_or(0);
        done.errors += u64::from(result < 0);
        done.latency.add(request.us);
        traced.ways[request.way.index()] += 1;
        traced.slow(request);
    }

    fn device(&mut self, dev: Dev) -> &mut Traced {
        self.devices.entry(dev).or_default()
    }

    /// Ends an interval, and begins the next one. `now` is the clock of the trace, in microseconds, if
    /// it is known. Returns what it had of each device, and how many events were lost.
    pub fn take(&mut self, now: Option<u64>) -> (BTreeMap<Dev, Traced>, u64) {
        let now = now.unwrap_or(self.now);
        let mut devices = std::mem::take(&mut self.devices);
        for pending in self.in_flight.values() {
            let mut request = pending.request;
            request.us = now.saturating_sub(pending.us);
            let traced = devices.entry(request.place.dev).or_default();
            traced.requests_in_flight += 1;
            traced.bios_in_flight += request.bios;
            traced.slow(request);
        }
        (devices, std::mem::take(&mut self.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::parse;

    const DEV: Dev = Dev { major: 8, minor: 0 };

    fn run(requests: &mut Requests, lines: &[(u32, u64, &str)]) {
        for (pid, us, text) in lines {
            let line = format!("t-{pid} [000] ..... 0.{us:06}: retryfs_dio_{text}");
            requests.line(parse(&line).expect(&line));
        }
    }

    fn submit(pos: u64, how: &str) -> String {
        format!("submit: dev 8:0 ino 12 pos {pos} len 4096 i_size 8192 {how} gen 1")
    }

    #[test]
    fn ways() {
        let mut requests = Requests::default();
        run(
            &mut requests,
            &[
                // A read that is retried, and ends in an interrupt on another task.
                (1, 10, &submit(0, "read async")),
                (1, 11, "bio: dev 8:0 ino 12 pos 0 len 4096 sector 8"),
                (2, 20, "retry: dev 8:0 ino 12 pos 0 len 4096"),
                (2, 30, "complete: dev 8:0 ino 12 pos 0 result 4096"),
                // An extending write, whose block has zeroes before and behind it.
                (1, 40, &submit(8704, "write async")),
                (1, 41, "bio: dev 8:0 ino 12 pos 8192 len 512 sector 16"),
                (1, 42, "bio: dev 8:0 ino 12 pos 8704 len 512 sector 17"),
                (1, 43, "switch: dev 8:0 ino 12 pos 8704 reason extend"),
                (1, 50, "complete: dev 8:0 ino 12 pos 8704 result 512"),
                // One that falls back, and one that fails.
                (1, 60, &submit(4096, "write async")),
                (1, 61, "switch: dev 8:0 ino 12 pos 4096 reason hole"),
                (1, 62, "complete: dev 8:0 ino 12 pos 4096 result 0"),
                (1, 63, "fallback: dev 8:0 ino 12 pos 4096 len 4096"),
                (1, 70, &submit(0, "write sync")),
                (1, 71, "complete: dev 8:0 ino 12 pos 0 result -5"),
                // All bios have ended at once.
                (1, 80, &submit(0, "read async")),
                (1, 81, "complete: dev 8:0 ino 12 pos 0 result 100"),
            ],
        );
        let (devices, lost) = requests.take(None);
        let traced = &devices[&DEV];
        assert_eq!(lost, 0);
        assert_eq!(traced.ways, [1, 1, 1, 1, 1, 0, 0]);
        assert_eq!(traced.way(Way::Retried), 1);
        assert_eq!((traced.bios, traced.fallbacks), (3, 1));
        assert_eq!((traced.requests_in_flight, traced.bios_in_flight), (0, 0));
        let [reads, writes] = &traced.done;
        assert_eq!(
            (reads.bytes, reads.errors, reads.latency.total()),
            (4196, 0, 2)
        );
        assert_eq!(
            (writes.bytes, writes.errors, writes.latency.total()),
            (512, 1, 3)
        );
        let slow = &traced.slowest[0];
        assert_eq!((slow.us, slow.bios, slow.way), (20, 1, Way::Retried));
        assert_eq!(traced.slowest[1].bios, 2);
        // The next interval has nothing.
        assert!(requests.take(None).0.is_empty());
    }

    #[test]
    fn in_flight() {
        let mut requests = Requests::default();
        run(
            &mut requests,
            &[
                (1, 10, &submit(0, "read async")),
                (1, 11, "bio: dev 8:0 ino 12 pos 0 len 512 sector 8"),
                (1, 12, "bio: dev 8:0 ino 12 pos 512 len 3584 sector 80"),
                (1, 20, &submit(4096, "read async")),
                (1, 21, "bio: dev 8:0 ino 12 pos 4096 len 4096 sector 9"),
            ],
        );
        let first = requests.take(Some(1000)).0.remove(&DEV).unwrap();
        assert_eq!((first.requests_in_flight, first.bios_in_flight), (2, 3));
        assert_eq!(first.slowest.len(), 2);
        assert_eq!((first.slowest[0].us, first.slowest[0].result), (990, None));
        run(
            &mut requests,
            &[
                (0, 1500, "retry: dev 8:0 ino 12 pos 0 len 4096"),
                (0, 1510, "complete: dev 8:0 ino 12 pos 0 result 4096"),
            ],
        );
        let second = requests.take(Some(2000)).0.remove(&DEV).unwrap();
        assert_eq!((second.requests_in_flight, second.bios_in_flight), (1, 1));
        // Together, each request is there once.
        let mut sum = first;
        sum.add(&second);
        let us: Vec<_> = sum.slowest.iter().map(|r| (r.us, r.result)).collect();
        assert_eq!(us, [(1980, None), (1500, Some(4096))]);
        assert_eq!(
            (sum.requests_in_flight, sum.done[0].latency.total()),
            (1, 1)
        );
    }

    #[test]
    fn several_at_one_place() {
        let mut requests = Requests::default();
        run(
            &mut requests,
            &[
                (1, 10, &submit(0, "read async")),
                (2, 20, &submit(0, "read async")),
                (3, 30, &submit(0, "read sync")),
                // The synchronous one is that of its task.
                (3, 40, "complete: dev 8:0 ino 12 pos 0 result 4096"),
                (9, 50, "retry: dev 8:0 ino 12 pos 0 len 4096"),
                (9, 60, "complete: dev 8:0 ino 12 pos 0 result 4096"),
                (1, 70, "retry: dev 8:0 ino 12 pos 0 len 4096"),
                (1, 80, "complete: dev 8:0 ino 12 pos 0 result 4096"),
            ],
        );
        let traced = requests.take(None).0.remove(&DEV).unwrap();
        assert_eq!((traced.way(Way::Sync), traced.way(Way::Retried)), (1, 2));
        assert_eq!(traced.requests_in_flight, 0);
        let us: Vec<_> = traced.slowest.iter().map(|r| r.us).collect();
        assert_eq!(us, [60, 50, 10]);
    }

    #[test]
    fn what_was_not_seen() {
        let mut requests = Requests::default();
        run(
            &mut requests,
            &[
                // Submitted before the trace.
                (0, 5, "retry: dev 8:0 ino 12 pos 0 len 4096"),
                (0, 6, "complete: dev 8:0 ino 12 pos 0 result 4096"),
                (1, 10, &submit(0, "read async")),
            ],
        );
        requests.line(parse("CPU:0 [LOST 3 EVENTS]").unwrap());
        run(
            &mut requests,
            &[(0, 20, "complete: dev 8:0 ino 12 pos 0 result 4096")],
        );
        let (devices, lost) = requests.take(None);
        assert_eq!(lost, 3);
        assert!(devices.get(&DEV).is_none_or(|t| *t == Traced::default()));
    }

    #[test]
    fn only_the_slowest() {
        let mut traced = Traced::default();
        let request = Request {
            place: Place {
                dev: DEV,
                ino: 1,
                pos: 0,
            },
            generation: 0,
            len: 1,
            write: false,
            way: Way::Sync,
            bios: 1,
            us: 0,
            result: Some(1),
        };
        for us in (0..100).chain([7, 99]) {
            traced.slow(Request { us, ..request });
        }
        let us: Vec<_> = traced.slowest.iter().map(|r| r.us).collect();
        assert_eq!(us, [99, 99, 98, 97, 96, 95, 94, 93, 92, 91]);
    }
}
