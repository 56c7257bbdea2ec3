# dd past the page cache, at odd places, and onto what is there.
# needs: dd cksum
dd if=/dev/zero bs=4096 count=16 of=direct oflag=direct status=none
dd if=/dev/zero bs=512 count=3 of=sector oflag=direct status=none
dd if=direct iflag=direct bs=64k of=copy status=none
cmp direct copy
yes line | dd of=text bs=1000 count=100 iflag=fullblock status=none
printf X | dd of=text bs=1 seek=777 conv=notrunc status=none
printf Y | dd of=text bs=1 seek=200000 conv=notrunc status=none
dd if=text of=text bs=4096 skip=2 seek=20 count=3 conv=notrunc status=none
cksum <text
printf tail | dd of=text oflag=append conv=notrunc status=none
dd if=text of=part bs=1 skip=99990 count=20 status=none
cksum text part
dd if=/dev/zero of=absent conv=nocreat status=none 2>&1 || echo "refused: $?"
dd if=/dev/zero of=text conv=excl status=none 2>&1 || echo "refused: $?"
dd if=text of=synced bs=3k oflag=sync,dsync conv=fsync,fdatasync status=none
cmp text synced
dd if=/dev/zero of=sparse bs=1 count=0 seek=5G status=none
stat -c '%n %s' -- *
