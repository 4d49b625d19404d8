// SPDX-License-Identifier: GPL-2.0

//! What an interval had, of all mounts: counters and trace together.

use crate::counters::Counters;
use crate::event::parse;
use crate::mounts::{self, InFlight, Mount, Roots};
use crate::paths::Paths;
use crate::requests::{Request, Requests, Traced};
use crate::tracefs::Instance;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How long paths are waited for.
const PATHS_LIMIT: Duration = Duration::from_millis(500);

/// What an interval had of a mount.
#[derive(Clone, Debug)]
pub struct MountSample {
    pub mount: Mount,
    /// Since the mount.
    pub total: Counters,
    /// In the interval.
    pub delta: Counters,
    pub device_in_flight: Option<InFlight>,
    /// None without a trace.
    pub traced: Option<Traced>,
}

/// What an interval had.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its end.
    pub time: SystemTime,
    pub seconds: f64,
    /// In words why there is no trace.
    pub trace: Result<(), String>,
    /// Events of the trace that were lost.
    pub lost: u64,
    pub mounts: Vec<MountSample>,
}

/// Makes samples.
pub struct Collector {
    roots: Roots,
    /// What the user has asked for; all mounts if that is nothing.
    names: Vec<String>,
    trace: Result<Instance, String>,
    requests: Requests,
    paths: Paths,
    before: BTreeMap<String, Counters>,
    began: Instant,
}

/// Now, by the clock of the trace, in microseconds.
fn clock() -> Option<u64> {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` can be written to.
    let error = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    let (s, ns) = (
        u64::try_from(now.tv_sec).ok()?,
        u64::try_from(now.tv_nsec).ok()?,
    );
    (error == 0).then_some(s * 1_000_000 + ns / 1000)
}

impl Collector {
    /// Begins the first interval.
    pub fn new(roots: Roots, names: Vec<String>, with_trace: bool) -> io::Result<Self> {
        let trace = match with_trace {
            true => Instance::new(),
            false => Err("off".into()),
        };
        let mut collector = Collector {
            roots,
            names,
            trace,
            requests: Requests::default(),
            paths: Paths::new(),
            before: BTreeMap::new(),
            began: Instant::now(),
        };
        if let Ok(instance) = &collector.trace {
            // If it has to be, once more at the next sample.
            let _ = instance.enable();
        }
        for mount in collector.mounts()? {
            if let Ok(counters) = Counters::read(&mount.dir) {
                collector.before.insert(mount.device, counters);
            }
        }
        Ok(collector)
    }

    fn mounts(&self) -> io::Result<Vec<Mount>> {
        let mut mounts = mounts::list(&self.roots)?;
        mounts
            .retain(|mount| self.names.is_empty() || self.names.iter().any(|name| mount.is(name)));
        Ok(mounts)
    }

    /// Reads what the trace has by now: often, as its buffer is not endless. Returns whether that was
    /// all.
    pub fn drain(&mut self) -> bool {
        let Ok(instance) = &mut self.trace else {
            return true;
        };
        let requests = &mut self.requests;
        let read = instance.read(|line| {
            if let Some(line) = parse(line) {
                requests.line(line);
            }
        });
        read.unwrap_or_else(|error| {
            self.trace = Err(format!("trace_pipe: {error}"));
            true
        })
    }

    /// Ends the interval, and begins the next one.
    pub fn sample(&mut self) -> io::Result<Sample> {
        let is_all = self.drain();
        let trace = match &self.trace {
            Ok(instance) => instance.enable(),
            Err(why) => Err(why.clone()),
        };
        let now = Instant::now();
        let seconds = (now - self.began).as_secs_f64();
        self.began = now;
        // Who reads behind the events does not know what has become of the requests by now.
        let (mut devices, lost) = self.requests.take(clock().filter(|_| is_all));
        let mut samples = Vec::new();
        for mount in self.mounts()? {
            // It has been unmounted at this moment.
            let Ok(total) = Counters::read(&mount.dir) else {
                continue;
            };
            // One that is new begins at zero.
            let before = self.before.get(&mount.device).copied().unwrap_or_default();
            let traced = mount
                .dev
                .map(|dev| devices.remove(&dev).unwrap_or_default());
            samples.push(MountSample {
                total,
                delta: total.since(&before),
                device_in_flight: mounts::in_flight(&self.roots, &mount),
                traced: traced.filter(|_| trace.is_ok()),
                mount,
            });
        }
        self.before = samples
            .iter()
            .map(|sample| (sample.mount.device.clone(), sample.total))
            .collect();
        let mut files = Vec::new();
        for sample in &samples {
            if let (Some(on), Some(traced)) = (&sample.mount.mounted_on, &sample.traced) {
                let slowest = traced.slowest.iter();
                files.extend(slowest.map(|r| (on.as_path(), (r.place.ino, r.generation))));
            }
        }
        self.paths.ask(&files, PATHS_LIMIT);
        Ok(Sample {
            time: SystemTime::now(),
            seconds,
            trace,
            lost,
            mounts: samples,
        })
    }

    /// The path of the file of a slow request of the last samples, or in words why it is not known.
    pub fn path(&self, mounted_on: Option<&Path>, request: &Request) -> String {
        self.paths
            .get(mounted_on, (request.place.ino, request.generation))
    }
}

impl Sample {
    /// Adds an interval that follows: the mounts are those of the latter.
    pub fn add(&self, next: &Sample) -> Sample {
        let mut sum = next.clone();
        sum.seconds += self.seconds;
        sum.lost += self.lost;
        for sample in &mut sum.mounts {
            let is_same = |other: &&MountSample| other.mount == sample.mount;
            let Some(before) = self.mounts.iter().find(is_same) else {
                continue;
            };
            sample.delta.add(&before.delta);
            if let (Some(before), Some(traced)) = (&before.traced, &mut sample.traced) {
                let mut both = before.clone();
                both.add(traced);
                *traced = both;
            }
        }
        sum
    }
}
