#!/bin/sh
# One test cluster: its namespaces, its disk, its network and its parts. Started by cluster.ts as
# `supervise.sh outside …`, which makes the namespaces and goes on as `supervise.sh inside …`, the first process of the
# pid namespace: when that ends, the kernel ends every part and every pod, and mounts and networks go with them.
#
# usage: supervise.sh outside|inside <state folder, in /run> <disk MiB> owned|kept
#        <address of the node>/<prefix length> <address of the gateway>
# `owned`: the cluster ends with its owner, that is at the end of stdin. `kept`: it runs until it is killed.
#
# State folder: parts (a line for each part: its name and the words that start it), logs/ (a file for each part).
# PATH and LD_LIBRARY_PATH lead to the programs.
set -eu
stage=$1 state=$2 disk_mib=$3 life=$4 node_address=$5 gateway_address=$6

if [ "$stage" = outside ]; then
  exec unshare --mount --propagation private --net --pid --fork --mount-proc --kill-child=SIGKILL \
    sh "$0" inside "$state" "$disk_mib" "$life" "$node_address" "$gateway_address"
fi

# Whatever the parts write to /run and /var lands on disks that are memory as far as they are used. Both are put together
# before they take the places of the machine's, because the state folder lies in one of them.
disk=$state/disk
mkdir "$disk"
mount -t tmpfs -o "size=${disk_mib}m,mode=755" disk "$disk"
for name in run var; do
  mkdir -p "$disk/$name" "$disk/$name.upper" "$disk/$name.work"
  mount -t overlay overlay -o "lowerdir=/$name,upperdir=$disk/$name.upper,workdir=$disk/$name.work" "$disk/$name"
done
mount --bind "$state" "$disk$state"
mount --rbind "$disk/var" /var
mount --rbind "$disk/run" /run
# The disks of containers are overlays themselves, and one cannot lie on another. The kubelet measures its own.
for folder in /run/containerd /var/lib/containerd /var/lib/kubelet /var/lib/etcd /var/log; do
  mkdir -p "$folder"
  mount -t tmpfs -o "size=${disk_mib}m,mode=755" disk "$folder"
done

ip link set lo up
ip link add cable type veth peer name gateway
ip address add "$node_address" dev cable
ip link set cable up
ip link set gateway up
ip route add default via "$gateway_address"
echo 1 >/proc/sys/net/ipv4/ip_forward
# Thousands of connections a second to one address use up the ports a client has in a minute: 28,000 by default, each
# blocked for 60 s after its connection. This is about the clients on the node; pods have networks of their own.
echo "1024 65535" >/proc/sys/net/ipv4/ip_local_port_range
echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse

# The kubelet sets what is the whole machine's: it is shown that all is as it wants it, and writes to that.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  shown=/run/machine/${setting%=*}
  mkdir -p "${shown%/*}"
  echo "${setting#*=}" >"$shown"
  mount --bind "$shown" "/proc/sys/${setting%=*}"
done

mkdir -p "$state/logs"
while read -r name words; do
  while :; do
    # shellcheck disable=SC2086 # The words are separated by blanks and hold none.
    $words >>"$state/logs/$name.log" 2>&1 </dev/null || true
    echo "supervise: $name ended" >>"$state/logs/$name.log"
    sleep 0.2
  done &
done <"$state/parts"

if [ "$life" = kept ]; then exec sleep infinity; fi
exec cat >/dev/null
