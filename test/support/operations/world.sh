#!/bin/sh
# The world that the trial program deploys to: a folder. world.sh VERB SYSTEM RELEASE FINGERPRINT
# Faults: a file fault/VERB-SYSTEM-RELEASE makes that step fail; fault/VERB-SYSTEM makes it fail for every release.
set -eu
verb=$1 system=$2 release=$3 fingerprint=$4
input=$(cat)
home=world/$system
mkdir -p "$home/placed"
echo "$verb $system $release" >>world/journal
if [ -e "fault/wait-$verb-$system" ]; then
  : >"world/waiting"
  while [ -e "fault/wait-$verb-$system" ]; do sleep 0.05; done
fi
if [ -e "fault/$verb-$system-$release" ] || [ -e "fault/$verb-$system" ]; then
  if [ "$verb" = cutover ]; then printf '%s %s\n' "$release" "$fingerprint" >"$home/failed"; fi
  if [ -e "fault/lose-$system" ]; then rm -f "$home/confirmed"; fi
  echo "$verb of $release broke on purpose" >&2
  exit 1
fi
case $verb in
  preflight) printf '%s' "$input" >"$home/settings-$fingerprint" ;;
  place) printf '%s' "$release" >"$home/placed/$fingerprint" ;;
  remove) rm -f "$home/placed/$fingerprint" ;;
  cutover)
    printf '%s' "$fingerprint" >"$home/confirmed"
    printf '%s' "$input" >"$home/receipt"
    ;;
esac
