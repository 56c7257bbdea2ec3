# flock(1): who has the lock works alone.
# needs: flock
echo 0 >counter
add() { for i in 1 2 3 4 5 6 7 8 9 10; do flock lock sh -c 'n=$(cat counter); echo $((n+1)) >counter'; done; }
add & a=$!; add & b=$!; add & c=$!; wait $a; wait $b; wait $c; cat counter
mkfifo held go
flock lock sh -c 'echo held >held; cat go >/dev/null' & holder=$!
cat held
flock -n lock true || echo "taken: $?"
flock -n -E 9 -s lock true || echo "not to be shared: $?"
flock -w 0.05 lock true || echo "waited in vain: $?"
ln lock name; flock -n name true || echo "by its other name, too: $?"
echo >go; wait $holder
flock -n lock echo free
flock -s lock sh -c 'flock -n -s lock echo shared; flock -n lock true || echo "not alone: $?"'
exec 9>fd; flock -n 9; (flock -n 9 && echo "inherited"); flock -n fd true || echo "by another opening: $?"; flock -u 9; flock -n fd echo "given back"
flock -n . echo "a folder"; exec 9>&-
