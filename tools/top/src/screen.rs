// SPDX-License-Identifier: GPL-2.0

//! The screen: what the last interval had, and below it what the last ones had together.

use crate::counters::{Counter, Counters};
use crate::histogram::{bound, time, Histogram, BUCKETS};
use crate::requests::{Request, Way};
use crate::sample::{MountSample, Sample};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use ratatui::Frame;

/// The width of the names of the measures, and of the numbers of a mount.
const LABEL: u16 = 27;
const NUMBER: u16 = 10;
/// The least width of the histogram.
const HISTOGRAM: u16 = 30;

/// What is on the screen.
pub struct View<'a> {
    /// The last interval.
    pub last: &'a Sample,
    /// The last intervals together.
    pub window: &'a Sample,
    /// The mount in the first column.
    pub first: usize,
    pub is_held: bool,
    pub path: &'a dyn Fn(&MountSample, &Request) -> String,
}

const TITLE: Style = Style::new().fg(Color::Cyan);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const ALARM: Style = Style::new().fg(Color::Red);

/// A number per second, in five characters at most.
fn rate(n: u64, seconds: f64) -> String {
    short(n as f64 / seconds.max(0.001))
}

fn short(n: f64) -> String {
    match n {
        n if n <= 0.0 => ".".into(),
        n if n < 0.05 => "<0.1".into(),
        n if n < 9.95 => format!("{n:.1}"),
        n if n < 99_999.5 => format!("{n:.0}"),
        n if n < 99_999_500.0 => format!("{:.0}k", n / 1e3),
        n => format!("{:.0}M", n / 1e6),
    }
}

/// A number of things.
fn number(n: u64) -> String {
    match n {
        1..=9 => n.to_string(),
        _ => short(n as f64),
    }
}

/// Bytes as MiB per second.
fn mib(bytes: u64, seconds: f64) -> String {
    short(bytes as f64 / f64::from(1 << 20) / seconds.max(0.001))
}

/// Text that a terminal shows as it is.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// A line of the table: its name, and how to get its value of a mount.
type Measure = (String, Style, Box<dyn Fn(&MountSample) -> String>);

fn measures(last: &Sample) -> Vec<Measure> {
    let s = last.seconds;
    let counter = |name: &str, c: Counter| -> Measure {
        (
            name.into(),
            Style::new(),
            Box::new(move |m| rate(m.delta.get(c), s)),
        )
    };
    // What the trace has, or else what counters tell of it.
    let way = |name: &str, way: Way, counters: fn(&Counters) -> u64| -> Measure {
        let value = move |m: &MountSample| {
            let traced = m.traced.as_ref().map(|t| t.way(way));
            rate(traced.unwrap_or_else(|| counters(&m.delta)), s)
        };
        (name.into(), Style::new(), Box::new(value))
    };
    let traced = |name: &str, get: fn(&crate::requests::Traced, f64) -> String| -> Measure {
        let value = move |m: &MountSample| m.traced.as_ref().map_or("-".into(), |t| get(t, s));
        (name.into(), Style::new(), Box::new(value))
    };

    let mut rows = vec![
        counter("reads", Counter::RequestsRead),
        counter("writes", Counter::RequestsWrite),
        traced("read, MiB", |t, s| mib(t.done[0].bytes, s)),
        traced("written, MiB", |t, s| mib(t.done[1].bytes, s)),
        way("synchronous", Way::Sync, Counters::sync),
        way("async, ended at once", Way::AtOnce, Counters::at_once),
        counter("  of one bio", Counter::AsyncSingle),
        (
            "  retried inline".into(),
            Style::new(),
            Box::new(move |m: &MountSample| {
                let queued = m.delta.get(Counter::RetriesQueued);
                rate(m.delta.get(Counter::Retries).saturating_sub(queued), s)
            }),
        ),
        counter("  retried by the queue", Counter::RetriesQueued),
        counter("  waited for: extend", Counter::SyncExtend),
        counter("  waited for: hole", Counter::SyncHole),
        counter("  waited for: error", Counter::SyncError),
        counter("  waited for: memory", Counter::SyncMemory),
        counter("fell back to page cache", Counter::BufferedFallback),
    ];
    let errors = |m: &MountSample| {
        m.traced
            .as_ref()
            .map_or(0, |t| t.done[0].errors + t.done[1].errors)
    };
    if last.mounts.iter().any(|m| errors(m) > 0) {
        rows.push((
            "failed".into(),
            ALARM,
            Box::new(move |m| rate(errors(m), s)),
        ));
    }
    // Of the reasons only those that there are.
    let nowait = |m: &MountSample| m.delta.nowait().map(|(_, n)| n).sum::<u64>();
    rows.push((
        "EAGAIN".into(),
        Style::new(),
        Box::new(move |m| rate(nowait(m), s)),
    ));
    for (i, (name, _)) in Counters::default().nowait().enumerate() {
        let of = move |m: &MountSample| m.delta.nowait().nth(i).map_or(0, |(_, n)| n);
        if last.mounts.iter().any(|m| of(m) > 0) {
            rows.push((
                format!("  {name}"),
                Style::new(),
                Box::new(move |m| rate(of(m), s)),
            ));
        }
    }
    rows.extend([
        traced("requests in flight", |t, _| number(t.requests_in_flight)),
        traced("bios in flight", |t, _| number(t.bios_in_flight)),
        (
            "in flight at the device".into(),
            Style::new(),
            Box::new(|m: &MountSample| {
                m.device_in_flight
                    .map_or("-".into(), |(r, w)| number(r + w))
            }),
        ),
    ]);
    rows
}

