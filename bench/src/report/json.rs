//! The report for machines.

use anyhow::Result;
use serde_json::{Value, json};

use super::Report;
use crate::scenario::{Bound, Scenario, Series, Unit};

/// One JSON object, indented.
pub(super) fn text(report: &Report) -> Result<String> {
    let costs = report.costs.as_ref().map(|costs| {
        let dependencies: Vec<_> = costs
            .dependencies
            .iter()
            .map(|one| json!({"name": one.name, "own": one.own, "withItsOwn": one.with_its_own, "crates": one.crates}))
            .collect();
        let heaviest: Vec<_> = costs
            .heaviest
            .iter()
            .map(|one| json!({"name": one.name, "own": one.own, "broughtBy": one.brought_by}))
            .collect();
        json!({
            "crates": costs.crates, "total": costs.total, "program": costs.program, "dependencies": dependencies, "heaviest": heaviest,
        })
    });
    let not_run: Vec<_> = report
        .not_run
        .iter()
        .map(|one| json!({"group": one.group.to_string(), "what": one.what, "reason": one.reason}))
        .collect();
    let machine = &report.machine;
    let value = json!({
        "machine": {
            "cores": machine.cores,
            "loadBefore": machine.load,
            "target": machine.triple,
            "rustc": machine.rustc,
            "engine": machine.engine,
        },
        "options": report.options,
        "scenarios": report.scenarios.iter().map(scenario).collect::<Vec<_>>(),
        "xtaskCompile": costs,
        "notRun": not_run,
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn scenario(scenario: &Scenario) -> Value {
    let ours = scenario.ours.median();
    let peers: Vec<_> = scenario
        .peers
        .iter()
        .map(|peer| {
            let theirs = peer.series.median();
            let mut value = series(&peer.series);
            value["ratio"] = json!(ours / theirs);
            if let Some(bound) = peer.bound {
                let limit = bound.limit(theirs);
                value["target"] = match bound {
                    Bound::Times(factor) => json!({"times": factor, "limit": limit}),
                    Bound::Plus(more) => json!({"plus": more, "limit": limit}),
                };
                value["reached"] = json!(ours <= limit);
            }
            value
        })
        .collect();
    let mut value = json!({
        "group": scenario.group.to_string(),
        "scenario": scenario.name,
        "unit": match scenario.unit { Unit::Seconds => "s", Unit::Bytes => "B" },
        "ours": series(&scenario.ours),
        "peers": peers,
        "note": scenario.note,
    });
    if let Some(limit) = scenario.at_most {
        value["atMost"] = json!(limit);
        value["reached"] = json!(ours <= limit);
    }
    value
}

fn series(series: &Series) -> Value {
    json!({"label": series.label, "median": series.median(), "runs": series.values, "cpu": series.cpu})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_judged() {
        let value: Value = serde_json::from_str(&text(&super::super::example()).unwrap()).unwrap();
        let cold = &value["scenarios"][0];
        assert_eq!(cold["ours"]["runs"], json!([21.0]));
        assert_eq!(cold["peers"][0]["reached"], json!(true));
        assert_eq!(cold["peers"][1].get("reached"), None);
        assert_eq!(value["scenarios"][1]["reached"], json!(false));
        assert_eq!(value["notRun"][0]["reason"], json!("no engine"));
    }
}
