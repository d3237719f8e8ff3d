#!/bin/sh
# The local box of development: the same verbs as on a real box, run from source, its state inside the checkout.
set -eu
checkout=$(cd -- "${0%/*}/../.." && pwd)
node=$checkout/node_modules/.bin/node
[ -x "$node" ] || node=node
cd -- "$checkout"
SWITCHYARD_BOX_ROOT=${SWITCHYARD_BOX_ROOT:-$checkout/.switchyard/box}
# A verb starts three processes of this program in a row; compiled once, each starts in half the time.
NODE_COMPILE_CACHE=${NODE_COMPILE_CACHE:-$checkout/.switchyard/compiled}
export SWITCHYARD_BOX_ROOT NODE_COMPILE_CACHE
exec "$node" --disable-warning=ExperimentalWarning "$checkout/components/box/toolkit/main.ts" "$@"
