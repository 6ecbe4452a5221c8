//! What is seen while smoke runs: a line per workload that updates in place, plain lines elsewhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::system::progress::{Progress, Task};

/// The workloads' lines.
pub(super) struct View {
    progress: Progress,
    lines: Mutex<BTreeMap<String, Line>>,
}

struct Line {
    text: String,
    /// On a terminal, until its end.
    task: Option<Task>,
}

impl View {
    pub(super) fn new(progress: Progress) -> Self {
        View { progress, lines: Mutex::default() }
    }

    /// Prints a line that stays.
    pub(super) fn say(&self, line: &str) {
        self.progress.say(line);
    }

    /// Shows how a workload stands, if that is new.
    pub(super) fn update(&self, name: &str, text: &str) {
        let progress = &self.progress;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get_mut(name) {
            if line.text == text {
                return;
            }
            line.text = text.to_owned();
            match &line.task {
                Some(task) => task.update(text),
                None => progress.say(&format!("{name}: {text}")),
            }
            return;
        }
        let task = progress.is_live().then(|| progress.task(name, text));
        if task.is_none() {
            progress.say(&format!("{name}: {text}"));
        }
        lines.insert(name.to_owned(), Line { text: text.to_owned(), task });
    }

    /// Shows a workload's verdict, which stays.
    pub(super) fn settle(&self, name: &str, text: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.get_mut(name) {
            Some(line) if line.text == text => {}
            Some(line) if line.task.is_some() => {
                line.text = text.to_owned();
                line.task.take().into_iter().for_each(|task| task.done(text));
            }
            _ => {
                drop(lines);
                self.update(name, text);
            }
        }
    }
}
