# install(1), as every `make install` uses it.
# needs: install
printf '#!/bin/sh\necho ran\n' >tool
install -d -m 2750 lib/sub; stat -c '%a %F' lib/sub
install -D -m 0755 tool out/bin/tool; out/bin/tool; stat -c '%a' out/bin/tool
touch -d '2003-04-05 06:07:08.5' tool
install -p -m 0640 tool out/kept; stat -c '%a %y' out/kept
install -C -m 0640 tool out/kept; install -b -m 4755 tool out/bin/tool; ls out/bin; stat -c %a out/bin/tool
cp -p tool out/bin/tool; stat -c '%a %s' out/bin/tool
install -T tool out/bin 2>&1 || echo refused
install tool tool out 2>&1 || echo refused
