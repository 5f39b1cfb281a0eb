#!/usr/bin/env bash
# A method's chain on this machine, with its learner under torchrun and without a report. Run it in the project's folder:
#   scripts/torchrun.sh jest                       a rank for each GPU
#   RANKS=2 scripts/torchrun.sh jest --env=quick   two ranks; what follows the method goes to every `kedro run`
# Stages that are done are not done again, and a training continues: after a failure give the same command again.
set -euo pipefail

method=${1:?which method? For instance: scripts/torchrun.sh jest}
shift

# `settings`: what the learner would refuse shows before a reference is trained for it.
kedro run --pipelines="$method" --tags=before_learner,settings "$@"
torchrun --nproc-per-node="${RANKS:-gpu}" --no-python kedro run --pipelines="$method" --nodes="$method.check,$method.train" "$@"
kedro run --pipelines="$method" --nodes="$method.evaluate" "$@"
