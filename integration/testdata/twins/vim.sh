# vim's ways of saving: by rename, by copying back, by what it finds.
# needs: vim.tiny
v() { vim.tiny -u NONE --cmd "set backupskip=" -i NONE -n -es "$@" </dev/null; }
same() { [ "$i" = "$(stat -c %i f)" ] && echo "$1: the same inode" || echo "$1: another inode"; }
for how in yes no auto 'auto,breaksymlink' 'auto,breakhardlink'; do
  rm -f f f~ hard; seq 1 100 >f; chmod 640 f; touch -d 2001-01-01 f; i=$(stat -c %i f)
  v -c "set backup backupcopy=$how" -c '%s/1/one/g' -c w -c q f; same "$how"
  stat -c '%a %s %h' f f~; cksum f f~; find f -newermt 2020-01-01
  ln f hard; i=$(stat -c %i f); v -c "set nobackup writebackup backupcopy=$how" -c 'normal Gdd' -c wq f; same "$how, linked"
  cksum f hard; stat -c %h f
done
seq 1 20000 >long; v -c 'set swapfile directory=. updatecount=10' -c 'normal GyyP' -c '10,19990d' -c 'w! copy' -c 'w >>copy' -c q! long; wc -l copy; ls -A
ln -s f soft; v -c 'normal ggdd' -c wq soft; readlink soft; wc -l f
chmod 444 f; v -c 'normal ggdd' -c 'w!' -c q f; wc -l f; stat -c %a f
