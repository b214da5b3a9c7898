#!/bin/sh
# Installs isopod and starts it: a server, or with ISOPOD_URL and ISOPOD_TOKEN a worker. Run it again to upgrade or to
# change the settings: what is not said anew stays as it was, data and containers too.
#
#   ./install.sh                                                  a server
#   ISOPOD_URL=https://SERVER:6443 ISOPOD_TOKEN=... ./install.sh  a worker
#   ./install.sh --node-name a --disable-agent                    arguments go to the service
#
#   ISOPOD_URL, ISOPOD_TOKEN      the server to join and the content of its /var/lib/isopod/server/token
#   ISOPOD_...                    any flag of isopod; kept in /etc/isopod/environment. An empty value forgets it
#   INSTALL_ISOPOD_BINARY         a binary to install, instead of one beside this script or one built from this checkout
#   INSTALL_ISOPOD_PROFILE        the cargo profile to build with, where it is built  [release]
#   INSTALL_ISOPOD_BIN_DIR        where to put it                              [/usr/local/bin]
#   INSTALL_ISOPOD_EXEC           arguments of the service; empty forgets those of an earlier run
#   INSTALL_ISOPOD_SKIP_START     "true": install without starting
#   INSTALL_ISOPOD_TIMEOUT        seconds to wait for the node to be Ready     [180]
#   INSTALL_ISOPOD_INIT           systemd, openrc or none                      [what runs here]
set -euf

BIN_DIR=${INSTALL_ISOPOD_BIN_DIR:-/usr/local/bin}
TIMEOUT=${INSTALL_ISOPOD_TIMEOUT:-180}
PROFILE=${INSTALL_ISOPOD_PROFILE:-release}
CONFIG_DIR=/etc/isopod
RUN_DIR=/run/isopod
LOG=/var/log/isopod.log
HERE=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

main() {
  [ "$(id -u)" = 0 ] || fail "run this as root (sudo ./install.sh)"
  case "$(uname -s)" in Linux) ;; *) fail "isopod runs on Linux only" ;; esac
  case $TIMEOUT in '' | *[!0-9]*) fail "INSTALL_ISOPOD_TIMEOUT=$TIMEOUT is no number of seconds" ;; esac
  init=${INSTALL_ISOPOD_INIT:-$(detect_init)}
  case $init in systemd | openrc | none) ;; *) fail "INSTALL_ISOPOD_INIT=$init: there is systemd, openrc and none" ;; esac
  recall_environment
  if [ $# -gt 0 ] || [ -n "${INSTALL_ISOPOD_EXEC+said}" ]; then
    # shellcheck disable=SC2086 # words on purpose
    set -- ${INSTALL_ISOPOD_EXEC:-} "$@"
  elif [ -f "$CONFIG_DIR/arguments" ]; then
    while IFS= read -r word; do set -- "$@" "$word"; done <"$CONFIG_DIR/arguments"
  fi
  url=$(setting server s ISOPOD_URL "$@")
  role=server
  [ -z "$url" ] || role=agent
  case ${1:-} in
    server | agent)
      role=$1
      explicit=$1
      shift ;;
  esac
  [ "$role" = server ] || check_agent "$@"
  data_dir=$(setting data-dir d ISOPOD_DATA_DIR "$@")
  data_dir=${data_dir:-/var/lib/isopod}
  case $data_dir in /*) ;; *) fail "--data-dir $data_dir: a service needs an absolute path" ;; esac

  install_packages containerd runc
  install_binary
  write_settings ${explicit:+"$explicit"} "$@"
  write_scripts
  "service_$init" "$@"
  if [ "${INSTALL_ISOPOD_SKIP_START:-}" = true ]; then
    say "Installed; not started."
    return
  fi
  rm -f "$RUN_DIR/ready" "$RUN_DIR/ended"
  "start_$init"
  wait_ready
  goodbye "$@"
}

say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# setting FLAG LETTER VARIABLE ARGUMENT...: what a flag of the service comes to: the last on the command line, else the
# environment's, else the configuration file's, else nothing.
setting() {
  flag=$1 letter=$2 variable=$3
  shift 3
  eval "value=\${$variable:-}"
  if [ -z "$value" ] && [ -f "$CONFIG_DIR/config.yaml" ]; then
    value=$(sed -n "s/^$flag: *[\"']\{0,1\}\([^\"' ]*\).*/\1/p" "$CONFIG_DIR/config.yaml" | tail -n 1)
  fi
  while [ $# -gt 0 ]; do
    case $1 in
      --"$flag" | -"$letter") value=${2:-} ;;
      --"$flag"=*) value=${1#*=} ;;
    esac
    shift
  done
  printf '%s' "$value"
}

