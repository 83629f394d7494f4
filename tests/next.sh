#!/bin/sh
# Unit tests on Python 3.13 and the next Django release, where that Python is there; says so and passes where it is not.
set -eu
cd "$(dirname "$0")/.."
found=""
for candidate in python3.13 "$HOME"/.pyenv/versions/3.13*/bin/python /usr/local/bin/python3.13; do
  if "$candidate" -c "import venv" >/dev/null 2>&1; then found=$candidate; break; fi
done
if [ -z "$found" ]; then echo "skipped: no Python 3.13 here"; exit 0; fi
if ! cmp -s requirements/next.txt .venv-next/installed.txt; then
  "$found" -m venv --clear .venv-next
  .venv-next/bin/python -m pip install --quiet --require-hashes -r requirements/next.txt
  cp requirements/next.txt .venv-next/installed.txt
fi
.venv-next/bin/python -c 'import sys, django; print("Python", sys.version.split()[0], "Django", django.get_version())'
exec .venv-next/bin/python -m pytest -q tests/unit
