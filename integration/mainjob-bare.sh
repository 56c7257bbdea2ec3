# The bare machine's part of mainjob.sh: runs in a network and a mount namespace
# of its own. It is given $bare, a folder with the binary and the 24 words, and
# $peer_address. $work, where everything of before is, it hides from itself.
. "$bare/functions"
mount -t tmpfs -o size=1m,mode=0700 none "$work"
[ -z "$(ls -A "$work")" ] || die "the bare machine can see something of before"
hammock() { env -i PATH="$PATH" "$bare/hammock" "$@" --state "$bare/state"; }
mkdir "$bare/mnt"

t=$(now)
hammock recover --no-passphrase --phrase-file "$bare/words" --peer "$peer_address" --name bare 2>/dev/null
figure "recover $(since "$t") s"
t=$(now)
hammock mount "$bare/mnt"
figure "mount_recovered $(since "$t") s"

hammock status --json >"$bare/status"
figure "fetched_before_first_ls $(number fetched_bytes <"$bare/status") bytes of stripes"
figure "received_before_first_ls $(number bytes_in <"$bare/status") bytes of all traffic since mount"
t=$(now)
names=$(timeout 20 ls "$bare/mnt") || die "the first ls gave no answer within 20 s"
took=$(since "$t")
figure "first_ls $took s"
[ "$names" = "$(printf 'random\nrepo\nsrc')" ] || die "the first ls shows: $names"
awk -v t="$took" 'BEGIN {exit t >= 3}' || die "the first ls took $took s"
hammock status --json >"$bare/status"
figure "fetched_with_first_ls $(number fetched_bytes <"$bare/status") bytes of stripes"

t=$(now)
manifest "$bare/mnt" >"$bare/again"
figure "read_all_recovered $(since "$t") s"
same "$bare/manifest" "$bare/again" "on the bare machine something is not as it was"
hammock check | tail -n 1
bounded_memory recovered "$bare/state"
status=0
hammock unmount "$bare/mnt" --timeout 2s 2> >(tee "$bare/unmounted" >&2) || status=$?
# With two of six peers dead, too few stores are left for anything new.
[ $status = 0 ] || [ $status = 3 ] || die "unmount ended with status $status: $(cat "$bare/unmounted")"
