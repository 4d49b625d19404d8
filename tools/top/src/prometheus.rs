// SPDX-License-Identifier: GPL-2.0

//! Samples in the text format of Prometheus, as node_exporter takes it from a file: counters since the
//! mount; what the trace has seen, since the start of this program.

use crate::counters::Counter;
use crate::histogram::{bound, BUCKETS};
use crate::json::KINDS;
use crate::requests::{Traced, Way};
use crate::sample::{MountSample, Sample};
use std::fmt::Write as _;

/// A metric of a mount: further labels, and the value.
type Values = Vec<(String, f64)>;

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn labels(sample: &MountSample, more: &str) -> String {
    let on = sample
        .mount
        .mounted_on
        .as_ref()
        .map(|p| p.to_string_lossy());
    let mut labels = format!(
        "device=\"{}\",mountpoint=\"{}\"",
        escape(&sample.mount.device),
        escape(&on.unwrap_or_default())
    );
    if !more.is_empty() {
        let _ = write!(labels, ",{more}");
    }
    labels
}

fn plain(value: f64) -> Values {
    vec![(String::new(), value)]
}

fn named<'a>(label: &str, values: impl IntoIterator<Item = (&'a str, u64)>) -> Values {
    let values = values.into_iter();
    values
        .map(|(name, n)| (format!("{label}=\"{name}\""), n as f64))
        .collect()
}

/// Writes one metric of all mounts, if there is any of it.
fn metric(
    out: &mut String,
    sample: &Sample,
    (name, kind, help): (&str, &str, &str),
    values: impl Fn(&MountSample) -> Values,
) {
    let mut lines = String::new();
    for mount in &sample.mounts {
        for (more, value) in values(mount) {
            let _ = writeln!(lines, "retryfs_{name}{{{}}} {value}", labels(mount, &more));
        }
    }
    if !lines.is_empty() {
        let _ = write!(
            out,
            "# HELP retryfs_{name} {help}\n# TYPE retryfs_{name} {kind}\n{lines}"
        );
    }
}

/// The histogram of latencies, in seconds.
fn histogram(out: &mut String, sample: &Sample) {
    let name = "retryfs_request_duration_seconds";
    let mut lines = String::new();
    for mount in &sample.mounts {
        let Some(traced) = &mount.traced else {
            continue;
        };
        for (kind, done) in KINDS.iter().zip(&traced.done) {
            let mut sum = 0;
            for bucket in 0..BUCKETS {
                sum += done.latency.counts()[bucket];
                let le = bound(bucket).map_or("+Inf".into(), |us| (us as f64 / 1e6).to_string());
                let all = labels(mount, &format!("kind=\"{kind}\",le=\"{le}\""));
                let _ = writeln!(lines, "{name}_bucket{{{all}}} {sum}");
            }
            let all = labels(mount, &format!("kind=\"{kind}\""));
            let seconds = done.latency.sum as f64 / 1e6;
            let _ = writeln!(
                lines,
                "{name}_sum{{{all}}} {seconds}\n{name}_count{{{all}}} {sum}"
            );
        }
    }
    if !lines.is_empty() {
        let _ = write!(
            out,
            "# HELP {name} How long requests took, from the entry of the worker to the reaping of all bios.\n\
             # TYPE {name} histogram\n{lines}"
        );
    }
}

/// Name, kind and help of a metric, and what a mount has of it.
type Metric = (
    &'static str,
    &'static str,
    &'static str,
    fn(&MountSample) -> Values,
);

