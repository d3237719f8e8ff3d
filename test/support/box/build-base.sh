#!/bin/sh
# Builds the two disks of the test box in an empty folder, as root, in mount and pid namespaces of its own (base.ts).
#
#   empty/  Debian as a provider hands it over: systemd, sshd, no service. Everything that `ground` may install lies
#           in /srv/packages, its only apt source, because a box has no route out.
#   full/   what lies over empty/ when those packages are installed: PostgreSQL and Redis running, HAProxy not.
#
# usage: build-base.sh <tools> <folder> <mirror> <suite> <packages of empty> <packages of full>  (space-separated lists)
# Lines on stdout that start with "step " are for people; everything else goes to <folder>/build.log.
set -eu
tools=$1 folder=$2 mirror=$3 suite=$4 empty_packages=$5 full_packages=$6
empty=$folder/empty full=$folder/full
log=$folder/build.log

step() { echo "step $*"; echo "== $*" >>"$log"; }

# inside <root> <command…>: a clean environment, UTF-8 so that PostgreSQL's cluster is, and no service started.
inside() {
  root=$1
  shift
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    http_proxy="${http_proxy:-}" chroot "$root" "$@" >>"$log" 2>&1 </dev/null
}

step "unpacking Debian $suite"
DEBOOTSTRAP_DIR=$tools/usr/share/debootstrap "$tools/usr/sbin/debootstrap" --variant=minbase \
  --include="$(echo "$empty_packages" | tr ' ' ',')" "$suite" "$empty" "$mirror" >>"$log" 2>&1

step "fetching the packages a box may install later"
printf '#!/bin/sh\nexit 101\n' >"$empty/usr/sbin/policy-rc.d"
chmod 755 "$empty/usr/sbin/policy-rc.d"
echo "deb $mirror $suite main" >"$empty/etc/apt/sources.list"
inside "$empty" apt-get update
# shellcheck disable=SC2086 # a list of words
inside "$empty" apt-get install -y --no-install-recommends --download-only $full_packages
mkdir -p "$empty/srv/packages"
mv "$empty"/var/cache/apt/archives/*.deb "$empty/srv/packages/"
(
  cd "$empty/srv/packages"
  for package in *.deb; do
    dpkg-deb --field "$package"
    echo "Filename: ./$package"
    echo "Size: $(stat -c %s "$package")"
    echo "SHA256: $(sha256sum "$package" | cut -d ' ' -f 1)"
    echo
  done >Packages
)
echo "deb [trusted=yes] file:/srv/packages ./" >"$empty/etc/apt/sources.list"
rm -rf "$empty"/var/lib/apt/lists/*
inside "$empty" apt-get clean
inside "$empty" apt-get update

step "removing what each box has of its own, and the timers"
rm -f "$empty"/etc/ssh/ssh_host_* "$empty/etc/resolv.conf"
: >"$empty/etc/machine-id"
rm -f "$empty/var/lib/dbus/machine-id"
mkdir -p "$empty/var/log/journal" "$empty/root/.ssh"
chmod 700 "$empty/root/.ssh"
inside "$empty" systemctl mask console-getty.service getty@.service apt-daily.timer apt-daily-upgrade.timer \
  dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer man-db.timer logrotate.timer \
  systemd-tmpfiles-clean.timer

step "installing PostgreSQL, Redis and the others over it"
mkdir "$full" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=$empty,upperdir=$full,workdir=$folder/work" "$folder/root"
mount -t proc proc "$folder/root/proc"
# shellcheck disable=SC2086 # a list of words
inside "$folder/root" apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io $full_packages
inside "$folder/root" systemctl disable haproxy.service
inside "$folder/root" systemctl enable postgresql.service redis-server.service
rm "$folder/root/usr/sbin/policy-rc.d"
umount "$folder/root/proc" "$folder/root"
rm "$empty/usr/sbin/policy-rc.d"
rm -rf "$folder/work" "$folder/root"
