# What shells and text tools do with files.
set -C; echo a >f; (echo b >f) 2>/dev/null || echo "not over a file that is there"; echo c >|f; set +C
echo d >>f; echo e | tee -a f >/dev/null; cat f; cat <>f; exec 3<>f; read -r x <&3; echo "$x" ; echo Z >&3; exec 3>&-; cat f
mkfifo p; (cat p >from-fifo) & w=$!; seq 1 100000 >p; wait $w; cksum from-fifo
seq 1 20000 | sort -R --random-source=/bin/sh >mixed; sort -n -o mixed mixed; seq 1 20000 | cmp - mixed && echo sorted
sort -n -r -S 100k -T . mixed | cksum
split -n l/7 mixed part.; ls part.*; cat part.* | cmp - mixed; csplit -s mixed 5 '/^777$/' '{0}'; wc -l xx*
gzip -k mixed; gzip -l mixed.gz | tail -n 1 | sed 's/ *[0-9.]*%//;s/  */ /g'; touch -d 2005-06-07 mixed; gzip -f mixed; stat -c %y mixed.gz; zcat mixed.gz | cksum
(while read -r l; do echo "$l"; [ "$l" != end ] || break; done) <<H
here
end
H
: >log; (tail -n +1 -f log --pid=$$ 2>/dev/null | sed -u '/end/q' >followed) & t=$!
for i in 1 2 3; do echo "line $i" >>log; done; echo end >>log; wait $t; cat followed
# A log that is copied and cut while its writer goes on appending.
exec 4>>app; echo one >&4; cp app app.1; : >app; echo two >&4; exec 4>&-; cat app app.1; stat -c %s app
cat f >f.new && mv f.new f; d=$(mktemp -d -p .); rmdir "$d"; m=$(mktemp -p .); stat -c '%a %s' "$m"; rm "$m"
exec 5<f; rm f; cat <&5; exec 5<&-
umask 077; echo private >private; mkdir inner; umask 002; echo shared >shared; mkdir group; stat -c '%n %a' private inner shared group