/// The first line: what this is.
fn head(view: &View) -> Line<'static> {
    let last = view.last;
    let n = last.mounts.len();
    let mut spans = vec![
        Span::styled("retryfs-top", BOLD),
        Span::raw(format!("  {n} mount{}", if n == 1 { "" } else { "s" })),
        Span::raw(format!(", per second of the last {:.1} s", last.seconds)),
    ];
    if view.is_held {
        spans.push(Span::styled("  held (p)", ALARM));
    }
    match &last.trace {
        Ok(()) if view.window.lost > 0 => {
            spans.push(Span::styled(
                format!("  {} events lost", view.window.lost),
                ALARM,
            ));
        }
        Ok(()) => {}
        Err(why) => spans.push(Span::styled(format!("  no trace: {}", plain(why)), ALARM)),
    }
    spans.into()
}

/// The last `width` characters of a text, if it has more.
fn last_of(text: &str, width: usize) -> String {
    let n = text.chars().count();
    match n > width {
        true => format!("<{}", text.chars().skip(n + 1 - width).collect::<String>()),
        false => text.into(),
    }
}

fn table(frame: &mut Frame, area: Rect, view: &View) {
    let room = usize::from(area.width.saturating_sub(LABEL) / (NUMBER + 1)).max(1);
    let shown = view.last.mounts.iter().skip(view.first).take(room);
    let shown: Vec<&MountSample> = shown.collect();
    let numbers = |values: Vec<String>| {
        values
            .into_iter()
            .map(|v| Cell::from(Line::from(v).right_aligned()))
    };
    let header = |name: &str, values: Vec<String>| {
        Row::new(
            [Cell::from(name.to_string())]
                .into_iter()
                .chain(numbers(values)),
        )
        .style(TITLE)
    };
    let width = usize::from(NUMBER);
    let mut rows = vec![
        header(
            "",
            shown
                .iter()
                .map(|m| last_of(&plain(&m.mount.device), width))
                .collect(),
        ),
        header(
            "requests, per second",
            shown
                .iter()
                .map(|m| {
                    m.mount
                        .mounted_on
                        .as_ref()
                        .map_or("-".into(), |p| p.to_string_lossy().into_owned())
                })
                .map(|on| last_of(&plain(&on), width))
                .collect(),
        ),
    ];
    for (name, style, value) in measures(view.last) {
        let values = shown.iter().map(|m| value(m)).collect();
        rows.push(Row::new([Cell::from(name)].into_iter().chain(numbers(values))).style(style));
    }
    let widths = std::iter::once(LABEL).chain(shown.iter().map(|_| NUMBER));
    frame.render_widget(Table::new(rows, widths.map(Constraint::Length)), area);
}

/// All mounts together.
fn latency(view: &View) -> [Histogram; 2] {
    let mut both = [Histogram::default(); 2];
    for traced in view.window.mounts.iter().filter_map(|m| m.traced.as_ref()) {
        for (sum, done) in both.iter_mut().zip(&traced.done) {
            sum.merge(&done.latency);
        }
    }
    both
}

