#!/usr/bin/env bash
# Run a command where SLURM is: its controller and one node, both on this machine and on loopback.
#
#   scripts/cluster/slurm.sh sinfo
#
# Needs Debian's slurm-wlm and munge (apt-get install slurm-wlm munge), and root, as slurmd does.
# All of it lies in a folder that is removed at the end; the exit code is that of the command, or 77
# where SLURM cannot start.
set -euo pipefail

home=$(mktemp -d /tmp/slurm.XXXXXX)
daemons=()

stop() {
  if [ ${#daemons[@]} -gt 0 ]; then
    scancel --user "$(id -un)" 2>/dev/null || true
    kill "${daemons[@]}" 2>/dev/null || true
    wait "${daemons[@]}" 2>/dev/null || true
  fi
  rm -rf "$home"
}
trap stop EXIT

refuse() {
  echo "slurm.sh: $*" >&2
  tail -n 5 "$home"/*.log 2>/dev/null >&2 || true
  exit 77
}

[ "$(id -u)" = 0 ] || refuse "slurmd needs root."
for program in munged slurmctld slurmd sinfo sbatch; do
  command -v "$program" >/dev/null || refuse "$program is missing: apt-get install slurm-wlm munge"
done

chmod 755 "$home"
mkdir -m 700 "$home/key"
mkdir -m 755 "$home/munge" "$home/state" "$home/spool"
(umask 077 && head -c 1024 /dev/urandom >"$home/key/munge.key")
host=$(hostname -s)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
cores=$(nproc)
memory=$(awk '/MemTotal/ { print int($2 / 1024 * 0.9) }' /proc/meminfo)

cat >"$home/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$home/munge/socket
CryptoType=crypto/munge
StateSaveLocation=$home/state
SlurmdSpoolDir=$home/spool
SlurmctldPidFile=$home/slurmctld.pid
SlurmdPidFile=$home/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=5
KillWait=10
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores Boards=1 SocketsPerBoard=1 CoresPerSocket=$cores ThreadsPerCore=1 RealMemory=$memory State=UNKNOWN
PartitionName=main Nodes=$host Default=YES OverSubscribe=FORCE:4 MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$home/slurm.conf

begin() {
  local name=$1
  shift
  "$@" >"$home/$name.log" 2>&1 &
  daemons+=($!)
}
begin munged munged --foreground --force --key-file "$home/key/munge.key" \
  --socket "$home/munge/socket" --pid-file "$home/munge/pid" --seed-file "$home/munge/seed" \
  --log-file "$home/munge/log"
for _ in $(seq 50); do [ -S "$home/munge/socket" ] && break; sleep 0.1; done
[ -S "$home/munge/socket" ] || refuse "munged does not start."
begin slurmctld slurmctld -D -i
begin slurmd slurmd -D
for _ in $(seq 100); do
  [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && break
  sleep 0.2
done
[ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] || refuse "the node is not ready: $(sinfo 2>&1)"

"$@"
