#!/bin/sh
# Runs the project's own Node (npm's arch package), or the one on PATH where the platform has none.
set -eu
node=$(cd -- "$(dirname -- "$0")/.." && pwd)/node_modules/.bin/node
[ -x "$node" ] || node=node
exec "$node" "$@"
