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
  program=$version/switchyard-box.cjs
  # By what it holds and not by its name: a power cut may leave a file of that name with nothing in it.
  if ! is_whole "$program"; then
    ensure_node
    mkdir -p "$version"
    base64 -d | gunzip >"$version/partial"
    echo "$sha256  $version/partial" | sha256sum --check --quiet
    sync "$version/partial"
    mv "$version/partial" "$program"
  fi
  {
    echo '#!/bin/sh'
    # shellcheck disable=SC2016 # expanded when the command runs
    echo '[ "$(id -u)" = 0 ] || exec sudo -n "$0" "$@"'
    # Node runs an empty file without a word, and exit 0 would be taken for done. 127: there is no such command.
    echo "echo '$sha256  $program' | sha256sum --check --status 2>/dev/null || {"
    echo "  echo 'switchyard: the toolkit on this box is damaged: the next update brings it again' >&2"
    echo '  exit 127'
    echo '}'
    echo "exec node $program \"\$@\""
  } >/usr/local/bin/switchyard-box.partial
  chmod 0755 /usr/local/bin/switchyard-box.partial
  sync /usr/local/bin/switchyard-box.partial
  mv /usr/local/bin/switchyard-box.partial /usr/local/bin/switchyard-box
  forget_old_versions
  echo "{\"toolkit\":\"$sha256\"}"
}

is_whole() {
  echo "$sha256  $1" | sha256sum --check --status 2>/dev/null
}

# A baker that runs at this moment runs on the version it started with: what was there in the last week stays.
forget_old_versions() {
  find /opt/switchyard/toolkit -mindepth 1 -maxdepth 1 -type d -mtime +7 ! -path "$version" -exec rm -rf {} +
}
