#!/bin/sh
# Installs isopod and starts it: a server, or with ISOPOD_URL and ISOPOD_TOKEN a worker. Run it again to upgrade or to
# change the settings; it keeps what is there.
#
#   ./install.sh                                                  a server
#   ISOPOD_URL=https://SERVER:6443 ISOPOD_TOKEN=... ./install.sh  a worker
#   ./install.sh --node-name a --disable-agent                    arguments go to the service
#
#   ISOPOD_URL, ISOPOD_TOKEN      the server to join and the content of its /var/lib/isopod/server/token
#   INSTALL_ISOPOD_BINARY         a binary to install, instead of one beside this script or one built from this checkout
#   INSTALL_ISOPOD_BIN_DIR        where to put it                              [/usr/local/bin]
#   INSTALL_ISOPOD_EXEC           arguments of the service
#   INSTALL_ISOPOD_SKIP_START     "true": install without starting
#   INSTALL_ISOPOD_TIMEOUT        seconds to wait for the node to be Ready     [180]
#   INSTALL_ISOPOD_INIT           systemd, openrc or none                      [what runs here]
set -eu

BIN_DIR=${INSTALL_ISOPOD_BIN_DIR:-/usr/local/bin}
TIMEOUT=${INSTALL_ISOPOD_TIMEOUT:-180}
CONFIG_DIR=/etc/isopod
RUN_DIR=/run/isopod
LOG=/var/log/isopod.log
HERE=$(CDPATH='' cd -- "$(dirname -- "$0")" 2>/dev/null && pwd || pwd)

main() {
  [ "$(id -u)" = 0 ] || fail "run this as root (sudo ./install.sh)"
  case "$(uname -s)" in Linux) ;; *) fail "isopod runs on Linux only" ;; esac
  role=server
  if [ -n "${ISOPOD_URL:-}" ]; then
    role=agent
    [ -n "${ISOPOD_TOKEN:-}" ] || fail "ISOPOD_URL is set but ISOPOD_TOKEN is not: a worker needs the server's token"
  fi
  # shellcheck disable=SC2086 # words on purpose
  set -- ${INSTALL_ISOPOD_EXEC:-} "$@"
  install_packages containerd runc
  install_binary
  write_environment
  write_scripts
  init=${INSTALL_ISOPOD_INIT:-$(detect_init)}
  "service_$init" "$@"
  if [ "${INSTALL_ISOPOD_SKIP_START:-}" = true ]; then
    say "Installed; not started."
    return
  fi
  rm -f "$RUN_DIR/ready"
  "start_$init"
  wait_ready
  goodbye
}

say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# install_packages PROGRAM...: the packages are called like the programs everywhere we know.
install_packages() {
  wanted=
  for program in "$@"; do have "$program" || wanted="$wanted $program"; done
  [ -n "$wanted" ] || return 0
  say "Installing$wanted"
  # shellcheck disable=SC2086
  if have apt-get; then
    apt-get update -q >/dev/null || say "(the package lists could not be renewed; going on with what is there)"
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $wanted >/dev/null
  elif have apk; then apk add --quiet $wanted
  elif have dnf; then dnf install -q -y $wanted
  elif have yum; then yum install -q -y $wanted
  elif have zypper; then zypper --quiet install -y $wanted
  elif have pacman; then pacman -S --noconfirm --needed $wanted >/dev/null
  else fail "install these programs first:$wanted (no package manager that this script knows)"
  fi
}

