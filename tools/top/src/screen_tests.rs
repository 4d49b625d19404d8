// SPDX-License-Identifier: GPL-2.0

//! Samples that are made up, as screen, JSON and metrics.

use crate::counters::tests::counters;
use crate::counters::Counters;
use crate::event::{parse, Dev};
use crate::mounts::Mount;
use crate::requests::{Request, Requests};
use crate::sample::{MountSample, Sample};
use crate::screen::{draw, View};
use crate::{json, prometheus};
use ratatui::backend::TestBackend;
use ratatui::Terminal;
use std::time::{Duration, UNIX_EPOCH};

fn mount(device: &str, minor: u32, on: &str) -> MountSample {
    MountSample {
        mount: Mount {
            device: device.into(),
            dev: Some(Dev { major: 253, minor }),
            mounted_on: Some(on.into()),
            dir: "/none".into(),
        },
        total: counters([
            1000, 500, 600, 300, 120, 1, 2, 3, 0, 5, 7, 400, 50, 2, 0, 0, 0, 0, 0, 0, 0,
        ]),
        delta: counters([
            20, 10, 12, 6, 3, 1, 2, 0, 0, 0, 0, 10, 4, 2, 0, 6, 0, 0, 0, 0, 2,
        ]),
        device_in_flight: Some((1, 2)),
        traced: None,
    }
}

/// Two mounts, of which the first one has a trace.
fn sample() -> Sample {
    let mut requests = Requests::default();
    for line in [
        "a-1 [000] ..... 1.000000: retryfs_dio_submit: dev 253:0 ino 12 pos 8192 len 4096 i_size 99999 read async gen 7",
        "a-1 [000] ..... 1.000001: retryfs_dio_bio: dev 253:0 ino 12 pos 8192 len 4096 sector 8",
        "a-1 [000] ..... 1.000900: retryfs_dio_retry: dev 253:0 ino 12 pos 8192 len 4096",
        "a-1 [000] ..... 1.000950: retryfs_dio_complete: dev 253:0 ino 12 pos 8192 result 4096",
        "a-1 [000] ..... 1.001000: retryfs_dio_submit: dev 253:0 ino 13 pos 0 len 512 i_size 99999 write sync gen 8",
        "a-1 [000] ..... 1.001020: retryfs_dio_complete: dev 253:0 ino 13 pos 0 result -5",
        "a-1 [000] ..... 1.500000: retryfs_dio_submit: dev 253:0 ino 12 pos 0 len 1048576 i_size 99999 write async gen 7",
        "a-1 [000] ..... 1.500001: retryfs_dio_bio: dev 253:0 ino 12 pos 0 len 1048576 sector 8",
    ] {
        requests.line(parse(line).unwrap());
    }
    let (mut devices, lost) = requests.take(Some(2_000_000));
    let mut mounts = vec![
        mount("vda", 0, "/mnt/data"),
        mount("dm-0", 1, "/srv/a long name"),
    ];
    mounts[0].traced = devices.remove(&Dev {
        major: 253,
        minor: 0,
    });
    Sample {
        time: UNIX_EPOCH + Duration::from_millis(1500),
        seconds: 2.0,
        trace: Ok(()),
        lost,
        mounts,
    }
}

fn path(mount: &MountSample, request: &Request) -> String {
    format!(
        "{}/f\u{1b}[2J{}",
        mount.mount.mounted_on.as_ref().unwrap().display(),
        request.place.ino
    )
}

/// What is on a screen of this size.
fn on_screen(sample: &Sample, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let view = View {
        last: sample,
        window: sample,
        first: 0,
        is_held: false,
        path: &path,
    };
    terminal.draw(|frame| draw(frame, &view)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(width));
    rows.map(|row| {
        row.iter()
            .map(|cell| cell.symbol())
            .collect::<String>()
            .trim_end()
            .to_string()
    })
    .collect()
}

