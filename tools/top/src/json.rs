// SPDX-License-Identifier: GPL-2.0

//! A sample as one line of JSON. Documentation/top.rst has its fields.

use crate::counters::Counters;
use crate::histogram::{bound, Histogram};
use crate::requests::{Request, Traced, Way};
use crate::sample::{MountSample, Sample};
use serde_json::{json, Map, Value};
use std::time::UNIX_EPOCH;

pub const KINDS: [&str; 2] = ["read", "write"];

fn counters(counters: &Counters) -> Value {
    counters
        .iter()
        .map(|(name, n)| (name.to_string(), n.into()))
        .collect::<Map<_, _>>()
        .into()
}

/// Pairs of an upper end in microseconds, null for the last one, and a count; without empty ones.
fn histogram(histogram: &Histogram) -> Value {
    let counts = histogram.counts().iter().enumerate();
    counts
        .filter(|(_, n)| **n > 0)
        .map(|(bucket, n)| json!([bound(bucket), n]))
        .collect()
}

fn traced(traced: &Traced, path: &dyn Fn(&Request) -> String) -> Value {
    let mut kinds = Map::new();
    for (name, done) in KINDS.iter().zip(&traced.done) {
        let value = json!({
            "requests": done.latency.total(),
            "bytes": done.bytes,
            "errors": done.errors,
            "latency_us": {
                "sum": done.latency.sum,
                "max": done.latency.max,
                "p50": done.latency.percentile(50),
                "p99": done.latency.percentile(99),
                "histogram": histogram(&done.latency),
            },
        });
        kinds.insert(name.to_string(), value);
    }
    let ways: Map<_, _> = Way::ALL
        .iter()
        .map(|way| (way.name().to_string(), traced.way(*way).into()))
        .collect();
    let slowest: Value = traced
        .slowest
        .iter()
        .map(|request| {
            json!({
                "us": request.us,
                "kind": KINDS[usize::from(request.write)],
                "ino": request.place.ino,
                "generation": request.generation,
                "path": path(request),
                "pos": request.place.pos,
                "len": request.len,
                "bios": request.bios,
                "way": request.way.name(),
                "result": request.result,
            })
        })
        .collect();
    json!({
        "done": kinds,
        "ways": ways,
        "bios": traced.bios,
        "fallbacks": traced.fallbacks,
        "in_flight": { "requests": traced.requests_in_flight, "bios": traced.bios_in_flight },
        "slowest": slowest,
    })
}

fn mount(sample: &MountSample, path: &dyn Fn(&MountSample, &Request) -> String) -> Value {
    let mount = &sample.mount;
    json!({
        "device": mount.device,
        "dev": mount.dev.map(|dev| format!("{}:{}", dev.major, dev.minor)),
        "mounted_on": mount.mounted_on.as_ref().map(|p| p.to_string_lossy()),
        "total": counters(&sample.total),
        "interval": counters(&sample.delta),
        "device_in_flight": sample.device_in_flight.map(|(r, w)| json!({ "read": r, "write": w })),
        "trace": sample.traced.as_ref().map(|t| traced(t, &|request| path(sample, request))),
    })
}

/// The line, without its end.
pub fn line(sample: &Sample, path: &dyn Fn(&MountSample, &Request) -> String) -> String {
    let time = sample.time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let mounts: Value = sample.mounts.iter().map(|m| mount(m, path)).collect();
    json!({
        "time": time.as_secs_f64(),
        "seconds": sample.seconds,
        "no_trace": sample.trace.as_ref().err(),
        "lost": sample.lost,
        "mounts": mounts,
    })
    .to_string()
}
