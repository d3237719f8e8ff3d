#!/bin/sh
# Checks every shell file of the repository with shellcheck; fetches it from Debian's packages where it is missing.
set -eu
cd "$(dirname -- "$0")/.."

if ! command -v shellcheck >/dev/null 2>&1; then
  command -v apt-get >/dev/null 2>&1 || {
    echo "shellcheck is not on PATH: install it (https://www.shellcheck.net) and try again" >&2
    exit 1
  }
  version=$(apt-cache policy shellcheck | sed -n 's/^ *Candidate: *//p')
  case $version in
    '' | '(none)')
      echo "shellcheck is not on PATH and apt does not know it: apt-get update, then try again" >&2
      exit 1
      ;;
  esac
  # Unpacked, not installed: this needs no root and changes nothing on the machine.
  cache=${XDG_CACHE_HOME:-$HOME/.cache}/switchyard/shellcheck-$version
  if [ ! -x "$cache/usr/bin/shellcheck" ]; then
    echo "fetching shellcheck $version into $cache" >&2
    draft=$cache.fetching-$$
    trap 'rm -rf "$draft"' EXIT
    mkdir -p "$draft"
    (cd "$draft" && apt-get download -qq -o APT::Sandbox::User=root shellcheck >&2) || {
      echo "shellcheck could not be fetched: install it (apt-get install shellcheck) and try again" >&2
      exit 1
    }
    dpkg -x "$draft"/shellcheck_*.deb "$draft/unpacked"
    rm -rf "$cache"
    mv "$draft/unpacked" "$cache"
  fi
  PATH=$cache/usr/bin:$PATH
fi

# Tracked files and those about to be: names without line ends, as git lists them.
files=$(git ls-files --cached --others --exclude-standard -- '*.sh' .ci/run 'engine/plugins/*/bin/*' | sort -u)
set --
while IFS= read -r file; do
  if [ -f "$file" ]; then set -- "$@" "$file"; fi
done <<EOF
$files
EOF
[ $# -gt 0 ] || {
  echo "no shell files found: is this a git checkout?" >&2
  exit 1
}
shellcheck "$@"
echo "shellcheck: $# files are clean"
