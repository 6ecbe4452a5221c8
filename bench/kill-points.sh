#!/usr/bin/env bash
# Kills publications at one request after the other, and deployments at one moment after the other, and looks whether
# what is left is consistent: no release of what is missing, nothing marked that was not proven. `bench/kill-points.sh
# 1000` kills a thousand of each; the deployments take about four seconds a kill. Needs a registry at LAB_REGISTRY,
# docker-registry, skopeo, oras and the cluster of KUBECONFIG.
set -euo pipefail
cd "$(dirname "$0")/.."
export XTASK_KILL_POINTS=${1:-100}
cargo test --package xtask --test engine --locked -- --ignored a_kill_at_any --nocapture --test-threads 1
