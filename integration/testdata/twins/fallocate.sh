# fallocate(1): room, holes, zeros, and digging for them.
# needs: fallocate cksum
look() { stat -c "$1: %s" f; cksum <f; }
yes 0123456789abcde | head -c 200000 >f
fallocate -l 300000 f; look room
fallocate -l 1000 f; look "room that was there"
fallocate -n -o 300000 -l 100000 f; look "room behind the end"
fallocate -p -o 5000 -l 50000 f; look "a hole at odd places"
fallocate -p -o 65536 -l 65536 f; look "a hole at even ones"
fallocate -z -o 140001 -l 33333 f; look zeros
fallocate -z -o 290000 -l 20001 f; look "zeros over the end"
fallocate -z -n -o 300000 -l 100000 f; look "zeros behind the end"
fallocate -d f; look dug
fallocate -p -o 190000 -l 1T f; look "a hole over the end"
fallocate -p -o 1G -l 1G f; look "a hole behind the end"
fallocate -p -o 1 -l 1 f; look "a hole of one byte"
fallocate -l 0 f 2>&1 || echo refused
fallocate -o -1 -l 5 f 2>&1 | head -n 1
fallocate -x -l 500000 f; look "posix_fallocate"
mkdir d; fallocate -l 5 d 2>&1 || echo refused; fallocate -p -o 0 -l 5 absent 2>&1 || echo refused
# What takes room, once it is written.
blocks() { sync g; stat -c "$1: %s bytes, %b blocks" g; }
yes 0123456789abcde | head -c 1048576 >g; blocks full
fallocate -p -o 262144 -l 262144 g; blocks "a quarter less"
fallocate -p -o 4095 -l 4098 g; blocks "one page less"
fallocate -p -o 0 -l 1048576 g; blocks empty
yes 0123456789abcde | head -c 1048576 >g; dd if=/dev/zero of=g bs=65536 seek=4 count=4 conv=notrunc status=none; blocks "full again"
fallocate -d g; blocks dug; cksum <g
rm f; fallocate -l 20M f; look new; dd if=/dev/zero bs=1M count=3 seek=2 of=f conv=notrunc status=none; look written
