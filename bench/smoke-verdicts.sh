#!/bin/sh
# Writes the table of scenario, verdict and time beside `kubectl rollout status` into docs/smoke.md.
# Needs a cluster named by KUBECONFIG, a registry at LAB_REGISTRY or localhost:5000 that it pulls from, and skopeo.
set -eu
cd "$(dirname "$0")/.."
table=$(mktemp)
trap 'rm -f "$table"' EXIT
SMOKE_VERDICTS=$table cargo test --quiet -p xtask --test engine -- --ignored --nocapture verdicts_beside_kubectl
awk -v table="$table" '
    /^<!-- verdicts -->$/ { print; while ((getline line < table) > 0) print line; skip = 1 }
    /^<!-- end of verdicts -->$/ { skip = 0 }
    !skip && !/^<!-- verdicts -->$/ { print }
' docs/smoke.md > docs/smoke.md.new
mv docs/smoke.md.new docs/smoke.md
