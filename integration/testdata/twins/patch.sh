# diff and patch over a tree, there and back, and what does not fit.
# needs: patch diff
mkdir old; cp -a "$SRC/text/template" old/template; cp -a old new
(cd new/template && sed -i 's/return/return  /' exec.go && rm doc.go && seq 1 20 >added && mv link_test.go moved.go)
diff -ruN old new >change || true; grep -c '^[-+]' change
cp -a old work; (cd work && patch -p1 -s <../change && diff -r . ../new && echo equal)
(cd work && patch -p1 -s -R <../change && diff -r . ../old && echo back)
sed 's/func/fnuc/' old/template/exec.go >work/template/exec.go
(cd work && patch -p1 -b <../change | sed 's/ at [0-9].*//' | sort -u) || echo "does not fit"
find work -name '*.orig' -o -name '*.rej' | sort
diff -rq old new | sort
