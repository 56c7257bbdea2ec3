# Removal of trees, deep and wide, while somebody still uses them.
d=deep; mkdir $d; (cd $d; for i in $(seq 1 250); do mkdir directory-$i; cd directory-$i; done; echo bottom >file; cat file; pwd | wc -c | awk '{print ($1 > 3000)}')
find deep | wc -l; rm -rf deep; [ ! -e deep ] && echo gone
mkdir wide; (cd wide && seq 1 2000 | xargs touch); ls wide | wc -l; ls -U wide | sort -n | cksum
(cd wide && for i in $(seq 1 2 2000); do echo $i; done | xargs rm); ls wide | wc -l; ls wide | head -n 3; rm -r wide
mkdir -p x/y/z; rmdir x 2>&1 || echo refused; rmdir -p x/y/z; ls
mkdir held; cd held; echo still >f; exec 3<f; rm f; rmdir ../held; ls -A; cat <&3; (echo x >new) 2>/dev/null || echo "nothing can be made here"; mkdir sub 2>/dev/null || echo "nor a folder"; cd ..; exec 3<&-
mkdir ro; touch ro/f; chmod 555 ro; rm -f ro/f 2>/dev/null; chmod 755 ro; rm -rf ro; : >-f; rm -- -f; rm -d . 2>/dev/null || echo "not the folder itself"
rm nothing 2>&1 || echo refused; rm -f nothing && echo "nothing is fine"; mkdir dir; rm dir 2>&1 || echo refused; unlink dir 2>&1 || echo refused; rm -d dir; ls -A
