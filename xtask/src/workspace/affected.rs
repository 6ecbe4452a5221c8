//! Which components a change touches: those whose inputs differ between two states.

use std::collections::BTreeMap;

use super::inputs::Inputs;

/// Why a component counts as affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It did not exist before.
    New,
    Changed(Vec<String>),
    /// The old state could not be read, so all count.
    Unsure(String),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::New => formatter.write_str("new"),
            Reason::Unsure(why) => write!(formatter, "cannot tell: {why}"),
            Reason::Changed(what) => match what.as_slice() {
                [] => formatter.write_str("changed"),
                [one] => formatter.write_str(one),
                [first, rest @ ..] => write!(formatter, "{first} and {} more", rest.len()),
            },
        }
    }
}

/// The components of `new` whose inputs are not those of `old`, with the reason.
pub(crate) fn affected(new: &BTreeMap<String, Inputs>, old: &BTreeMap<String, Inputs>) -> BTreeMap<String, Reason> {
    new.iter()
        .filter_map(|(name, inputs)| match old.get(name) {
            None => Some((name.clone(), Reason::New)),
            Some(old) if old == inputs => None,
            Some(old) => Some((name.clone(), Reason::Changed(inputs.differences(old)))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_inputs_are_left_out_and_new_ones_are_in() {
        let inputs = BTreeMap::from([("a".to_owned(), Inputs::default())]);
        assert!(affected(&inputs, &inputs).is_empty());
        assert_eq!(affected(&inputs, &BTreeMap::new())["a"], Reason::New);
        assert_eq!(Reason::Changed(vec!["x".into(), "y".into()]).to_string(), "x and 1 more");
    }
}
