# Programs that lie in the folder: binaries, scripts, their interpreters.
cp /bin/sh shell; ./shell -c 'echo a binary'
printf '#!%s\necho a script with an interpreter of here: $1\n' "$PWD/shell" >script; chmod +x script; ./script x
printf '#!/bin/sh\nexec cat "$0"\n' >self; chmod 755 self; ./self
chmod a-x self; ./self 2>/dev/null || echo "not executable: $?"
printf 'no interpreter\n' >none; chmod +x none; (exec ./none) 2>/dev/null || echo "no format: $?"
printf '#!/absent\n' >absent; chmod +x absent; (exec ./absent) 2>/dev/null || echo "no interpreter: $?"
cp /bin/sleep sleeper; ./sleeper 30 & busy=$!
until [ "$(readlink /proc/$busy/exe)" = "$PWD/sleeper" ]; do sleep 0.01; done
(echo more >>sleeper) 2>/dev/null || echo "busy: a write"
(: >sleeper) 2>/dev/null || echo "busy: a truncation"
cp /bin/true other; mv other sleeper; ./sleeper && echo "replaced while it ran"
kill $busy; wait $busy 2>/dev/null || echo "ended: $?"
echo more >>sleeper && echo "free again"
(cp /bin/true gone; ./gone; rm gone; ./gone) 2>/dev/null || echo "gone: $?"
