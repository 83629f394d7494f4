#!/bin/sh
# Renews the lock files: exact versions with hashes, for every platform and Python from 3.11 on, without any index
# address in them. Needs uv (`pip install uv`). Review the diff before you commit it.
set -eu
cd "$(dirname "$0")/.."
lock() { uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate "$@"; }
lock --python-version 3.11 -c requirements/lts.in pyproject.toml -o requirements/run.txt
lock --python-version 3.11 -c requirements/lts.in pyproject.toml --group test --group check -o requirements/dev.txt
lock --python-version 3.13 -c requirements/next.in pyproject.toml --group test -o requirements/next.txt
lock --python-version 3.11 requirements/scan.in -o requirements/scan.txt
lock --python-version 3.11 -c requirements/lts.in -c requirements/run.txt requirements/bench.in -o requirements/bench.txt
