# sed -i and perl -i: a new file takes the place of the old one.
# needs: sed perl
seq 1 3000 >f; chmod 640 f; ln f hard; i=$(stat -c %i f)
sed -i 's/9/nine/g' f; stat -c '%a %h' f; cksum f hard; [ "$i" != "$(stat -c %i f)" ] && echo "another inode"
sed -i.bak -e '2,2990d' f; cat f; stat -c '%a %s' f.bak
ln -s f soft; sed -i --follow-symlinks 's/1/one/' soft; readlink soft; cat f
sed -i 's/one/two/' soft; stat -c %F soft
perl -pi -e 's/nine/9/' f; cat f; perl -i.orig -ne 'print if /9/' f; wc -l f f.orig
sed -n -i 'w parts' f; wc -c f parts
chmod 400 f; sed -i 's/9/x/' f; stat -c '%a' f
mkdir locked; cp f locked; (cd locked && sed -i -e '$a end' f && tail -n 1 f); ls -A locked
