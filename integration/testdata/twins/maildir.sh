# Mail delivery: many writers into tmp, from there by link or rename into new,
# and readers that move what they find to cur.
mkdir -p box/tmp box/new box/cur
deliver() { for i in $(seq 1 40); do n=$1.$i; echo "mail $n" >box/tmp/$n
  if [ $((i % 2)) = 0 ]; then ln box/tmp/$n box/new/$n && rm box/tmp/$n; else mv -n box/tmp/$n box/new/$n; fi; done; }
collect() { while :; do for f in box/new/*; do [ -e "$f" ] && mv "$f" "box/cur/${f##*/}:2,S" 2>/dev/null || :; done
  [ -e done ] && [ -z "$(ls box/new)" ] && return 0; :; done; }
collect & r1=$!; collect & r2=$!
deliver a & a=$!; deliver b & b=$!; deliver c & c=$!; wait $a; wait $b; wait $c; : >done; wait $r1; wait $r2
ls box/tmp box/new; ls box/cur | wc -l; cat box/cur/* | sort | cksum; stat -c %h box/cur/* | sort -u
