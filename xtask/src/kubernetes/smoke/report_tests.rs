use super::*;

fn report() -> Report {
    let mismatch = "runs a<b> & \"c\", the record says d|e";
    let failed = Check {
        details: vec!["log of engine: \u{1b}[31mred\u{1b}[0m".to_owned()],
        ..Check::failed("identity", "engine", "mismatch", mismatch, 1.25)
    };
    let checks = vec![Check::ok("rollout", "", 1.0), failed];
    let workload = WorkloadReport {
        namespace: "demon".into(),
        kind: "Deployment",
        name: "engine".into(),
        components: vec!["engine".into()],
        pods: 2,
        ready_seconds: Some(3),
        checks,
    };
    Report {
        namespaces: vec!["demon".into()],
        context: "kind".into(),
        seconds: 1.5,
        steps: vec![Step { name: "rollout", seconds: 1.0 }],
        checks: vec![Check::ok("registry", "engine", 0.1)],
        workloads: vec![workload],
        ..Report::default()
    }
}

#[test]
fn junit_has_a_suite_per_workload_and_a_case_per_check() {
    let xml = report().to_junit();
    assert_eq!(
        xml,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <testsuites name=\"smoke\" tests=\"3\" failures=\"1\" errors=\"0\" time=\"1.500\">\n  \
         <testsuite name=\"demon\" tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"0\">\n    \
         <testcase name=\"registry engine\" classname=\"demon\" time=\"0.100\"/>\n  </testsuite>\n  \
         <testsuite name=\"deployment/engine\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\">\n    \
         <testcase name=\"rollout\" classname=\"deployment/engine\" time=\"1.000\"/>\n    \
         <testcase name=\"identity engine\" classname=\"deployment/engine\" time=\"1.250\">\n      \
         <failure type=\"mismatch\" message=\"runs a&lt;b&gt; &amp; &quot;c&quot;, the record says d|e\">\
         log of engine: \u{fffd}[31mred\u{fffd}[0m</failure>\n    </testcase>\n  </testsuite>\n</testsuites>\n"
    );
}

#[test]
fn markdown_shows_the_table_and_what_failed() {
    let text = report().to_markdown();
    assert!(text.starts_with("### Smoke failed: namespace `demon`, 1.5 s\n"), "{text}");
    assert!(text.contains("\n| deployment/engine | engine | 2 | ok | mismatch | - | 3 s |\n"), "{text}");
    assert!(
        text.contains(
            "- `deployment/engine` identity engine: **mismatch**: runs a&lt;b> & \"c\", the record says d\\|e"
        ),
        "{text}"
    );
}

#[test]
fn json_holds_every_check() {
    let value: serde_json::Value = serde_json::from_str(&report().to_json()).unwrap();
    assert_eq!(value["workloads"][0]["checks"][1]["verdict"], "mismatch");
    assert_eq!(value["workloads"][0]["readySeconds"], 3);
    assert_eq!(value["passed"], false);
    assert!(value["checks"][0].get("details").is_none());
}
