//! What events say, and when.

use crate::kubernetes::objects::Event;

/// As many of an object's last events as a failure shows.
const SHOWN: usize = 5;

/// The newest of `events` whose reason is one of `reasons`; of equally old ones the last.
pub(crate) fn newest<'a>(events: &[&'a Event], reasons: &[&str]) -> Option<&'a Event> {
    events.iter().copied().filter(|event| reasons.contains(&event.reason.as_str())).max_by_key(|event| event.time())
}

/// The last of `events` (which come oldest first) as lines, `Unhealthy: Readiness probe failed (3 times)`.
pub(crate) fn last_lines(events: &[&Event]) -> Vec<String> {
    let first = events.len().saturating_sub(SHOWN);
    events[first..].iter().map(|event| line(event)).collect()
}

fn line(event: &Event) -> String {
    let message = one_line(&event.message);
    match event.count {
        Some(count) if count > 1 => format!("{}: {message} ({count} times)", event.reason),
        _ => format!("{}: {message}", event.reason),
    }
}

/// `text` without line breaks and control characters, which could repaint the terminal.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split_whitespace().map(|word| word.chars().filter(|c| !c.is_control()).collect());
    words.collect::<Vec<String>>().join(" ")
}
