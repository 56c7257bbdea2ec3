# Holes: where they are, and who keeps them.
# needs: perl tar
map() { sync "$1"; perl -e 'open F, "<", $ARGV[0]; my ($at, $end) = (0, -s F); while ($at < $end) { my $d = sysseek(F, $at, 3); last unless $d;
  my $h = sysseek(F, $d, 4); print "$ARGV[0]: ", $d + 0, " to ", $h + 0, "\n"; $at = $h } print "$ARGV[0]: ends at $end\n"; sysseek(F, $end, 3) or print "$!\n"' "$1"; }
truncate -s 10M f; map f
for at in 0 1000000 4194304 4198400 9999999; do printf 'some bytes' | dd of=f bs=1 seek=$at conv=notrunc status=none; done; map f
yes abc | dd of=f bs=4096 seek=512 count=100 iflag=fullblock conv=notrunc status=none; map f
cp --sparse=auto f auto; map auto; cp --sparse=always f always; map always; cp --sparse=never f never; cmp f never
tar -S --hole-detection=seek -cf s.tar f; tar -S --hole-detection=raw -cf r.tar f; for a in s r; do mkdir $a; tar -C $a -xSf $a.tar; cmp f $a/f; map $a/f; done
dd if=f of=dd conv=sparse bs=4096 status=none; map dd; cat f >cat; cmp f cat
truncate -s 5M f; map f; truncate -s 20M f; map f; printf x >>f; map f
truncate -s 4E huge 2>/dev/null || truncate -s 15T huge; stat -c %b huge; truncate -s 8T tera; printf end | dd of=tera bs=1 seek=7T conv=notrunc status=none; map tera