check_agent() {
  [ -n "$url" ] || fail "a worker needs ISOPOD_URL, the server to join: https://SERVER:6443"
  case $url in https://?*) ;; *) fail "ISOPOD_URL=$url must be of the form https://SERVER:6443" ;; esac
  [ -n "$(setting token t ISOPOD_TOKEN "$@")$(setting token-file '' ISOPOD_TOKEN_FILE "$@")" ] ||
    fail "ISOPOD_URL is set but ISOPOD_TOKEN is not: a worker needs the server's token, the content of its /var/lib/isopod/server/token"
}

# install_packages PROGRAM...: the packages are called like the programs everywhere we know.
install_packages() {
  wanted=
  for program in "$@"; do have "$program" || wanted="$wanted $program"; done
  [ -n "$wanted" ] || return 0
  say "Installing$wanted"
  log=$(mktemp)
  # shellcheck disable=SC2086 # words on purpose
  if have apt-get; then
    apt-get update -q >/dev/null 2>&1 || say "(the package lists could not be renewed; going on with what is there)"
    set -- env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $wanted
  elif have apk; then set -- apk add --quiet $wanted
  elif have dnf; then set -- dnf install -q -y $wanted
  elif have yum; then set -- yum install -q -y $wanted
  elif have zypper; then set -- zypper --quiet --non-interactive install $wanted
  elif have pacman; then set -- pacman -S --noconfirm --needed $wanted
  else
    rm -f "$log"
    fail "install these programs first:$wanted (no package manager that this script knows)"
  fi
  "$@" >"$log" 2>&1 || {
    tail -n 15 "$log" >&2
    rm -f "$log"
    fail "these packages could not be installed:$wanted; install them by hand and run this again"
  }
  rm -f "$log"
}

install_binary() {
  if [ -n "${INSTALL_ISOPOD_BINARY:-}" ]; then
    binary=$INSTALL_ISOPOD_BINARY
    [ -f "$binary" ] || fail "INSTALL_ISOPOD_BINARY: there is no file $binary"
  elif [ -f "$HERE/isopod" ]; then
    binary=$HERE/isopod
  elif [ -f "$HERE/Cargo.toml" ]; then
    build
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
  version=$("$BIN_DIR/.isopod.new" --version 2>&1) || {
    rm -f "$BIN_DIR/.isopod.new"
    fail "$binary does not run on this machine ($(uname -m)): $version"
  }
  mv -f "$BIN_DIR/.isopod.new" "$BIN_DIR/isopod"
  say "Installed $BIN_DIR/isopod: $version"
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
  (cd "$HERE" && cargo build --profile "$PROFILE" --package isopod) || fail "the build failed; what cargo says stands above"
  # cargo's own exception.
  case $PROFILE in dev) folder=debug ;; *) folder=$PROFILE ;; esac
  binary=${CARGO_TARGET_DIR:-$HERE/target}/$folder/isopod
}

# What an earlier run was told and this one is not.
recall_environment() {
  [ -f "$CONFIG_DIR/environment" ] || return 0
  while IFS= read -r line; do
    name=${line%%=*}
    case $name in ISOPOD_*[!A-Z0-9_]*) continue ;; ISOPOD_*) ;; *) continue ;; esac
    eval "[ -n \"\${$name+said}\" ]" || eval "export $line"
  done <"$CONFIG_DIR/environment"
}

