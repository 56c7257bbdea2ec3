# What inotifywait reports of changes made here.
# needs: inotifywait
mkdir seen
inotifywait -q -m -o events --format '%e %w%f' seen 2>log & watcher=$!
# It is ready once it reports something.
until grep -q ready events 2>/dev/null; do : >seen/ready; sleep 0.02; done
rm seen/ready
echo a >seen/file; cat seen/file >/dev/null; echo b >>seen/file; chmod 600 seen/file; touch -d 2001-01-01 seen/file
mv seen/file seen/renamed; ln seen/renamed seen/hard; ln -s x seen/soft; rm seen/hard; truncate -s 1 seen/renamed
setfattr -n user.x -v 1 seen/renamed
mkdir seen/dir; rmdir seen/dir; echo c >outside; mv outside seen/inside; mv seen/inside away; rm seen/renamed seen/soft
: >seen/last
n=0; until grep -q 'CLOSE.*last' events; do n=$((n+1)); [ $n -lt 1000 ] || { cat events; exit 1; }; sleep 0.02; done
kill $watcher; wait $watcher 2>/dev/null || true
grep -v ready events
