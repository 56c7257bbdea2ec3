#!/usr/bin/env bash
# The main job of hammock, on real input, as its users would do it:
#
#   1. a mounted folder with six peers, each a process of its own; into it a
#      source tree with cp -a (and rsync -a finds nothing to do), a git clone,
#      a large random file; hammock sync;
#   2. two of the six peers are killed and the cache is dropped: every checksum
#      is equal, and `check --data` finds the volume clean;
#   3. the daemon is killed and its whole state deleted. In a network and a mount
#      namespace of their own, where nothing of before can be seen, the 24 words
#      and the address of one peer bring everything back.
#
# Needs root, for the namespaces. From the environment:
#
#   HAMMOCK       the binary (default: built from this checkout)
#   MAINJOB_SRC   the source tree (default: the Go distribution's src)
#   MAINJOB_MIB   size of the random file, in MiB (default 1024)
#   MAINJOB_RSS   most resident memory of the mounting daemon, in MiB (default 512)
#   TMPDIR        where everything is kept while it runs; about 8 GiB at full size
#
# What it measured is printed as lines "mainjob: name value unit".
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
src=${MAINJOB_SRC:-$(go env GOROOT)/src}
mib=${MAINJOB_MIB:-1024}
most_rss=${MAINJOB_RSS:-512}
peers=6

work=$(mktemp -d)                # everything of before
bare=$(mktemp -d)                # all that the bare machine has
netns=hammock-$$
subnet=10.$((RANDOM % 250 + 2)).$((RANDOM % 250 + 2))
export HAMMOCK_PASSPHRASE_FILE=  # every state here is without one

if [ -z "${HAMMOCK:-}" ]; then
  HAMMOCK=$work/hammock
  (cd "$here/.." && go build -o "$HAMMOCK" ./cmd/hammock)
fi

say() { printf '%6.1f s  %s\n' "$(since "$start")" "$*"; }
figure() { printf 'mainjob: %s\n' "$*"; }
die() { printf 'mainjob: FAILED: %s\n' "$*" >&2; exit 1; }
now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{printf "%.2f", $1 - $2}'; }
start=$(now)

# The states whose processes this run has started; end_all ends no others.
states=()

end_all() {
  local status=$? st
  set +e
  umount -l "$work/mnt" 2>/dev/null
  for st in "${states[@]}"; do kill_node "$st" 2>/dev/null; done
  ip netns pids "$netns" 2>/dev/null | xargs -r kill -9
  ip netns del "$netns" 2>/dev/null
  if [ $status -ne 0 ]; then
    for st in "${states[@]}" "$bare/state"; do
      [ -s "$st/log" ] && { echo "--- the end of $st/log"; tail -n 15 "$st/log" | cut -c 1-1000; } >&2
    done
  fi
  rm -rf "$work" "$bare"
  exit $status
}
trap end_all EXIT
trap 'exit 1' INT TERM

# kill_node STATE: as a power cut would, without a word to the process.
kill_node() {
  local pid tries=0
  pid=$(cat "$1/pid")
  [ "$(readlink "/proc/$pid/exe")" = "$(readlink -f "$HAMMOCK")" ] || return 0
  kill -9 "$pid"
  while [ -e "/proc/$pid/fd/0" ]; do # a zombie has none
    [ $((tries += 1)) -lt 600 ] || die "a killed node goes on"
    sleep 0.05
  done
}

# peak STATE: the most resident memory that the node's process ever had, in MiB,
# as the kernel has kept it.
peak() { awk '/^VmHWM/ {printf "%d", $2 / 1024}' "/proc/$(cat "$1/pid")/status"; }

bounded_memory() { # what STATE
  local most
  most=$(peak "$2")
  figure "peak_rss_$1 $most MiB"
  [ "$most" -lt "$most_rss" ] || die "the mounting daemon had $most MiB resident ($1), and $most_rss MiB is the limit"
}

# local_only STATE makes a node leave the machine's networks alone (no mDNS, no
# hole punching), as `hammock demo` does.
local_only() { sed -i 's/^{$/{ "loopback": true,/' "$1/settings.json"; }

# manifest DIR: checksums of all files, and names, types, modes, sizes, times,
# targets of links of everything.
manifest() {
  (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum &&
    find . ! -type d -printf '%p %y %m %s %n %T@ %l\n' | LC_ALL=C sort &&
    find . -type d -printf '%p %y %m %T@\n' | LC_ALL=C sort)
}

same() { cmp -s "$1" "$2" || { diff "$1" "$2" | head -n 20 >&2; die "$3"; }; }

number() { grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d: -f2; }

# ---- a network between this machine and the bare one to come
ip netns add "$netns"
ip link add "hm$$" type veth peer name bare0 netns "$netns"
ip addr add "$subnet.1/24" dev "hm$$"
ip link set "hm$$" up
ip -n "$netns" addr add "$subnet.2/24" dev bare0
ip -n "$netns" link set bare0 up
ip -n "$netns" link set lo up
listen=/ip4/$subnet.1/tcp/0

