// SPDX-License-Identifier: GPL-2.0

//! retryfs-top: what direct I/O does on all mounts of retryfs. See Documentation/top.rst.

mod counters;
mod event;
mod histogram;
mod json;
mod mounts;
mod options;
mod paths;
mod prometheus;
mod requests;
mod sample;
mod screen;
#[cfg(test)]
mod screen_tests;
mod tracefs;

use mounts::Roots;
use options::{Options, Output};
use ratatui::crossterm::event::{
    self as terminal_event, Event, KeyCode, KeyEventKind, KeyModifiers,
};
use ratatui::layout::{Position, Rect};
use ratatui::prelude::CrosstermBackend;
use ratatui::{Terminal, TerminalOptions, Viewport};
use sample::{Collector, Sample};
use screen::View;
use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How often the trace is read.
const DRAIN: Duration = Duration::from_millis(20);
/// How many intervals the lower half of the screen is about.
const WINDOW: usize = 10;

fn main() -> ExitCode {
    let arguments = std::env::args_os()
        .skip(1)
        .map(|a| a.to_string_lossy().into_owned());
    let options = match options::parse(arguments) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("retryfs-top: {error}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("retryfs-top: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    // What ends it lets it remove its trace first.
    let end = Arc::new(AtomicBool::new(false));
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        signal_hook::flag::register(signal, end.clone())?;
    }
    // A metric that is written once has no interval.
    let is_traced =
        options.trace && (options.output != Output::Prometheus(None) || options.count != 1);
    let mut collector = Collector::new(Roots::default(), options.mounts.clone(), is_traced)?;
    match options.output {
        Output::Screen => on_screen(options, &mut collector, &end),
        _ => to_file(options, &mut collector, &end, is_traced),
    }
}

/// Waits for the end of an interval, and reads the trace meanwhile.
fn interval(collector: &mut Collector, until: Instant, end: &AtomicBool) -> bool {
    loop {
        collector.drain();
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        if end.load(Ordering::Relaxed) {
            return false;
        }
        thread::sleep(left.min(DRAIN));
    }
}

fn to_file(
    options: &Options,
    collector: &mut Collector,
    end: &AtomicBool,
    is_traced: bool,
) -> io::Result<()> {
    let mut sum: Option<Sample> = None;
    let mut n = 0;
    let mut until = Instant::now();
    while options.count == 0 || n < options.count {
        if is_traced || options.output == Output::Json || n > 0 {
            until += options.delay;
            if !interval(collector, until, end) {
                break;
            }
        }
        n += 1;
        let sample = collector.sample()?;
        match &options.output {
            Output::Prometheus(file) => {
                let all = sum
                    .as_ref()
                    .map_or_else(|| sample.clone(), |sum| sum.add(&sample));
                let text = prometheus::text(&all);
                sum = Some(all);
                match file {
                    Some(file) => replace(file, &text)?,
                    None => io::stdout().write_all(text.as_bytes())?,
                }
            }
            _ => {
                let path = |m: &sample::MountSample, r: &_| {
                    collector.path(m.mount.mounted_on.as_deref(), r)
                };
                let mut out = io::stdout().lock();
                writeln!(out, "{}", json::line(&sample, &path))?;
                out.flush()?;
            }
        }
    }
    Ok(())
}

/// Writes a file so that who reads it finds the old text or the new one.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    fs::rename(&new, file)
}

fn on_screen(options: &Options, collector: &mut Collector, end: &AtomicBool) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    // A serial console does not know its size.
    if Rect::from((Position::ORIGIN, terminal.size()?)).is_empty() {
        let of = |name, usual| {
            std::env::var(name)
                .ok()
                .and_then(|n| n.parse().ok())
                .unwrap_or(usual)
        };
        let area = Rect::new(0, 0, of("COLUMNS", 80), of("LINES", 24));
        let viewport = Viewport::Fixed(area);
        terminal = Terminal::with_options(
            CrosstermBackend::new(io::stdout()),
            TerminalOptions { viewport },
        )?;
    }
    let result = show(options, collector, end, &mut terminal);
    ratatui::try_restore()?;
    result
}

fn show(
    options: &Options,
    collector: &mut Collector,
    end: &AtomicBool,
    terminal: &mut ratatui::DefaultTerminal,
) -> io::Result<()> {
    let mut samples: VecDeque<Sample> = VecDeque::new();
    let (mut first, mut is_held, mut n) = (0, false, 0);
    // The first interval is short, so that there is something to see.
    let mut until = Instant::now() + options.delay.min(Duration::from_millis(300));
    let mut is_drawn = false;
    while !end.load(Ordering::Relaxed) {
        collector.drain();
        let now = Instant::now();
        if now >= until {
            until = (until + options.delay).max(now);
            n += 1;
            let sample = collector.sample()?;
            if !is_held {
                samples.truncate(WINDOW - 1);
                samples.push_front(sample);
                is_drawn = false;
            }
        }
        if let (Some(last), false) = (samples.front(), is_drawn) {
            first = first.min(last.mounts.len().saturating_sub(1));
            let mut window = samples[samples.len() - 1].clone();
            for sample in samples.iter().rev().skip(1) {
                window = window.add(sample);
            }
            let path =
                |m: &sample::MountSample, r: &_| collector.path(m.mount.mounted_on.as_deref(), r);
            let view = View {
                last,
                window: &window,
                first,
                is_held,
                path: &path,
            };
            terminal.draw(|frame| screen::draw(frame, &view))?;
            is_drawn = true;
        }
        if options.count > 0 && n >= options.count {
            break;
        }
        let wait = until.saturating_duration_since(Instant::now()).min(DRAIN);
        if !terminal_event::poll(wait)? {
            continue;
        }
        is_drawn = false;
        let Event::Key(key) = terminal_event::read()? else {
            continue;
        };
        if key.kind != KeyEventKind::Press {
            continue;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => break,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => break,
            KeyCode::Char('p' | ' ') => is_held = !is_held,
            KeyCode::Left => first = first.saturating_sub(1),
            KeyCode::Right => first += 1,
            _ => {}
        }
    }
    Ok(())
}
