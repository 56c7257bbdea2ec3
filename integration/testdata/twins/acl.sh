# Access control lists as people set and copy them.
# needs: setfacl getfacl
all() { find "$1" | sort | xargs -d '\n' getfacl -c; } # getfacl -R has the folder's own order
mkdir d; echo x >d/f; chmod 640 d/f; setfacl -m u:daemon:rw,g:bin:r d/f; getfacl d/f; stat -c %a d/f; ls -l d/f | cut -c1-11
chmod 600 d/f; getfacl -c d/f; chmod g+rw d/f; getfacl -ce d/f; setfacl -m m::r d/f; getfacl -ce d/f
setfacl -d -m u:daemon:rwx,g::rx,o::- d; getfacl -c d; umask 077; echo new >d/new; mkdir d/sub; all d; umask 022
cp -a d copy; all copy; cp -r d plain; all plain; cp --preserve=mode d/f kept; getfacl -c kept
getfacl -R d >saved; setfacl -R -b d; all d; setfacl --restore=saved; getfacl -R d | sort | cksum
setfacl -x u:daemon d/f; setfacl -k d; all d; setfacl -b d/f; stat -c %a d/f; ls -l d/f | cut -c1-11
getfacl --access d/new | setfacl --set-file=- d/f; getfacl -c d/f; ln -s f d/link; setfacl -P -R -m o::x d; getfacl -cP d/link 2>&1 || true
setfacl -d -m u:bin:r d/f 2>&1 || echo refused; setfacl -m u:daemon:rw,m::x d/f; mv d/f moved; getfacl -c moved
tar --acls -cf t.tar copy; rm -r copy; tar --acls -xf t.tar; all copy
chmod 4750 moved; setfacl -m g:daemon:rx moved; stat -c %a moved; setfacl -b moved; stat -c %a moved
