# mv and ln: across directories, onto what is there, and what is refused.
# needs: mv ln
mkdir -p one/deep/er two; echo a >one/file; echo b >two/file; echo c >one/deep/er/x
mv one/file two/moved; cat two/moved
mv one/deep two/; cat two/deep/er/x
mv two/deep one/deep2; ls -R
mv -n two/moved two/file; cat two/file
mv -b two/moved two/file; cat two/file two/file~
mkdir onto; mv -T one onto; ls onto
mkdir -p full/x; mv -T onto full 2>&1 || echo refused
mv full full/x 2>&1 || echo refused
mv two/file full 2>&1; ls full
mv -T full/file full/x 2>&1 || echo refused
mv -T full/x full/file 2>&1 || echo refused
mv full/nothing here 2>&1 || echo refused
i=$(stat -c %i full/file); mv full/file elsewhere; [ "$i" = "$(stat -c %i elsewhere)" ] && echo "the same inode"
ln elsewhere again; mv elsewhere again 2>&1 || ls; stat -c %h again; rm elsewhere
ln again second; ln -s again soft; ln -sf nowhere soft; readlink soft; ln again soft 2>&1 || echo refused
ln -f second soft; stat -c '%h %F' soft; ln full dir 2>&1 || echo refused
touch -d '2002-03-04 05:06:07.123456789' again; mv again full/; stat -c '%y %h' full/again
for i in 1 2 3 4 5 6 7 8 9; do mkdir -p d$i; done; mv d? full; find full | sort; stat -c '%h' full
