# shellcheck shell=sh
# Read by `sh -s` on a box, with sha256 set before it: brings the toolkit there, and the Node it runs on. It may be
# killed at any line and run again: a version is whole or not there, and the command changes over in one rename.
set -eu
: "${sha256:?}"

ensure_node() {
  command -v node >/dev/null 2>&1 && return
  export DEBIAN_FRONTEND=noninteractive
  if ! apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends nodejs >/dev/null 2>&1; then
    apt-get -o DPkg::Lock::Timeout=120 update >/dev/null
    apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends nodejs >/dev/null
  fi
}

install_toolkit() {
  version=/opt/switchyard/toolkit/$sha256
  if [ ! -f "$version/switchyard-box.cjs" ]; then
    ensure_node
    mkdir -p "$version"
    base64 -d | gunzip >"$version/partial"
    echo "$sha256  $version/partial" | sha256sum --check --quiet
    mv "$version/partial" "$version/switchyard-box.cjs"
  fi
  {
    echo '#!/bin/sh'
    # shellcheck disable=SC2016 # expanded when the command runs
    echo '[ "$(id -u)" = 0 ] || exec sudo -n "$0" "$@"'
    echo "exec node $version/switchyard-box.cjs \"\$@\""
  } >/usr/local/bin/switchyard-box.partial
  chmod 0755 /usr/local/bin/switchyard-box.partial
  mv /usr/local/bin/switchyard-box.partial /usr/local/bin/switchyard-box
  forget_old_versions
  echo "{\"toolkit\":\"$sha256\"}"
}

# A baker that runs at this moment runs on the version it started with: what was there in the last week stays.
forget_old_versions() {
  find /opt/switchyard/toolkit -mindepth 1 -maxdepth 1 -type d -mtime +7 ! -path "$version" -exec rm -rf {} +
}
