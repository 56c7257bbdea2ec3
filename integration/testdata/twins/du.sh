# du: what files take, and what they say they are.
# needs: du
head -c 1000000 /bin/sh >/dev/null
for n in 1 4096 4097 65536 100000 1000000; do yes "some text" | head -c $n >f$n; done
ln f65536 linked; truncate -s 50M hole; : >empty
du --apparent-size -B1 f* linked hole empty | sort -k2
sync f*; du -B1 f* hole empty | sort -k2
du -c -B1 f65536 linked | tail -n 1
du --inodes . ; du -a --inodes . | wc -l
stat -c '%n %s %b %B' f* hole empty
df --output=fstype . >/dev/null && df -i . >/dev/null && echo "df has figures"