#[test]
fn a_terminal_of_usual_size() {
    let screen = on_screen(&sample(), 100, 30);
    let want = "\
retryfs-top  2 mounts, per second of the last 2.0 s
                                   vda       dm-0  latency, last 2 s
requests, per second         /mnt/data <long name  p50 32us  p99 950us  max 950us
reads                               10         10    below  reads writes
writes                             5.0        5.0     32us      .      1 ##########################
read, MiB                         <0.1          -     64us      .      .
written, MiB                         .          -    128us      .      .
synchronous                        0.5        7.5    256us      .      .
async, ended at once                 .        1.0    512us      .      .
  of one bio                       3.0        3.0   1024us      1      . ##########################
  retried inline                   3.0        3.0
  retried by the queue             2.0        2.0
  waited for: extend               0.5        0.5
  waited for: hole                 1.0        1.0
  waited for: error                  .          .
  waited for: memory                 .          .
fell back to page cache            1.0        1.0
failed                             0.5          .
EAGAIN                             4.0        4.0
  metadata                         3.0        3.0
  device                           1.0        1.0
requests in flight                   1          -
bios in flight                       1          -
in flight at the device              3          3
slowest device       inode    position    bytes way           file
  500ms vda      W      12           0  1048576 in flight     /mnt/data/f?[2J12
  950us vda      R      12        8192     4096 retried       /mnt/data/f?[2J12
   20us vda      W      13           0      512 error 5       /mnt/data/f?[2J13";
    let want: Vec<&str> = want.lines().collect();
    assert_eq!(screen[..want.len()], want[..], "\n{}", screen.join("\n"));
}

#[test]
fn terminals_of_any_size() {
    let mut none = sample();
    none.mounts.clear();
    for sample in [sample(), none] {
        for (width, height) in [(1, 1), (10, 3), (40, 10), (80, 24), (300, 100)] {
            on_screen(&sample, width, height);
        }
    }
    let small = on_screen(&sample(), 80, 24);
    assert!(
        small.iter().any(|line| line.contains("in flight     /mnt")),
        "{}",
        small.join("\n")
    );
    assert!(small.iter().any(|line| line.contains("p50 32us")));
}

#[test]
fn without_a_trace() {
    let mut sample = sample();
    sample.trace = Err("permission denied".into());
    sample.mounts[0].traced = None;
    let screen = on_screen(&sample, 80, 24);
    assert!(screen[0].contains("no trace: permission denied"));
    let line = |name: &str| screen.iter().find(|l| l.starts_with(name)).unwrap().clone();
    assert_eq!(
        line("async, ended at once"),
        "async, ended at once               1.0        1.0"
    );
    assert_eq!(
        line("bios in flight"),
        "bios in flight                       -          -"
    );
    assert!(!screen.iter().any(|l| l.contains("latency")));
}

#[test]
fn a_line_of_json() {
    let line = json::line(&sample(), &path);
    assert!(!line.contains('\n'));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let vda = &value["mounts"][0];
    assert_eq!(value["time"], 1.5);
    assert_eq!(value["no_trace"], serde_json::Value::Null);
    assert_eq!(vda["dev"], "253:0");
    assert_eq!(vda["total"]["requests_read"], 1000);
    assert_eq!(vda["interval"]["nowait_metadata"], 6);
    assert_eq!(
        vda["total"].as_object().unwrap().len(),
        Counters::default().iter().count()
    );
    assert_eq!(vda["device_in_flight"]["write"], 2);
    let trace = &vda["trace"];
    assert_eq!(trace["ways"]["retried"], 1);
    assert_eq!(trace["in_flight"]["bios"], 1);
    assert_eq!(trace["done"]["write"]["errors"], 1);
    let latency = &trace["done"]["read"]["latency_us"];
    assert_eq!(latency["histogram"].to_string(), "[[1024,1]]");
    assert_eq!(
        (&latency["max"], &latency["sum"]),
        (&950.into(), &950.into())
    );
    let slow = &trace["slowest"][0];
    assert_eq!(
        (&slow["us"], &slow["result"]),
        (&500_000.into(), &serde_json::Value::Null)
    );
    assert_eq!(slow["path"], "/mnt/data/f\u{1b}[2J12");
    assert_eq!(value["mounts"][1]["trace"], serde_json::Value::Null);
}

#[test]
fn metrics() {
    let mut sample = sample();
    sample.mounts[0].mount.mounted_on = Some("/a\"b\\c\nd".into());
    let text = prometheus::text(&sample);
    let on = "device=\"vda\",mountpoint=\"/a\\\"b\\\\c\\nd\"";
    for want in [
        format!("retryfs_requests_total{{{on},kind=\"read\"}} 1000"),
        format!("retryfs_waited_total{{{on},reason=\"hole\"}} 2"),
        format!("retryfs_async_single_total{{{on}}} 300"),
        format!("retryfs_sync_single_total{{{on}}} 120"),
        format!("retryfs_parked_total{{{on}}} 5"),
        format!("retryfs_punted_total{{{on}}} 7"),
        format!("retryfs_retries_queued_total{{{on}}} 50"),
        format!("retryfs_traced_requests_total{{{on},way=\"retried\"}} 1"),
        format!("retryfs_request_duration_seconds_bucket{{{on},kind=\"read\",le=\"0.000512\"}} 0"),
        format!("retryfs_request_duration_seconds_bucket{{{on},kind=\"read\",le=\"0.001024\"}} 1"),
        format!("retryfs_request_duration_seconds_bucket{{{on},kind=\"read\",le=\"+Inf\"}} 1"),
        format!("retryfs_request_duration_seconds_sum{{{on},kind=\"read\"}} 0.00095"),
        "retryfs_eagain_total{device=\"dm-0\",mountpoint=\"/srv/a long name\",reason=\"device\"} 0"
            .into(),
        "retryfs_traced_lost_total 0".into(),
    ] {
        assert!(text.lines().any(|line| line == want), "{want}\n{text}");
    }
    // Each metric is declared once, before its values; each line is NAME{LABELS} VALUE.
    let mut declared = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(!declared.contains(&name), "{name}");
            declared.push(name);
        } else if !line.starts_with('#') {
            let name = declared.last().expect("declared");
            assert!(line.starts_with(name), "{line}");
            assert!(
                line.rsplit_once(' ').unwrap().1.parse::<f64>().is_ok(),
                "{line}"
            );
        }
    }
}

#[test]
fn intervals_together() {
    let sum = sample().add(&sample());
    assert_eq!(sum.seconds, 4.0);
    let traced = sum.mounts[0].traced.as_ref().unwrap();
    assert_eq!(
        (traced.done[0].latency.total(), traced.requests_in_flight),
        (2, 1)
    );
    assert_eq!(traced.slowest.len(), 5);
    assert_eq!(
        sum.mounts[1].delta.iter().next(),
        Some(("requests_read", 40))
    );
}