/// What counters and devices say, and then what the trace has seen.
const METRICS: &[Metric] = &[
    ("requests_total", "counter", "Direct requests.", |m| {
        let kinds = [Counter::RequestsRead, Counter::RequestsWrite];
        named("kind", KINDS.into_iter().zip(totals(m, kinds)))
    }),
    (
        "async_total",
        "counter",
        "Asynchronous requests that their submitter did not wait for.",
        |m| total(m, Counter::Async),
    ),
    (
        "async_single_total",
        "counter",
        "Those of them that were one bio, which carried them.",
        |m| total(m, Counter::AsyncSingle),
    ),
    (
        "sync_single_total",
        "counter",
        "Synchronous requests of one bio, without the worker.",
        |m| total(m, Counter::SyncSingle),
    ),
    (
        "parked_total",
        "counter",
        "Asynchronous requests that were parked behind another one.",
        |m| total(m, Counter::Parked),
    ),
    (
        "punted_total",
        "counter",
        "Asynchronous reads that a worker issued, as a block of pointers was not in memory.",
        |m| total(m, Counter::Punted),
    ),
    (
        "retries_total",
        "counter",
        "Asynchronous requests that were completed by a retry.",
        |m| total(m, Counter::Retries),
    ),
    (
        "retries_queued_total",
        "counter",
        "Those of the retries that were queued.",
        |m| total(m, Counter::RetriesQueued),
    ),
    (
        "buffered_fallback_total",
        "counter",
        "Writes of which a part went through the page cache.",
        |m| total(m, Counter::BufferedFallback),
    ),
    (
        "waited_total",
        "counter",
        "Asynchronous requests that were waited for.",
        |m| {
            let names = ["extend", "hole", "error", "memory"];
            let reasons = [
                Counter::SyncExtend,
                Counter::SyncHole,
                Counter::SyncError,
                Counter::SyncMemory,
            ];
            named("reason", names.into_iter().zip(totals(m, reasons)))
        },
    ),
    (
        "eagain_total",
        "counter",
        "Requests that must not wait, and would have had to.",
        |m| named("reason", m.total.nowait()),
    ),
    (
        "device_in_flight",
        "gauge",
        "What the device has in flight, of all its users.",
        |m| {
            let both = m.device_in_flight.map(|(r, w)| [r, w]);
            both.map_or(Values::new(), |both| {
                named("kind", KINDS.into_iter().zip(both))
            })
        },
    ),
    (
        "traced_requests_total",
        "counter",
        "Completed requests by their way.",
        |m| {
            of_trace(m, |t| {
                named("way", Way::ALL.iter().map(|way| (way.name(), t.way(*way))))
            })
        },
    ),
    (
        "traced_bytes_total",
        "counter",
        "Bytes of completed requests.",
        |m| {
            of_trace(m, |t| {
                let bytes = t.done.each_ref().map(|done| done.bytes);
                named("kind", KINDS.into_iter().zip(bytes))
            })
        },
    ),
    (
        "traced_errors_total",
        "counter",
        "Requests that failed.",
        |m| {
            of_trace(m, |t| {
                let errors = t.done.each_ref().map(|done| done.errors);
                named("kind", KINDS.into_iter().zip(errors))
            })
        },
    ),
    (
        "traced_bios_total",
        "counter",
        "Bios that were issued.",
        |m| of_trace(m, |t| plain(t.bios as f64)),
    ),
    ("in_flight_requests", "gauge", "Requests in flight.", |m| {
        of_trace(m, |t| plain(t.requests_in_flight as f64))
    }),
    (
        "in_flight_bios",
        "gauge",
        "Bios of requests in flight.",
        |m| of_trace(m, |t| plain(t.bios_in_flight as f64)),
    ),
];

fn total(mount: &MountSample, counter: Counter) -> Values {
    plain(mount.total.get(counter) as f64)
}

fn totals<const N: usize>(mount: &MountSample, counters: [Counter; N]) -> [u64; N] {
    counters.map(|counter| mount.total.get(counter))
}

/// What the trace has of a mount, if there is one.
fn of_trace(mount: &MountSample, values: fn(&Traced) -> Values) -> Values {
    mount.traced.as_ref().map_or(Values::new(), values)
}

/// All metrics. `sample` is the sum of all intervals so far.
pub fn text(sample: &Sample) -> String {
    let mut out = String::new();
    for &(name, kind, help, values) in METRICS {
        metric(&mut out, sample, (name, kind, help), values);
    }
    histogram(&mut out, sample);
    if sample.trace.is_ok() {
        let _ = write!(
            out,
            "# HELP retryfs_traced_lost_total Events of the trace that were lost.\n\
             # TYPE retryfs_traced_lost_total counter\nretryfs_traced_lost_total {}\n",
            sample.lost
        );
    }
    out
}
