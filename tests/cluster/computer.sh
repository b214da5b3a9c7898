#!/bin/sh
# A computer of its own within this one, as process 1 of namespaces that end with it: nothing it does to /etc, /usr/local,
# /run, /var, the network or the control groups is seen outside. Its init is systemd, or none: then process 1 sleeps, and
# buries nobody.
#   computer.sh NAME DIR INIT    in the network namespace it is to have; DIR is for what it writes
set -eu
name=$1 dir=$2 init=$3 stage=${4:-outside}

# hierarchies: the places where a process can be put into a control group.
hierarchies() {
  for place in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if [ -f "$place/cgroup.procs" ]; then echo "$place"; fi
  done
}

case $stage in
outside)
  for place in $(hierarchies); do
    mkdir -p "$place/$name"
    if [ -f "$place/cpuset.cpus" ]; then
      cat "$place/cpuset.cpus" >"$place/$name/cpuset.cpus"
      cat "$place/cpuset.mems" >"$place/$name/cpuset.mems"
    fi
    echo 0 >"$place/$name/cgroup.procs"
  done
  exec unshare --mount --cgroup --uts --ipc --pid --fork --kill-child sh "$0" "$name" "$dir" "$init" inside
  ;;
inside)
  mount -t proc proc /proc
  hostname "${name##*-}"
  for place in etc usr/local; do
    mkdir -p "$dir/$place/upper" "$dir/$place/work"
    mount -t overlay -o "lowerdir=/$place,upperdir=$dir/$place/upper,workdir=$dir/$place/work" overlay "/$place"
  done
  for place in run var/lib var/log; do mount -t tmpfs -o mode=755 tmpfs "/$place"; done
  # The control groups as this namespace sees them: its own are the root.
  if [ -f /sys/fs/cgroup/cgroup.procs ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # A group with processes in it cannot hand controllers down.
    mkdir -p /sys/fs/cgroup/init
    echo 0 >/sys/fs/cgroup/init/cgroup.procs
  else
    places=$(hierarchies)
    mount -t tmpfs tmpfs /sys/fs/cgroup
    for place in $places; do
      mkdir "$place"
      case ${place##*/} in
      unified) mount -t cgroup2 cgroup2 "$place" ;;
      systemd) mount -t cgroup -o none,name=systemd cgroup "$place" ;;
      *) mount -t cgroup -o "${place##*/}" cgroup "$place" ;;
      esac
    done
  fi
  touch "$dir/up"
  case $init in
  systemd)
    # Only the units named here: a distribution's own empty /tmp, set clocks and trigger devices, which are not this computer's.
    mkdir /run/units
    for unit in systemd-journald.service systemd-journald.socket multi-user.target network-online.target shutdown.target; do
      ln -s "/lib/systemd/system/$unit" /run/units
    done
    printf '[Unit]\nWants=systemd-journald.socket\n' >/run/units/sysinit.target
    printf '[Unit]\nRequires=sysinit.target\nAfter=sysinit.target\n' >/run/units/basic.target
    rm -rf /etc/machine-id /etc/systemd/system
    mkdir /etc/systemd/system
    exec env container=other SYSTEMD_UNIT_PATH=/run/units:/etc/systemd/system /lib/systemd/systemd --unit=multi-user.target --log-target=null
    ;;
  *) exec sleep infinity ;;
  esac
  ;;
esac
