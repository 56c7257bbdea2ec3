# A tree of C files, built in parallel; then only what a change asks for.
# needs: make gcc
mkdir -p src obj
for i in $(seq 1 60); do
  printf '#include "common.h"\n#include "h%d.h"\nint f%d(int n) { return n + ADD + %d + %d; }\n' $((i % 5)) $i $i $((i % 7)) >src/f$i.c
done
for h in 0 1 2 3 4; do echo "enum { H$h = $h };" >src/h$h.h; done
echo '#define ADD 1' >src/common.h
{ for i in $(seq 1 60); do echo "int f$i(int);"; done; echo '#include <stdio.h>'; echo 'int main(void) { int n = 0;'
  for i in $(seq 1 60); do echo "n = f$i(n);"; done; echo 'printf("%d ", n); return 0; }'; } >src/main.c
cat >Makefile <<'M'
OBJS := $(patsubst src/%.c,obj/%.o,$(wildcard src/*.c))
prog: lib.a
	gcc -o $@ -Wl,--whole-archive lib.a -Wl,--no-whole-archive
lib.a: $(OBJS)
	rm -f $@; ar rcs $@ $(sort $^)
obj/%.o: src/%.c
	gcc -O0 -MMD -c -o $@ $<
-include $(wildcard obj/*.d)
M
make -s -j4; ./prog
make -q && echo "nothing to do"; make -s -j4 | sed 's/make\[.*\]/make/'
touch src/h3.h; make -n -j4 | grep -c '^gcc.*-c' || true
make -s -j4; make -q && echo "up to date"
echo 'int f7(int n) { return n; }' >src/f7.c; make -n | grep '^gcc.*-c'; make -s -j4; ./prog
touch -d '1 minute' src/f9.c; make -s 2>/dev/null -j4; make -n 2>/dev/null | grep '^gcc.*-c'; touch src/f9.c; make -s -j4; make -q && echo "and again"
ar t lib.a | wc -l; ls obj | wc -l
