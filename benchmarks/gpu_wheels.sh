#!/usr/bin/env bash
# Wheels that a CUDA machine without a network lacks: gpu_wheels.sh FOLDER, in this project's root.
# For Linux x86-64, Python 3.12, where torch, torchvision, pytorch-lightning, torchmetrics, timm,
# scikit-learn, pandas, onnx, onnxruntime, matplotlib and pytest are installed. About 23 MB. Versions are those
# of the environment this runs in.
set -euo pipefail
folder=${1:?a folder}
mkdir -p "$folder"
rm -f "$folder"/*.whl
version() { python -m pip show "$1" 2>/dev/null | awk '/^Version/ {print "==" $2}'; }
platforms=()
for p in manylinux_2_{34,28,27,26,24,17}_x86_64 manylinux2014_x86_64 manylinux1_x86_64; do
  platforms+=(--platform "$p")
done
for name in opacus dp-accounting lpips diffusers openpyxl et_xmlfile pydantic pydantic-core \
  annotated-types typing-extensions typing-inspection imagehash PyWavelets cma dm-tree typer \
  importlib-metadata pytorch-metric-learning cryptography cffi pycparser pytest pytest-randomly \
  jsonschema referencing rpds-py jsonschema-specifications; do
  python -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    "${platforms[@]}" -d "$folder" "$name$(version "$name")"
done
python -m pip wheel -q --no-deps -w "$folder" . # the project itself, for its entry points
du -sh "$folder"
