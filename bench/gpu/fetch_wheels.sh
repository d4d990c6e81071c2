#!/usr/bin/env bash
# Downloads what a machine with torch and transformers may lack (3 MB) into bench/gpu/wheels, in the versions of .venv.
# Usage: bench/gpu/fetch_wheels.sh [Python version of that machine, default 3.12]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
needed=$("$python" -c '
from importlib.metadata import version
print(*(f"{name}=={version(name)}" for name in
        ("pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions")))')
# shellcheck disable=SC2086
"$python" -m pip download --quiet --no-deps --only-binary=:all: --implementation cp --python-version "${1:-3.12}" \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --dest "$here/wheels" $needed
