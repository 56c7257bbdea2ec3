# Git's whole day; the same commits must come out, by their hashes.
# needs: git
export GIT_AUTHOR_DATE='2006-07-08T09:10:11Z' GIT_COMMITTER_DATE='2006-07-08T09:10:11Z'
git init -q -b main repo; cd repo
cp -r "$SRC/text" "$SRC/encoding/json" "$SRC/encoding/hex" .; mkdir encoding; mv json hex encoding; chmod -R u+w .; ln -s text link; printf x >"$(printf 'odd \t name\377')"
git add -A; git commit -q -m first; git tag -a -m one v1; git rev-parse HEAD v1; git status --porcelain
touch link text/scanner/*; git status --porcelain; git diff --stat
git checkout -q -b topic; git mv text moved; git commit -q -m moved; echo change >>moved/scanner/scanner.go; git commit -qam change
git checkout -q main; echo other >>encoding/json/scanner.go; chmod +x encoding/hex/hex.go; git commit -qam other
echo unfinished >>encoding/json/fold.go; echo new >untracked; git stash push -q -u; git status --porcelain
git rebase -q topic; git rev-parse HEAD; git stash pop -q 2>&1; git status --porcelain; git stash list; git reset -q --hard; git clean -qfdx
git worktree add -q ../tree v1; (cd ../tree; git status --porcelain; echo w >w; git add w; git commit -q -m "in a worktree"; git rev-parse HEAD; git cherry-pick main 2>&1 | grep -c . || true; git cherry-pick --abort 2>/dev/null || true)
git worktree list | sed "s#$(dirname "$PWD")##;s/  */ /g"; git worktree remove ../tree; git worktree prune; ls ..
git checkout -q -b octopus v1; echo o >o; git add o; git commit -q -m o; git merge -q -m merge main topic 2>&1 | tail -n 1; git rev-parse HEAD
git repack -q -a -d; git gc -q --aggressive --prune=now; git fsck --strict --full 2>&1; git count-objects -v | grep -v '^size'; find .git/objects -type f | sed 's/.*\.//' | sort | uniq -c
git -c core.fsync=all -c core.fsyncMethod=batch commit -q --allow-empty -m synced; git rev-parse HEAD
cd ..; git clone -q repo linked; git clone -q --no-hardlinks repo copied; git clone -q --bare "file://$PWD/repo" bare.git; git clone -q --shared repo shared
for r in linked copied bare.git shared; do git -C $r fsck --full --strict; git -C $r rev-parse HEAD; done; diff -r --no-dereference --exclude=.git linked copied && echo "the same tree"
(cd copied; echo pushed >>o; git commit -qam pushed; git push -q ../bare.git HEAD:refs/heads/new); git -C bare.git log --oneline -1 new
(cd linked; git pull -q ../bare.git new; git rev-parse HEAD; git bisect start HEAD v1 >/dev/null 2>&1; git bisect reset >/dev/null 2>&1; git archive HEAD | tar -t | wc -l; git grep -c pushed)
(cd linked; git config core.fileMode; git config core.symlinks || echo default; git config core.ignorecase || echo default)
