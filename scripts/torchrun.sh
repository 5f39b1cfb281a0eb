#!/usr/bin/env bash
# A method's chain on this machine, with its learner under torchrun. Run it in the project's folder:
#   scripts/torchrun.sh jest                       a rank for each GPU
#   RANKS=2 scripts/torchrun.sh jest --env=quick   two ranks; what follows the method goes to every `kedro run`
# Stages that are done are not done again, and a training continues: after a failure give the same command again.
set -euo pipefail

method=${1:?which method? For instance: scripts/torchrun.sh jest}
shift

for stage in ingest reference check embed; do
  kedro run --pipelines="$stage" "$@"
done
torchrun --nproc-per-node="${RANKS:-gpu}" --no-python kedro run --pipelines=learner --namespaces="$method" "$@"
kedro run --pipelines=evaluate --namespaces="$method" "$@"
