# Sizes up and down, by truncate(1), the shell, and to what another file has.
# needs: truncate cksum
seq 1 5000 >numbers
truncate -s 10001 numbers; cksum numbers
truncate -s 30000 numbers; cksum numbers
truncate -s -7 numbers; truncate -s +9 numbers; truncate -s %4096 numbers; stat -c %s numbers
truncate -s '<20000' numbers; stat -c %s numbers
truncate -s '>40001' numbers; cksum numbers
truncate -r numbers other; cmp numbers other 2>&1 || true
truncate -c -s 5 absent; [ ! -e absent ] && echo "no file was made"
truncate -s 1T large; stat -c '%s %b' large
printf end >>large; stat -c %s large; tail -c 5 large | od -c
: >numbers; stat -c '%s %b' numbers
truncate -s -1 numbers 2>&1 || true; stat -c %s numbers
mkdir dir; truncate -s 1 dir 2>&1 || echo "refused"
