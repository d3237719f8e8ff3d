#!/bin/sh
# The local box of development: the same verbs as on a real box, run from source, its state inside the checkout.
set -eu
checkout=$(cd -- "$(dirname -- "$0")/../.." && pwd)
node=$checkout/node_modules/.bin/node
[ -x "$node" ] || node=node
cd -- "$checkout"
SWITCHYARD_BOX_ROOT=${SWITCHYARD_BOX_ROOT:-$checkout/.switchyard/box}
export SWITCHYARD_BOX_ROOT
exec "$node" --disable-warning=ExperimentalWarning "$checkout/components/box/toolkit/main.ts" "$@"