# ---- six peers and a mount
mkdir "$work/mnt" "$work/peers"
main=$work/state
"$HAMMOCK" init --no-passphrase --policy 4+2 --name main --state "$main" 2>/dev/null >"$work/init.out"
awk 'NF == 6 && /^    /' "$work/init.out" >"$bare/words"
[ "$(wc -w <"$bare/words")" = 24 ] || die "init did not print 24 words"
local_only "$main"
states+=("$main")
"$HAMMOCK" mount "$work/mnt" --listen "$listen" --state "$main" >/dev/null
for i in $(seq $peers); do
  peer=$work/peers/$i
  ticket=$("$HAMMOCK" invite --name "peer-$i" --state "$main")
  "$HAMMOCK" join "$ticket" --no-passphrase --name "peer-$i" --state "$peer" >/dev/null 2>&1
  local_only "$peer"
  states+=("$peer")
  "$HAMMOCK" serve --give 20G --listen "$listen" --state "$peer" >/dev/null
done
deadline=$((SECONDS + 60))
until [ "$("$HAMMOCK" status --json --state "$main" | grep -o '"connected":true' | wc -l)" = $peers ]; do
  [ $SECONDS -lt $deadline ] || die "not all peers have connected"
  sleep 0.1
done
say "mounted, with $peers peers"

# ---- real input
t=$(now)
cp -a "$src" "$work/mnt/src"
figure "cp_source_tree $(since "$t") s"
t=$(now)
changes=$(rsync -a --itemize-changes "$src/" "$work/mnt/src/")
[ -z "$changes" ] || die "rsync -a found changes after cp -a: $(echo "$changes" | head -n 3)"
figure "rsync_again $(since "$t") s"

git init -q "$work/repo"
git_in() { git -C "$1" -c user.name=nobody -c user.email=nobody@localhost "${@:2}"; }
find "$src" -mindepth 1 -maxdepth 1 -type d | LC_ALL=C sort | head -n 20 | while read -r part; do
  cp -a "$part" "$work/repo/"
  git_in "$work/repo" add -A
  git_in "$work/repo" commit -q --allow-empty -m "add $(basename "$part")"
done
t=$(now)
git clone -q --no-local "$work/repo" "$work/mnt/repo"
git -C "$work/mnt/repo" fsck --strict --no-progress
[ -z "$(git -C "$work/mnt/repo" status --porcelain)" ] || die "git status of the clone is not clean"
figure "git_clone_and_fsck $(since "$t") s"

dd if=/dev/urandom of="$work/random" bs=1M count="$mib" status=none
t=$(now)
cp "$work/random" "$work/mnt/random"
figure "cp_random_file_${mib}MiB $(since "$t") s"

t=$(now)
"$HAMMOCK" sync --timeout 10m --state "$main" 2>/dev/null
figure "sync $(since "$t") s"
manifest "$work/mnt" >"$work/manifest"
(cd "$src/.." && find "$(basename "$src")" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sed "s|  [^/]*/|  ./src/|") >"$work/source.sums"
grep -F '  ./src/' "$work/manifest" >"$work/mounted.sums"
same "$work/source.sums" "$work/mounted.sums" "the source tree in the folder is not the one that was copied"
cmp "$work/random" "$work/mnt/random" || die "the random file in the folder is not the one that was copied"
rm -rf "$work/random" "$work/repo"
"$HAMMOCK" sync --timeout 10m --state "$main" 2>/dev/null # access times, if any
say "written, synced and compared"

# ---- two peers die, and the cache is gone
kill_node "$work/peers/2"
kill_node "$work/peers/5"
"$HAMMOCK" cache drop --state "$main"
echo 3 >/proc/sys/vm/drop_caches
t=$(now)
manifest "$work/mnt" >"$work/again"
figure "read_all_with_two_peers_dead $(since "$t") s"
same "$work/manifest" "$work/again" "with two peers dead, something is not as it was"
t=$(now)
"$HAMMOCK" check --data --state "$main" | tail -n 1
figure "check_data $(since "$t") s"
bounded_memory mounted "$main"
say "two of six peers are dead: every checksum is equal, the check is clean"

# ---- the machine is lost
peer_address=$("$HAMMOCK" status --json --state "$work/peers/3" | grep -o "\"/ip4/$subnet[^\"]*\"" | head -n 1 | tr -d '"')
kill_node "$main"
umount -l "$work/mnt"
rm -rf "$main"
cp "$HAMMOCK" "$bare/hammock"
cp "$work/manifest" "$bare/manifest" # to compare with; hammock does not see it
declare -f manifest same die number figure since now peak bounded_memory >"$bare/functions"
most_rss=$most_rss work=$work bare=$bare peer_address=$peer_address \
  ip netns exec "$netns" unshare -m --propagation private bash -euo pipefail "$here/mainjob-bare.sh"
say "recovered on a bare machine: every checksum is equal"
figure "whole $(since "$start") s"
