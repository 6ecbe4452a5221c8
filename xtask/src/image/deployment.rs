//! What an environment ran, one after the other.

use super::reference::Digest;

/// A release that an environment was proven to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deployment {
    /// Counted from 1.
    pub(crate) number: u64,
    /// The release.
    pub(crate) release: Digest,
}

/// What ran before `now`; `history` is sorted by number. What was left by going back counts no more: after 1 A, 2 B,
/// 3 A there is nothing before A, and after 1 A, 2 B, 3 C, 4 B there is A before B.
pub(crate) fn before<'a>(history: &'a [Deployment], now: &Digest) -> Option<&'a Digest> {
    let mut stack: Vec<&Digest> = Vec::new();
    for Deployment { release, .. } in history {
        match stack.iter().position(|known| *known == release) {
            Some(at) => stack.truncate(at + 1),
            None => stack.push(release),
        }
    }
    let at = stack.iter().position(|known| *known == now)?;
    stack.get(at.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(text: &str) -> Vec<Deployment> {
        let one = |(at, name): (usize, char)| Deployment { number: at as u64 + 1, release: digest(name) };
        text.chars().enumerate().map(one).collect()
    }

    fn digest(name: char) -> Digest {
        Digest::of(name.to_string().as_bytes())
    }

    #[test]
    fn going_back_again_goes_further_back() {
        for (ran, now, expected) in [
            ("A", 'A', None),
            ("AB", 'B', Some('A')),
            ("ABC", 'C', Some('B')),
            ("ABCB", 'B', Some('A')),
            ("ABCBA", 'A', None),
            ("ABCBD", 'D', Some('B')),
            ("ABA", 'A', None),
            ("ABAC", 'C', Some('A')),
            // What was numbered last was never marked.
            ("ABC", 'B', Some('A')),
            ("", 'A', None),
            ("AB", 'X', None),
        ] {
            assert_eq!(before(&history(ran), &digest(now)).cloned(), expected.map(digest), "{ran}, {now}");
        }
    }
}
