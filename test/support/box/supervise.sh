#!/bin/sh
# One test box: its disk, its network and its power. Started by box.ts as `supervise.sh outside …`, which gives it
# cgroups and namespaces of its own and goes on as `supervise.sh inside …`, the first process of its pid namespace:
# when that ends, the kernel ends everything of the box, and the mounts and networks go with it.
#
# usage: supervise.sh outside|inside <state folder> <tools> <overlay layers, uppermost first> <disk MiB> owned|kept
#        <address of the box>/<prefix length> <address of the client>/<prefix length>
# `owned`: the box ends with its owner, that is at the end of stdin. `kept`: it runs until it is killed.
#
# State folder: seed/ (files copied onto the disk before the first start), power ("on" or "off"; the box is started
# whenever it says on), console.log (the box's console), agent.sock (its ssh-agent). Without --keep-unit nspawn asks
# the system bus; SYSTEMD_NSPAWN_TMPFS_TMP=0 keeps /tmp on the bounded disk.
set -eu
stage=$1 state=$2 tools=$3 layers=$4 disk_mib=$5 life=$6 box_address=$7 client_address=$8

if [ "$stage" = outside ]; then
  cgroup=switchyard-box-$(basename "$state")
  for hierarchy in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup; do
    [ -e "$hierarchy/cgroup.procs" ] || continue
    mkdir -p "$hierarchy/$cgroup"
    echo $$ >"$hierarchy/$cgroup/cgroup.procs"
  done
  exec unshare --mount --propagation private --net --pid --fork --kill-child=SIGKILL \
    sh "$0" inside "$state" "$tools" "$layers" "$disk_mib" "$life" "$box_address" "$client_address"
fi

mount -t proc proc /proc
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd

mkdir "$state/disk" "$state/root"
mount -t tmpfs -o "size=${disk_mib}m,mode=755" disk "$state/disk"
mkdir "$state/disk/upper" "$state/disk/work"
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$state/disk/upper,workdir=$state/disk/work" "$state/root"
cp -a "$state/seed/." "$state/root/"

# Two ends of one cable: the client's namespace is this one, the box's is kept by the file it is mounted on.
ip link set lo up
# Thousands of connections a second to one address use up the ports a client has in a minute: 28,000 by default, each
# blocked for 60 s after its connection. This is about the client alone; the box has what Debian gives it.
echo "1024 65535" >/proc/sys/net/ipv4/ip_local_port_range
echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse
touch "$state/network"
unshare --net="$state/network" true
ip link add box type veth peer name eth0 netns "$state/network"
ip address add "$client_address" dev box
ip link set box up
nsenter --net="$state/network" ip link set lo up
nsenter --net="$state/network" ip address add "$box_address" dev eth0
nsenter --net="$state/network" ip link set eth0 up

ssh-agent -D -a "$state/agent.sock" >/dev/null &

while :; do
  if [ "$(cat "$state/power")" = off ]; then
    sleep 0.1
    continue
  fi
  code=0
  LD_LIBRARY_PATH="$(echo "$tools"/usr/lib/*/systemd | tr ' ' ':')" \
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_NSPAWN_TMPFS_TMP=0 SYSTEMD_LOG_LEVEL=warning \
    "$tools/usr/bin/systemd-nspawn" --directory="$state/root" --boot --register=no --keep-unit --private-users=no \
    --network-namespace-path="$state/network" --link-journal=no --resolv-conf=off --timezone=off \
    --console=pipe --machine=box >>"$state/console.log" 2>&1 </dev/null || code=$?
  # 133: rebooted from within. 0: powered off from within. Anything else: its power was cut, or it never started.
  case $code in
    133) ;;
    0) echo off >"$state/power" ;;
    *) echo "systemd-nspawn ended with $code" >>"$state/console.log" && sleep 0.1 ;;
  esac
done &

if [ "$life" = kept ]; then exec sleep infinity; fi
exec cat >/dev/null
