# How Emacs saves: a lock that is a dangling link, a backup, numbered ones, and
# auto-saves beside the file.
save() { # FILE: what is in "buffer" becomes FILE
  ln -s "me@here.$$:1" ".#$1"; [ -L ".#$1" ] && [ ! -e ".#$1" ] && readlink ".#$1" | sed "s/$$/pid/"
  ln -s other ".#$1" 2>/dev/null || echo "somebody edits $1"
  cp buffer "#$1#"; [ ! -e "$1" ] || mv -f "$1" "$1$2"
  cp buffer "$1.tmp"; sync "$1.tmp"; [ ! -e "$1$2" ] || chmod --reference="$1$2" "$1.tmp"; mv -f "$1.tmp" "$1"; sync .
  rm "#$1#" ".#$1"
}
echo first >buffer; save doc '~'; chmod 750 doc; echo second >buffer; save doc '~'
for n in 1 2 3; do echo "number $n" >buffer; save doc ".~$n~"; done
# By copying, which keeps links.
ln doc hard; cp -p doc doc.bak; cat buffer buffer >doc
stat -c '%n %a %s %h' doc*; cat doc doc~ doc.~?~ hard; ls -A
