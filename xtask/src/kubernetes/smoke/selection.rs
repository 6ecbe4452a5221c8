//! Which workloads and Services are looked at: `--selector` and `--exclude`.

use std::collections::BTreeMap;

use crate::kubernetes::objects::Workload;

/// Label requirements that all must hold, as kubectl's `--selector` writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    /// `key=a`, `key in (a, b)`; with false, `key!=a`, `key notin (a, b)`.
    In(String, Vec<String>, bool),
    /// `key`; with false, `!key`.
    Exists(String, bool),
}

impl Selector {
    /// Reads `app=shop,tier!=db,team in (a, b),!legacy`.
    ///
    /// # Errors
    /// It is none of these.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let end = match (rest.find(','), rest.find('(')) {
                (Some(comma), Some(open)) if open < comma => {
                    let close = rest.find(')').ok_or_else(|| format!("`{text}` lacks a `)`"))?;
                    rest[close..].find(',').map_or(rest.len(), |comma| close + comma)
                }
                (Some(comma), _) => comma,
                (None, _) => rest.len(),
            };
            requirements.push(requirement(rest[..end].trim()).ok_or_else(|| {
                format!("`{}` is no label requirement; write for example `app=shop` or `tier!=db`", rest[..end].trim())
            })?);
            rest = rest[end..].trim_start_matches(',').trim_start();
        }
        Ok(Selector(requirements))
    }

    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values, wanted) => {
                labels.get(key).is_some_and(|value| values.contains(value)) == *wanted
            }
            Requirement::Exists(key, wanted) => labels.contains_key(key) == *wanted,
        })
    }
}

fn requirement(text: &str) -> Option<Requirement> {
    let key = |key: &str| {
        let is_key = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let key = key.trim();
        (!key.is_empty() && key.chars().all(is_key)).then(|| key.to_owned())
    };
    if let Some((left, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let (name, how) = left.trim().rsplit_once(char::is_whitespace)?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        let wanted = match how {
            "in" => true,
            "notin" => false,
            _ => return None,
        };
        return Some(Requirement::In(key(name)?, values, wanted));
    }
    if let Some((name, value)) = text.split_once("!=") {
        return Some(Requirement::In(key(name)?, vec![value.trim().to_owned()], false));
    }
    if let Some((name, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(Requirement::In(key(name)?, vec![value.trim().to_owned()], true));
    }
    match text.strip_prefix('!') {
        Some(name) => Some(Requirement::Exists(key(name)?, false)),
        None => Some(Requirement::Exists(key(text)?, true)),
    }
}

/// What is looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// By labels of the workload.
    pub(crate) selector: Option<Selector>,
    /// `NAME` or `KIND/NAME`; a final `*` stands for any ending.
    pub(crate) exclude: Vec<String>,
}

impl Selection {
    /// Whether `workload` is looked at.
    pub(crate) fn has(&self, workload: &Workload) -> bool {
        let is_selected = self.selector.as_ref().is_none_or(|selector| selector.holds(&workload.metadata.labels));
        is_selected && !self.excludes(workload.kind.name(), &workload.metadata.name)
    }

    /// Whether an object is left out.
    pub(crate) fn excludes(&self, kind: &str, name: &str) -> bool {
        self.exclude.iter().any(|pattern| {
            let (of, pattern) = pattern.split_once('/').unwrap_or((kind, pattern));
            let is_name = match pattern.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => name == pattern,
            };
            is_name && of.eq_ignore_ascii_case(kind)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_read_as_kubectl_reads_them() {
        let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let shop: BTreeMap<String, String> = labels(&[("app", "shop"), ("tier", "web")]);
        for (text, expected) in [
            ("app=shop", true),
            ("app==shop,tier!=db", true),
            ("app = shop , tier in (web, db)", true),
            ("tier notin (web)", false),
            ("legacy!=yes", true),
            ("app", true),
            ("!app", false),
            ("app.kubernetes.io/name=x", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().holds(&shop), expected, "{text}");
        }
        for text in ["=x", "a b", "tier in (a", "tier of (a)"] {
            assert!(Selector::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn excludes_are_names_with_or_without_kind() {
        let selection = Selection { exclude: vec!["job/seed*".into(), "db".into()], ..Selection::default() };
        assert!(selection.excludes("Job", "seed-3") && selection.excludes("StatefulSet", "db"));
        assert!(!selection.excludes("Deployment", "seed-3") && !selection.excludes("Service", "db-ro"));
    }
}