fn histogram(frame: &mut Frame, area: Rect, view: &View) {
    let [reads, writes] = latency(view);
    let mut all = reads;
    all.merge(&writes);
    let title = format!("latency, last {:.0} s", view.window.seconds);
    let mut lines = vec![Line::styled(title, TITLE)];
    if all.total() == 0 {
        frame.render_widget(Paragraph::new(lines), area);
        return;
    }
    lines.push(Line::raw(format!(
        "p50 {}  p99 {}  max {}",
        time(all.percentile(50)),
        time(all.percentile(99)),
        time(all.max)
    )));
    lines.push(Line::styled(
        format!("{:>7} {:>6} {:>6}", "below", "reads", "writes"),
        TITLE,
    ));
    // Those with something in them, and between; of too many, the slowest.
    let counts = all.counts();
    let low = counts.iter().position(|n| *n > 0).unwrap_or(0);
    let high = counts.iter().rposition(|n| *n > 0).unwrap_or(0);
    let room = usize::from(area.height).saturating_sub(lines.len()).max(1);
    let low = low.max((high + 1).saturating_sub(room));
    let longest = counts.iter().max().copied().unwrap_or(1);
    let bar_room = usize::from(area.width.saturating_sub(23));
    for bucket in low..=high.min(BUCKETS - 1) {
        let (r, w) = (reads.counts()[bucket], writes.counts()[bucket]);
        let bar = ((r + w) as u128 * bar_room as u128).div_ceil(u128::from(longest)) as usize;
        lines.push(Line::from(vec![
            Span::raw(format!(
                "{:>7} {:>6} {:>6} ",
                bound(bucket).map_or("longer".into(), time),
                number(r),
                number(w)
            )),
            Span::styled("#".repeat(bar), TITLE),
        ]));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn slowest(frame: &mut Frame, area: Rect, view: &View) {
    let header = [
        "slowest", "device", "", "inode", "position", "bytes", "way", "file",
    ];
    let mut requests: Vec<(&MountSample, &Request)> = Vec::new();
    for mount in &view.window.mounts {
        for request in mount.traced.iter().flat_map(|t| &t.slowest) {
            requests.push((mount, request));
        }
    }
    requests.sort_by_key(|(_, request)| std::cmp::Reverse(request.us));
    let rows = requests
        .iter()
        .take(usize::from(area.height.saturating_sub(1)))
        .map(|(mount, request)| {
            let (way, style) = match request.result {
                None => ("in flight".into(), BOLD),
                Some(n) if n < 0 => (format!("error {}", -n), ALARM),
                Some(_) => (request.way.name().replace('_', " "), Style::new()),
            };
            let right = |text: String| Cell::from(Line::from(text).right_aligned());
            Row::new([
                right(time(request.us)),
                Cell::from(last_of(&plain(&mount.mount.device), 8)),
                Cell::from(if request.write { "W" } else { "R" }),
                right(request.place.ino.to_string()),
                right(request.place.pos.to_string()),
                right(request.len.to_string()),
                Cell::from(way),
                Cell::from(plain(&(view.path)(mount, request))),
            ])
            .style(style)
        });
    let widths = [7, 8, 1, 7, 11, 8, 13].map(Constraint::Length);
    let widths = widths.into_iter().chain([Constraint::Fill(1)]);
    let cells = header.iter().enumerate().map(|(i, name)| {
        let line = Line::from(*name);
        Cell::from(if matches!(i, 0 | 3 | 4 | 5) {
            line.right_aligned()
        } else {
            line
        })
    });
    frame.render_widget(
        Table::new(rows, widths).header(Row::new(cells).style(TITLE)),
        area,
    );
}

/// Draws all of it.
pub fn draw(frame: &mut Frame, view: &View) {
    let area = frame.area();
    let [top, rest] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(head(view)), top);
    if view.last.mounts.is_empty() {
        frame.render_widget(Paragraph::new("No retryfs is mounted."), rest);
        return;
    }
    let n = measures(view.last).len() as u16 + 2;
    if view.window.mounts.iter().all(|m| m.traced.is_none()) {
        table(frame, rest, view);
        return;
    }
    // The slowest requests have at least three lines, if the screen has more than those.
    let upper = n.min(rest.height.saturating_sub(4).max(rest.height / 2));
    let [upper, lower] =
        Layout::vertical([Constraint::Length(upper), Constraint::Fill(1)]).areas(rest);
    let columns = view.last.mounts.len() as u16;
    let wide = (LABEL + columns * (NUMBER + 1)).min(upper.width.saturating_sub(HISTOGRAM + 2));
    let [left, _, right] = Layout::horizontal([
        Constraint::Length(wide),
        Constraint::Length(2),
        Constraint::Fill(1),
    ])
    .areas(upper);
    table(frame, left, view);
    histogram(frame, right, view);
    slowest(frame, lower, view);
}
