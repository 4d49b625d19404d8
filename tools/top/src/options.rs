// SPDX-License-Identifier: GPL-2.0

//! The command line.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub const USAGE: &str = "\
usage: retryfs-top [OPTION]... [DEVICE|DIRECTORY]...
Shows what direct I/O does on all mounts of retryfs, or on those named.
  -d, --delay SECONDS   the length of an interval (1)
  -n, --count N         end after N intervals (0: never; 1 is the default with --json and --prometheus)
      --json            a line of JSON for each interval
      --prometheus      metrics in the text format of Prometheus
  -o, --output FILE     with --prometheus: replace FILE at each interval, which goes on for ever
      --no-trace        only the counters: without latencies, and without a trace's cost
  -h, --help            this
On the screen: q ends it, p holds it, left and right show other mounts. retryfs-top(8) tells more.
";

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Screen,
    Json,
    /// To a file, or to standard output.
    Prometheus(Option<PathBuf>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub delay: Duration,
    /// 0: without an end.
    pub count: u64,
    pub output: Output,
    pub trace: bool,
    /// Devices or directories.
    pub mounts: Vec<String>,
}

/// The value of an option.
fn number<T: FromStr<Err: Display>>(parser: &mut lexopt::Parser) -> Result<T, String> {
    let value = parser.value().map_err(|e| e.to_string())?;
    let text = value.to_string_lossy();
    text.parse().map_err(|error| format!("{text}: {error}"))
}

/// Reads the arguments; none if all that is wanted is the usage.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Options>, String> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let mut parser = lexopt::Parser::from_args(arguments);
    let (mut delay, mut count, mut file) = (1.0, None, None::<PathBuf>);
    let (mut json, mut prometheus, mut trace) = (false, false, true);
    let mut mounts = Vec::new();
    while let Some(argument) = parser.next().map_err(|e| e.to_string())? {
        match argument {
            Short('d') | Long("delay") => delay = number(&mut parser)?,
            Short('n') | Long("count") => count = Some(number(&mut parser)?),
            Short('o') | Long("output") => {
                file = Some(parser.value().map_err(|e| e.to_string())?.into())
            }
            Long("json") => json = true,
            Long("prometheus") => prometheus = true,
            Long("no-trace") => trace = false,
            Short('h') | Long("help") => return Ok(None),
            Value(name) => mounts.push(name.string().map_err(|e| e.to_string())?),
            other => return Err(other.unexpected().to_string()),
        }
    }
    if !(0.05..=86400.0).contains(&delay) {
        return Err("the delay has to be 0.05 seconds or more, and no more than a day".into());
    }
    if file.is_some() && !prometheus {
        return Err("--output is for --prometheus".into());
    }
    let is_once = file.is_none();
    let output = match (json, prometheus) {
        (true, true) => return Err("--json or --prometheus, not both".into()),
        (true, false) => Output::Json,
        (false, true) => Output::Prometheus(file),
        (false, false) => Output::Screen,
    };
    let default = u64::from(output != Output::Screen && is_once);
    Ok(Some(Options {
        delay: Duration::from_secs_f64(delay),
        count: count.unwrap_or(default),
        output,
        trace,
        mounts,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Option<Options>, String> {
        parse(line.split_whitespace().map(String::from))
    }

    #[test]
    fn defaults() {
        let options = of("").unwrap().unwrap();
        let want = Options {
            delay: Duration::from_secs(1),
            count: 0,
            output: Output::Screen,
            trace: true,
            mounts: Vec::new(),
        };
        assert_eq!(options, want);
        assert_eq!(of("--json").unwrap().unwrap().count, 1);
        assert_eq!(of("--prometheus").unwrap().unwrap().count, 1);
        assert_eq!(of("--prometheus -o x").unwrap().unwrap().count, 0);
        assert_eq!(of("--json -h"), Ok(None));
    }

    #[test]
    fn all_of_them() {
        let options = of("--json -n0 --delay=0.5 --no-trace vda /mnt")
            .unwrap()
            .unwrap();
        assert_eq!((options.count, options.trace), (0, false));
        assert_eq!(
            (options.delay, options.output),
            (Duration::from_millis(500), Output::Json)
        );
        assert_eq!(options.mounts, ["vda", "/mnt"]);
    }

    #[test]
    fn what_is_refused() {
        for line in [
            "-d 0",
            "-d x",
            "-d -1",
            "-d nan",
            "-n",
            "--json --prometheus",
            "-o x",
            "--odd",
            "-d 1e9",
        ] {
            assert!(of(line).is_err(), "{line}");
        }
    }
}
