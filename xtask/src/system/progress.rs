//! Progress on standard error: lines that update in place on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Error;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::errors::shown_as;

/// Where the progress of several tasks is shown.
pub(crate) struct Progress {
    live: Option<MultiProgress>,
}

/// One task's line.
pub(crate) struct Task {
    name: String,
    bar: Option<ProgressBar>,
    multi: Option<MultiProgress>,
    started: Instant,
}

impl Progress {
    /// Live when standard error is a terminal.
    pub(crate) fn new() -> Self {
        Progress { live: std::io::stderr().is_terminal().then(MultiProgress::new) }
    }

    /// Whether lines update in place.
    pub(crate) fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// Prints a line above the live ones.
    pub(crate) fn say(&self, line: &str) {
        say(self.live.as_ref(), line);
    }

    /// Prints a warning above the live lines.
    pub(crate) fn warn(&self, warning: &Error) {
        self.say(&shown_as("warning", warning));
    }

    /// Starts a task.
    pub(crate) fn task(&self, name: &str, message: &str) -> Task {
        let bar = self.live.as_ref().map(|multi| {
            let style = ProgressStyle::with_template("{spinner} {prefix:.bold} {wide_msg} {elapsed}")
                .expect("a valid template");
            let bar = multi.add(ProgressBar::new_spinner().with_style(style).with_prefix(name.to_owned()));
            bar.set_message(message.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("{name}: {message}");
        }
        Task { name: name.to_owned(), bar, multi: self.live.clone(), started: Instant::now() }
    }
}

impl Task {
    /// Shows what the task does now; only on a terminal.
    pub(crate) fn update(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
        }
    }

    /// Ends the task with a line that stays.
    pub(crate) fn done(self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let line = format!("{}: {message} ({})", self.name, seconds(self.started.elapsed()));
        say(self.multi.as_ref(), &line);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn say(multi: Option<&MultiProgress>, line: &str) {
    match multi {
        // A terminal that went away is no reason to fail.
        Some(multi) => drop(multi.println(line)),
        None => eprintln!("{line}"),
    }
}

/// `0.3 s`, `12.4 s`, `2 min 5 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..=99 => format!("{:.1} s", duration.as_secs_f64()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}
