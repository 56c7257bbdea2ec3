# cp in its variants: clones, holes, links, attributes, backups.
# needs: cp setfattr
seq 1 60000 >f; chmod 6711 f; touch -d '2004-05-06 07:08:09.987654321' f; setfattr -n user.note -v kept f; ln f hard; ln -s f soft; touch -h -d 2001-02-03 soft
cp --reflink=auto f auto; cmp f auto && echo equal
cp --reflink=always f always 2>&1 || echo "no clone"; rm -f always
cp --reflink=never f never; cmp f never
cp -a . ../a-copy 2>/dev/null || true; rm -rf ../a-copy
mkdir to; cp -a f hard soft to; (cd to && stat -c '%n %a %s %y %h %F' f hard soft; getfattr -d f)
cp -p f kept; stat -c '%a %y' kept; cp f plain; stat -c %a plain
cp --preserve=links,mode f hard to2 2>&1 || true
cp -l f linked; stat -c %h linked; cp -s f symbolic; readlink symbolic; cp -P soft soft2; readlink soft2; cp -L soft real; stat -c %F real
cp --attributes-only --preserve=all f attrs; stat -c '%s %y' attrs
cp -u never f; stat -c %s f; cp --backup=numbered never f; cp --backup=numbered never f; ls f*
truncate -s 20M holes; printf middle | dd of=holes bs=1 seek=9000000 conv=notrunc status=none
cp --sparse=always holes s1; cp --sparse=auto holes s2; cp --sparse=never holes s3; cmp holes s1; cmp holes s2; cmp holes s3; cksum s1
cp -r to again; diff -r to again && echo "the same tree"; cp -r to to/inside 2>&1 | sed 's/, .*//' || true
cp f to/f/x 2>&1 || echo refused; cp to f 2>&1 || echo refused; cp -n plain f && stat -c %s f
cp --remove-destination plain hard; stat -c '%h %s' hard; cp -f plain soft; stat -c %F soft
