#!/bin/sh
# Runs the tests, as `npm test` does: unit, engine, box and cluster, one after the other. Installs what is missing first.
# The last line is `N passed, N failed, N skipped`; a test file that could not run counts as one failed.
# Arguments go to vitest, in the place of these four suites: `npm test -- --project unit`.
set -eu
cd "$(dirname "$0")/.."

# npm writes this file last: without it an installation is missing or unfinished.
if [ ! -e node_modules/.package-lock.json ]; then
  echo "test: node_modules is missing: npm ci"
  if ! npm ci; then
    echo "test: nothing was tested: npm ci failed"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
  fi
fi
# The project's own Node, which may be newer than the machine's.
PATH=$PWD/node_modules/.bin:$PATH
export PATH

# Every test has a checkout of its own: what Node has compiled for one serves the others.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
results=$work/results.json
export NODE_COMPILE_CACHE="$work/compiled"
code=0
[ "$#" -gt 0 ] || set -- --project unit --project engine --project box --project cluster
vitest run --reporter=default --reporter=json --outputFile.json="$results" "$@" || code=$?
node test/support/count.ts "$results" "$code" || code=1
exit "$code"
