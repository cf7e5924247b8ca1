#!/usr/bin/env bash
# Fuzz every reader of strangers' files for a bounded time: benchmarks/fuzz.sh [SECONDS EACH] [FOLDER]
# Corpus, findings and logs stay in FOLDER; a second run goes on from its corpus. Needs Python 3.11.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-150} folder=${2:-fuzzing}
mkdir -p "$folder"
if ! python -c 'import atheris' 2>/dev/null; then
  [ -d "$folder/venv" ] || { python3.11 -m venv "$folder/venv" && "$folder/venv/bin/pip" install --quiet atheris -e .; }
  PATH=$PWD/$folder/venv/bin:$PATH
fi
found=0
for target in model archive record altered-record policy configuration; do
  mkdir -p "$folder/$target-findings"
  PYTHONPATH=.${PYTHONPATH:+:$PYTHONPATH} nice python benchmarks/fuzz.py "$target" "$folder/$target" \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -max_len=65536 -print_final_stats=1 \
    -artifact_prefix="$folder/$target-findings/" >"$folder/$target.log" 2>&1 || found=1
  echo "$target: $(grep -oE 'cov: [0-9]+' "$folder/$target.log" | tail -1)," \
    "$(grep -oE 'number_of_executed_units: [0-9]+' "$folder/$target.log" | tail -1)," \
    "$(find "$folder/$target-findings" -type f | wc -l) findings"
done
exit $found