install_binary() {
  if [ -n "${INSTALL_ISOPOD_BINARY:-}" ]; then
    binary=$INSTALL_ISOPOD_BINARY
    [ -f "$binary" ] || fail "INSTALL_ISOPOD_BINARY: there is no file $binary"
  elif [ -f "$HERE/isopod" ]; then
    binary=$HERE/isopod
  elif [ -f "$HERE/Cargo.toml" ]; then
    build
    binary=${CARGO_TARGET_DIR:-$HERE/target}/release/isopod
  elif have isopod; then
    say "Keeping $(command -v isopod)"
    return
  else
    fail "no binary: put one beside this script, name one with INSTALL_ISOPOD_BINARY, or run this in a checkout"
  fi
  mkdir -p "$BIN_DIR"
  # Beside the old one and over it in one step: a running process keeps its file.
  cp "$binary" "$BIN_DIR/.isopod.new"
  chmod 755 "$BIN_DIR/.isopod.new"
  mv -f "$BIN_DIR/.isopod.new" "$BIN_DIR/isopod"
  say "Installed $BIN_DIR/isopod: $("$BIN_DIR/isopod" --version)"
}

build() {
  have cargo || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH=$HOME/.cargo/bin:$PATH
  have cargo || fail "building needs Rust: https://rustup.rs, or a binary by INSTALL_ISOPOD_BINARY"
  have cc || install_packages gcc
  if ! have protoc; then
    if have apt-get; then install_packages protobuf-compiler libprotobuf-dev
    else install_packages protobuf-devel; fi
  fi
  say "Building isopod from this checkout (some minutes, once)"
  (cd "$HERE" && cargo build --release --package isopod)
}

# Secrets stand in a file of root's own, not in a unit that anyone can read.
write_environment() {
  mkdir -p "$CONFIG_DIR" "$RUN_DIR"
  umask 077
  {
    [ -z "${ISOPOD_URL:-}" ] || printf 'ISOPOD_URL=%s\n' "$ISOPOD_URL"
    [ -z "${ISOPOD_TOKEN:-}" ] || printf 'ISOPOD_TOKEN=%s\n' "$ISOPOD_TOKEN"
  } >"$CONFIG_DIR/environment.new"
  mv -f "$CONFIG_DIR/environment.new" "$CONFIG_DIR/environment"
  umask 022
}

write_scripts() {
  cat >"$BIN_DIR/isopod-killall.sh" <<END
#!/bin/sh
# Stops isopod and every container, and takes its network apart. The cluster's data stays.
set -u
[ "\$(id -u)" = 0 ] || { echo "run this as root" >&2; exit 1; }
if command -v systemctl >/dev/null 2>&1; then systemctl stop isopod 2>/dev/null; fi
if command -v rc-service >/dev/null 2>&1; then rc-service isopod stop 2>/dev/null; fi
if [ -f $RUN_DIR/supervisor.pid ]; then kill "\$(cat $RUN_DIR/supervisor.pid)" 2>/dev/null; rm -f $RUN_DIR/supervisor.pid; fi
exec $BIN_DIR/isopod reset --yes --keep-data
END
  cat >"$BIN_DIR/isopod-uninstall.sh" <<END
#!/bin/sh
# Removes isopod and everything it made: processes, mounts, interfaces, nftables tables, data.
set -u
$BIN_DIR/isopod-killall.sh || exit 1
$BIN_DIR/isopod reset --yes || exit 1
if command -v systemctl >/dev/null 2>&1; then systemctl disable isopod 2>/dev/null; fi
if command -v rc-update >/dev/null 2>&1; then rc-update delete isopod default 2>/dev/null; fi
rm -f /etc/systemd/system/isopod.service /etc/init.d/isopod
if command -v systemctl >/dev/null 2>&1; then systemctl daemon-reload 2>/dev/null; fi
rm -rf $CONFIG_DIR $RUN_DIR $LOG
rm -f $BIN_DIR/isopod-supervise.sh $BIN_DIR/isopod-killall.sh $BIN_DIR/isopod-uninstall.sh $BIN_DIR/isopod
echo "isopod is gone."
END
  chmod 755 "$BIN_DIR/isopod-killall.sh" "$BIN_DIR/isopod-uninstall.sh"
}

detect_init() {
  if [ -d /run/systemd/system ]; then echo systemd
  elif [ -d /run/openrc ] || { have rc-service && [ -f /run/openrc/softlevel ]; }; then echo openrc
  else echo none
  fi
}