# Secrets stand in files of root's own, not in a unit that anyone can read. The environment is for shells and for systemd:
# both know double quotes.
write_settings() {
  newline='
'
  for word in "$@"; do
    case $word in *"$newline"*) fail "an argument of more than one line: $word" ;; esac
  done
  mkdir -p "$CONFIG_DIR" "$RUN_DIR"
  umask 077
  export ISOPOD_READY_FILE="$RUN_DIR/ready"
  for name in $(env | sed -n 's/^\(ISOPOD_[A-Z0-9_]*\)=.*/\1/p' | sort -u); do
    eval "value=\$$name"
    [ -n "$value" ] || continue
    case $value in *"$newline"*) fail "$name has more than one line" ;; esac
    printf '%s="%s"\n' "$name" "$(printf '%s' "$value" | sed 's/[\\"$`]/\\&/g')"
  done >"$CONFIG_DIR/environment.new"
  mv -f "$CONFIG_DIR/environment.new" "$CONFIG_DIR/environment"
  for word in "$@"; do printf '%s\n' "$word"; done >"$CONFIG_DIR/arguments"
  umask 022
}

write_scripts() {
  reset="$BIN_DIR/isopod reset --yes --data-dir$(quote_sh "$data_dir")"
  cat >"$BIN_DIR/isopod-killall.sh" <<END
#!/bin/sh
# Stops isopod and every container, and takes its network apart. The cluster's data stays.
set -u
[ "\$(id -u)" = 0 ] || { echo "isopod-killall.sh: run this as root" >&2; exit 1; }
if command -v systemctl >/dev/null 2>&1; then systemctl stop isopod 2>/dev/null; fi
if command -v rc-service >/dev/null 2>&1; then rc-service isopod stop 2>/dev/null; fi
if supervisor=\$(cat $RUN_DIR/supervisor.pid 2>/dev/null); then
  # A number alone may be another process by now. It ends when isopod has; after half a minute both are killed.
  supervised() { grep -q isopod-supervise "/proc/\$supervisor/cmdline" 2>/dev/null; }
  if supervised; then kill "\$supervisor"; fi
  waited=0
  while supervised && [ "\$waited" -lt 300 ]; do
    sleep 0.1
    waited=\$((waited + 1))
  done
  if supervised; then kill -9 -- "-\$supervisor"; fi
  rm -f $RUN_DIR/supervisor.pid
fi
rm -f $RUN_DIR/ready $RUN_DIR/ended
exec $reset --keep-data
END
  cat >"$BIN_DIR/isopod-uninstall.sh" <<END
#!/bin/sh
# Removes isopod and everything it made: processes, mounts, interfaces, nftables tables, data.
set -u
[ "\$(id -u)" = 0 ] || { echo "isopod-uninstall.sh: run this as root" >&2; exit 1; }
$BIN_DIR/isopod-killall.sh || exit 1
$reset || exit 1
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
  elif [ -d /run/openrc ]; then echo openrc
  else echo none
  fi
}

# quote_sh WORD...: the words for a shell.
quote_sh() { for word in "$@"; do printf " '%s'" "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"; done; }

# quote_unit WORD...: the words for a line of a systemd unit, where % and $ have a meaning inside quotes, too.
quote_unit() { for word in "$@"; do printf ' "%s"' "$(printf '%s' "$word" | sed 's/[\\"]/\\&/g; s/[%$]/&&/g')"; done; }

service_systemd() {
  mkdir -p /etc/systemd/system
  cat >/etc/systemd/system/isopod.service <<END
[Unit]
Description=isopod, a Kubernetes cluster in one binary
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
EnvironmentFile=-$CONFIG_DIR/environment
ExecStart=$BIN_DIR/isopod $role$(quote_unit "$@")
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
  # What an earlier attempt came to counts no more.
  systemctl reset-failed isopod 2>/dev/null || true
  restarts=$(restarts)
  systemctl restart --no-block isopod
}

service_openrc() {
  mkdir -p /etc/init.d
  cat >/etc/init.d/isopod <<END
#!/sbin/openrc-run
description="isopod, a Kubernetes cluster in one binary"
supervisor=supervise-daemon
command=$BIN_DIR/isopod
# Split by the shell once more when the service starts.
command_args=$(quote_sh "$role$(quote_sh "$@")" | cut -c2-)
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
trap 'kill "\$child" 2>/dev/null; wait "\$child"; exit 0' TERM INT
while :; do
  $BIN_DIR/isopod $role$(quote_sh "$@") >>$LOG 2>&1 &
  child=\$!
  wait "\$child" || echo \$? >$RUN_DIR/ended
  sleep 5 &
  child=\$!
  wait "\$child"
done
END
  chmod 755 "$BIN_DIR/isopod-supervise.sh"
}

start_none() {
  if supervised; then
    kill "$supervisor"
    waited=0
    while supervised; do
      [ "$waited" -lt 60 ] || fail "process $supervisor (isopod-supervise.sh) does not end; isopod-killall.sh ends all of it"
      sleep 1
      waited=$((waited + 1))
    done
  fi
  setsid "$BIN_DIR/isopod-supervise.sh" </dev/null >/dev/null 2>&1 &
  echo $! >"$RUN_DIR/supervisor.pid"
}

# Whether the loop runs. By its command line: a number alone may be another process by now, or one that nobody buries.
supervised() {
  supervisor=$(cat "$RUN_DIR/supervisor.pid" 2>/dev/null) &&
    grep -q isopod-supervise "/proc/$supervisor/cmdline" 2>/dev/null
}

restarts() { systemctl show --property=NRestarts --value isopod 2>/dev/null || true; }

# Whether isopod ended instead of becoming Ready. OpenRC does not say.
ended() {
  case "$init" in
    systemd) [ "$(restarts)" -gt "${restarts:-0}" ] 2>/dev/null ;;
    *) [ -f "$RUN_DIR/ended" ] ;;
  esac
}

wait_ready() {
  say "Waiting for the node to be Ready"
  waited=0
  while [ ! -f "$RUN_DIR/ready" ]; do
    if ended; then
      last_words
      fail "isopod ended; the last log lines stand above. It is tried again every 5 s; running this script again is safe."
    fi
    if [ "$waited" -ge "$TIMEOUT" ]; then
      last_words
      fail "the node is not Ready after $TIMEOUT s; the last log lines stand above. It goes on trying; running this script again is safe."
    fi
    sleep 1
    waited=$((waited + 1))
  done
}

last_words() {
  case "$init" in
    systemd) journalctl -u isopod --no-pager -n 30 >&2 || true ;;
    *) tail -n 30 "$LOG" >&2 || true ;;
  esac
}

goodbye() {
  if [ "$init" = none ]; then
    say "There is no init system that would start it after a reboot: run this script again then."
  fi
  if [ "$role" = agent ]; then
    say "This machine is a worker of $url. There: kubectl get nodes"
    return
  fi
  kubeconfig=$(setting write-kubeconfig o ISOPOD_WRITE_KUBECONFIG "$@")
  if [ -z "$kubeconfig" ]; then
    kubeconfig=$CONFIG_DIR/isopod.yaml
    [ "$data_dir" = /var/lib/isopod ] || kubeconfig=$data_dir/server/isopod.yaml
  fi
  port=$(setting https-listen-port '' ISOPOD_HTTPS_LISTEN_PORT "$@")
  say ""
  say "Your cluster is ready:"
  say "  export KUBECONFIG=$kubeconfig"
  say "  kubectl get nodes"
  have kubectl || say "kubectl is not on this machine: https://kubernetes.io/docs/tasks/tools/"
  say ""
  say "Add a worker, on another machine, with the content of $data_dir/server/token:"
  say "  ISOPOD_URL=https://$(cat "$RUN_DIR/ready"):${port:-6443} ISOPOD_TOKEN=... ./install.sh"
  say ""
  say "isopod-killall.sh stops everything, isopod-uninstall.sh removes everything."
}

main "$@"
