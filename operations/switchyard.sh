#!/bin/sh
# Starts Switchyard's command line on this project's Node, after installing what package-lock.json asks for.
set -eu

say() { echo "switchyard: $*" >&2; }
die() {
  say "$@"
  exit 1
}

# The checkout, also through a symlink (npm links programs, people link commands).
self=$0
while [ -L "$self" ]; do
  link=$(readlink "$self")
  case $link in
    /*) self=$link ;;
    *) self=$(dirname "$self")/$link ;;
  esac
done
root=$(CDPATH='' cd -- "$(dirname -- "$self")/.." && pwd -P)
node=$root/node_modules/.bin/node

# npm writes this file when an install is done; one older than package-lock.json belongs to another.
installed=$root/node_modules/.package-lock.json
missing() {
  if [ ! -e "$installed" ]; then
    echo "no packages are installed yet"
  elif [ -n "$(find "$root/package-lock.json" -newer "$installed")" ]; then
    echo "package-lock.json is newer than the installed packages"
  fi
}

# Two installs at once would delete each other's files: one waits for the other, and looks again.
lock=$root/.switchyard/install.lock
hold_lock() {
  mkdir -p "$root/.switchyard"
  waited=0
  until mkdir "$lock" 2>/dev/null; do
    owner=$(cat "$lock/pid" 2>/dev/null || true)
    if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null || [ -z "$owner" ] && [ "$waited" -ge 5 ]; then
      rm -rf "$lock"
      continue
    fi
    [ "$waited" -lt 600 ] || die "process $owner has been installing for ten minutes; if it is gone: rm -r $lock"
    waited=$((waited + 1))
    sleep 1
  done
  trap 'rm -rf "$lock"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  echo $$ >"$lock/pid"
}

install() {
  hold_lock
  why=$(missing)
  if [ -n "$why" ]; then
    # npm would empty the folder behind the link, which another checkout uses.
    [ ! -L "$root/node_modules" ] || die "$why, and node_modules is a link: npm ci in $(readlink "$root/node_modules")/.."
    command -v npm >/dev/null 2>&1 || die "$why, and npm is not on PATH: install Node 24 (https://nodejs.org)"
    say "$why: npm ci"
    (cd "$root" && npm ci --prefer-offline --no-audit --no-fund --loglevel=error >&2) || die "npm ci failed, see above"
    # Where nothing had to change npm may leave the file's time as it was.
    touch "$installed"
  fi
  rm -rf "$lock"
  trap - EXIT INT TERM
}

[ -z "$(missing)" ] || install

if [ ! -x "$node" ]; then
  # No package brings Node for this kind of machine: the machine's own must do.
  node=$(command -v node) || die "Node is not on PATH: install Node 24 (https://nodejs.org)"
  "$node" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 18) ? 0 : 1)' ||
    die "Node 22.18 or newer is needed, and $node is $("$node" --version): install Node 24 (https://nodejs.org)"
fi
# The program and the plugins inherit it: what was compiled once starts in half the time.
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE:-$root/.switchyard/compiled}"
exec "$node" "$root/operations/main.ts" "$@"
