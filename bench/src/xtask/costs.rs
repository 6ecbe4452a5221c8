//! What each direct dependency costs: its own compile, and that of all crates only it brings.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::timings::Unit;

/// One direct dependency.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cost {
    /// Its name.
    pub(crate) name: String,
    /// Compiling it alone.
    pub(crate) own: f64,
    /// Compiling it and what would not be compiled without it.
    pub(crate) with_its_own: f64,
    /// How many crates that are.
    pub(crate) crates: usize,
}

/// One crate, whoever brings it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Crate {
    /// Its name.
    pub(crate) name: String,
    /// Compiling it alone.
    pub(crate) own: f64,
    /// The direct dependencies that need it.
    pub(crate) brought_by: Vec<String>,
}

/// The whole compile, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Costs {
    /// Crates compiled.
    pub(crate) crates: usize,
    /// Sum over all of them; more than the wall time, as several compile at once.
    pub(crate) total: f64,
    /// The program itself.
    pub(crate) program: f64,
    /// Its direct dependencies, the dearest first.
    pub(crate) dependencies: Vec<Cost>,
    /// The dearest crates of all.
    pub(crate) heaviest: Vec<Crate>,
}

/// How many crates are called the dearest.
const HEAVIEST: usize = 12;

type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Combines what cargo measured with the dependency graph of `cargo metadata`.
///
/// # Errors
/// The metadata have another form, or no package `program`.
pub(super) fn costs(metadata: &Value, program: &str, units: &[Unit]) -> Result<Costs> {
    let packages = packages(metadata).context("`cargo metadata` lists no packages")?;
    let graph = graph(metadata).context("`cargo metadata` resolves no dependencies")?;
    let (root, _) =
        packages.iter().find(|(_, (name, _))| *name == program).with_context(|| format!("no package `{program}`"))?;
    let mut seconds: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for unit in units {
        *seconds.entry((&unit.name, &unit.version)).or_default() += unit.seconds;
    }
    // Crates that are in the graph for another platform were not compiled and have no time.
    let time = |id: &str| packages.get(id).and_then(|key| seconds.get(key)).copied();
    let direct: Vec<&str> = graph.get(root).into_iter().flatten().copied().filter(|id| time(id).is_some()).collect();
    let reached = reachable(&graph, root, None);
    let mut dependencies: Vec<_> = direct
        .iter()
        .map(|id| {
            let without = reachable(&graph, root, Some(id));
            let only: Vec<f64> = reached.difference(&without).filter_map(|id| time(id)).collect();
            Cost {
                name: packages[id].0.to_owned(),
                own: time(id).unwrap_or_default(),
                with_its_own: only.iter().fold(0.0, |sum, seconds| sum + seconds),
                crates: only.len(),
            }
        })
        .collect();
    dependencies.sort_by(|a, b| b.with_its_own.total_cmp(&a.with_its_own).then(b.own.total_cmp(&a.own)));
    let needs: Vec<_> = direct.iter().map(|id| (*id, reachable(&graph, id, None))).collect();
    let mut heaviest: Vec<_> = reached
        .iter()
        .filter_map(|id| {
            let users = needs.iter().filter(|(user, needed)| user == id || needed.contains(id));
            let brought_by = users.map(|(user, _)| packages[user].0.to_owned()).collect();
            Some(Crate { name: packages.get(id)?.0.to_owned(), own: time(id)?, brought_by })
        })
        .collect();
    heaviest.sort_by(|a, b| b.own.total_cmp(&a.own));
    heaviest.truncate(HEAVIEST);
    Ok(Costs {
        crates: seconds.len(),
        total: seconds.values().sum(),
        program: time(root).unwrap_or_default(),
        dependencies,
        heaviest,
    })
}

/// Everything reachable from `root`, without its direct edge to `cut`.
fn reachable<'a>(graph: &Graph<'a>, root: &str, cut: Option<&str>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut waiting: Vec<&'a str> =
        graph.get(root).into_iter().flatten().copied().filter(|id| Some(*id) != cut).collect();
    while let Some(id) = waiting.pop() {
        if found.insert(id) {
            waiting.extend(graph.get(id).into_iter().flatten());
        }
    }
    found
}

/// Name and version by package id.
fn packages(metadata: &Value) -> Option<BTreeMap<&str, (&str, &str)>> {
    let list = metadata.get("packages")?.as_array()?;
    list.iter()
        .map(|package| Some((package["id"].as_str()?, (package["name"].as_str()?, package["version"].as_str()?))))
        .collect()
}

/// Normal and build dependencies by package id.
fn graph(metadata: &Value) -> Option<Graph<'_>> {
    let is_built = |dependency: &Value| {
        let kinds = dependency["dep_kinds"].as_array();
        kinds.is_none_or(|kinds| kinds.iter().any(|kind| kind["kind"].as_str() != Some("dev")))
    };
    let nodes = metadata.get("resolve")?.get("nodes")?.as_array()?;
    nodes
        .iter()
        .map(|node| {
            let dependencies = node["deps"].as_array()?.iter().filter(|one| is_built(one));
            Some((node["id"].as_str()?, dependencies.filter_map(|one| one["pkg"].as_str()).collect()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_only_one_brings_is_its_own() {
        let package = |name: &str| json!({"id": name, "name": name, "version": "1.0.0"});
        let to = |name: &str, kind: Option<&str>| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let packages = ["x", "a", "b", "c", "d", "e", "f"].map(package);
        // x -> a -> c, d; x -> b -> c; x -dev-> e; f is for another platform.
        let metadata = json!({
            "packages": packages,
            "resolve": {"nodes": [
                {"id": "x", "deps": [to("a", None), to("b", None), to("e", Some("dev")), to("f", None)]},
                {"id": "a", "deps": [to("c", None), to("d", Some("build"))]},
                {"id": "b", "deps": [to("c", None)]},
                {"id": "c", "deps": []}, {"id": "d", "deps": []}, {"id": "e", "deps": []}, {"id": "f", "deps": []},
            ]},
        });
        let unit = |name: &str, seconds| Unit { name: name.into(), version: "1.0.0".into(), seconds };
        let units = [unit("x", 5.0), unit("a", 1.0), unit("a", 0.5), unit("b", 2.0), unit("c", 4.0), unit("d", 3.0)];
        let costs = costs(&metadata, "x", &units).unwrap();
        let cost = |name: &str, own, with_its_own, crates| Cost { name: name.into(), own, with_its_own, crates };
        assert_eq!(costs.dependencies, [cost("a", 1.5, 4.5, 2), cost("b", 2.0, 2.0, 1)]);
        let brought = |name: &str, own, by: &[&str]| Crate {
            name: name.into(),
            own,
            brought_by: by.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(costs.heaviest[..2], [brought("c", 4.0, &["a", "b"]), brought("d", 3.0, &["a"])]);
        assert_eq!((costs.crates, costs.total, costs.program), (5, 15.5, 5.0));
    }
}