# quote WORD...: the words for a line that splits at spaces and knows double quotes.
quote() { for word in "$@"; do printf ' "%s"' "$(printf '%s' "$word" | sed 's/[\\"]/\\&/g')"; done; }

service_systemd() {
  cat >/etc/systemd/system/isopod.service <<END
[Unit]
Description=isopod, a Kubernetes cluster in one binary
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
EnvironmentFile=-$CONFIG_DIR/environment
ExecStart=$BIN_DIR/isopod $role$(quote "$@")
# Containers are not ours to stop: they outlive a restart of the service.
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
END
}

start_systemd() {
  systemctl daemon-reload
  systemctl enable isopod >/dev/null 2>&1
  systemctl restart --no-block isopod
}

service_openrc() {
  cat >/etc/init.d/isopod <<END
#!/sbin/openrc-run
description="isopod, a Kubernetes cluster in one binary"
supervisor=supervise-daemon
command=$BIN_DIR/isopod
command_args='$role$(quote "$@")'
output_log=$LOG
error_log=$LOG
respawn_delay=5
respawn_max=0
set -o allexport
[ ! -f $CONFIG_DIR/environment ] || . $CONFIG_DIR/environment
set +o allexport
depend() { after network-online; want cgroups; }
END
  chmod 755 /etc/init.d/isopod
}

start_openrc() {
  rc-update add isopod default >/dev/null 2>&1
  rc-service isopod restart
}

# No init: a loop in the background starts isopod again whenever it ends.
service_none() {
  cat >"$BIN_DIR/isopod-supervise.sh" <<END
#!/bin/sh
# Keeps isopod running where there is no init system. Its own end is isopod's.
set -a
[ ! -f $CONFIG_DIR/environment ] || . $CONFIG_DIR/environment
set +a
trap 'kill "\$child" 2>/dev/null; exit 0' TERM INT
while :; do
  $BIN_DIR/isopod $role$(quote "$@") >>$LOG 2>&1 &
  child=\$!
  wait "\$child"
  sleep 5 &
  wait \$!
done
END
  chmod 755 "$BIN_DIR/isopod-supervise.sh"
}

start_none() {
  if [ -f "$RUN_DIR/supervisor.pid" ] && kill -0 "$(cat "$RUN_DIR/supervisor.pid")" 2>/dev/null; then
    kill "$(cat "$RUN_DIR/supervisor.pid")"
    while kill -0 "$(cat "$RUN_DIR/supervisor.pid")" 2>/dev/null; do sleep 0.2; done
    sleep 1
  fi
  setsid "$BIN_DIR/isopod-supervise.sh" </dev/null >/dev/null 2>&1 &
  echo $! >"$RUN_DIR/supervisor.pid"
}

wait_ready() {
  say "Waiting for the node to be Ready"
  waited=0
  while [ ! -f "$RUN_DIR/ready" ]; do
    if [ "$waited" -ge "$TIMEOUT" ]; then
      case "$init" in
        systemd) journalctl -u isopod --no-pager -n 30 >&2 || true ;;
        *) tail -n 30 "$LOG" >&2 || true ;;
      esac
      fail "the node is not Ready after $TIMEOUT s; the last log lines stand above. Running this script again is safe."
    fi
    sleep 1
    waited=$((waited + 1))
  done
}

goodbye() {
  if [ "$role" = agent ]; then
    say "This machine is a worker of $ISOPOD_URL. There: kubectl get nodes"
    return
  fi
  say ""
  say "Your cluster is ready:"
  say "  export KUBECONFIG=$CONFIG_DIR/isopod.yaml"
  say "  kubectl get nodes"
  say ""
  say "Add a worker, on another machine:"
  say "  ISOPOD_URL=https://$(cat "$RUN_DIR/address" 2>/dev/null || hostname):6443 \\"
  say "  ISOPOD_TOKEN=\$(the content of /var/lib/isopod/server/token) ./install.sh"
  say "or: isopod agent --server https://... --token ..."
  say ""
  say "isopod-killall.sh stops everything, isopod-uninstall.sh removes everything."
}

main "$@"
