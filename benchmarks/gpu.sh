#!/usr/bin/env bash
# What this project does on a CUDA machine, in at most nine minutes and without a network.
#
#   benchmarks/gpu.sh OUT [--wheels FOLDER] [further arguments of gpu.py]
#
# Needs Python >= 3.11 with torch >= 2.10. With --wheels, what else is missing is taken from there;
# `benchmarks/gpu_wheels.sh FOLDER` collects it where there is a network. OUT/gpu.md and OUT/gpu.json
# are written after every step, so that a run cut short still tells something.
set -euo pipefail
out=${1:?a folder for the results}
shift
cd "$(dirname "$0")/.."
if [ "${1:-}" = --wheels ]; then
  site=$(mktemp -d)
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$2"/*.whl
  export PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}" PATH="$site/bin:$PATH"
  shift 2
fi
export PYTHONUNBUFFERED=1
exec python3 benchmarks/gpu.py "$out" "$@"
