//! What is seen while smoke runs: a line per Deployment that updates in place, plain lines elsewhere.

use std::collections::BTreeMap;

use crate::system::progress::{Progress, Task};

/// The Deployments' lines.
pub(super) struct View {
    progress: Progress,
    lines: BTreeMap<String, Line>,
}

struct Line {
    text: String,
    /// On a terminal, until its end.
    task: Option<Task>,
}

impl View {
    /// Nothing is shown yet.
    pub(super) fn new(progress: Progress) -> Self {
        View { progress, lines: BTreeMap::new() }
    }

    /// Prints a line that stays.
    pub(super) fn say(&self, line: &str) {
        self.progress.say(line);
    }

    /// Shows how a Deployment stands, if that is new.
    pub(super) fn update(&mut self, name: &str, text: &str) {
        let progress = &self.progress;
        if let Some(line) = self.lines.get_mut(name) {
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
        self.lines.insert(name.to_owned(), Line { text: text.to_owned(), task });
    }

    /// Shows a Deployment's verdict, which stays.
    pub(super) fn settle(&mut self, name: &str, text: &str) {
        match self.lines.get_mut(name) {
            Some(line) if line.text == text => {}
            Some(line) if line.task.is_some() => {
                line.text = text.to_owned();
                line.task.take().into_iter().for_each(|task| task.done(text));
            }
            _ => self.update(name, text),
        }
    }
}
