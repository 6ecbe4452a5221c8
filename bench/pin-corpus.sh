#!/bin/sh
# Pins all manifests below a folder, in memory, each with its images replaced by ours. Says which files are
# refused and why, and which changed in more than their images; of these there should be none.
#
#     bench/pin-corpus.sh ~/src/argo-cd
set -eu
if [ $# != 1 ] || [ ! -d "$1" ]; then
  echo "usage: $0 FOLDER" >&2
  exit 2
fi
XTASK_CORPUS=$(cd "$1" && pwd)
export XTASK_CORPUS
cd "$(dirname "$0")/.."
exec cargo test --quiet --package xtask --lib -- --nocapture manifests_of_others
