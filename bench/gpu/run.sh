#!/usr/bin/env bash
# Runs gpu_check.py, in under ten minutes. Needs torch >= 2.11 and transformers; what else is missing it takes from bench/gpu/wheels.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
if ! "$python" -c 'import pydantic' 2>/dev/null; then
    wheels=("$here"/wheels/*.whl)
    if [ ! -e "${wheels[0]}" ]; then
        echo "error: pydantic is missing, and so is bench/gpu/wheels: run bench/gpu/fetch_wheels.sh where pip works" >&2
        exit 1
    fi
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    for wheel in "${wheels[@]}"; do "$python" -m zipfile -e "$wheel" "$site"; done
    export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
fi
nvidia-smi --query-gpu=name,memory.total,memory.used,driver_version --format=csv,noheader 2>/dev/null || echo "no GPU: a rehearsal on the CPU"
PYTHONUNBUFFERED=1 timeout 560 "$python" "$here/gpu_check.py" "$@"
