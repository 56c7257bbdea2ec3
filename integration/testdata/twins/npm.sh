# npm: packages packed, installed from their archives, linked, and installed
# again as the lock file says.
# wants: npm node
export npm_config_cache="$PWD/cache" npm_config_audit=false npm_config_fund=false npm_config_update_notifier=false npm_config_offline=true HOME="$PWD"
mkdir packed; n=0
while [ $n -lt 4 ]; do
  mkdir -p p$n/lib; deps=; [ $n = 0 ] || deps="\"p$((n-1))\": \"file:../packed/p$((n-1))-1.0.$((n-1)).tgz\""
  printf '{"name":"p%d","version":"1.0.%d","main":"lib/index.js","bin":{"run-%d":"run.js"},"scripts":{"postinstall":"node -e \\"require(%sfs%s).writeFileSync(%smade%s,%sby %d%s)\\""},"dependencies":{%s}}' \
    $n $n $n "'" "'" "'" "'" "'" $n "'" "$deps" >p$n/package.json
  printf '#!/usr/bin/env node\nconsole.log("run %d", require("./lib").n);\n' $n >p$n/run.js
  [ $n = 0 ] && up=0 || up="require('p$((n-1))').n"; echo "exports.n = $n + $up;" >p$n/lib/index.js
  echo "text $n" >p$n/README.md
  if [ $n = 0 ]; then (cd p0 && npm pack --silent --pack-destination ../packed)
  else tar -czf packed/p$n-1.0.$n.tgz --transform="s#^p$n#package#" --sort=name --mtime=1985-10-26 --owner=0 --group=0 p$n; fi; n=$((n+1))
done
mkdir app; cd app; echo '{"name":"app","version":"1.0.0","private":true}' >package.json
npm install --silent --foreground-scripts ../packed/p3-1.0.3.tgz; npm ls --all | sed "s#$(dirname "$PWD")##"; node -p 'require("p3").n'; node_modules/.bin/run-3
tree() { find node_modules -printf '%p %y %m %s %l\n' | grep -v 'package-lock\| d ' | sort; }
tree >../first; rm -rf node_modules; npm ci --silent; tree | diff ../first - && echo "the same again"; find node_modules -type l | wc -l; cat node_modules/p3/made
mkdir ../linked; cp package.json ../linked; cd ../linked; npm install --silent --install-links=false ../p0 ; readlink node_modules/p0; node -p 'require("p0").n'
npm uninstall --silent p0; ls -A
