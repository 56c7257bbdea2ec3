package storm

import "strings"

func (a *actor) rename() {
	if from := a.pick(a.files()); from != "" {
		to := a.fresh("name")
		if a.r.IntN(3) == 0 {
			to = a.pick(a.files())
		}
		if a.sameFile(from, to) {
			return // which does nothing
		}
		a.do(call{Op: "rename", Name: from, To: to})
	}
}

func (a *actor) sameFile(x, y string) bool {
	s := a.history.now()
	i, there := s.names[x]
	j, too := s.names[y]
	return there && too && i == j
}

func (a *actor) exchange() {
	if x, y := a.pick(a.files()), a.pick(a.files()); x != y {
		a.do(call{Op: "exchange", Name: x, To: y})
	}
}

func (a *actor) link() {
	if name := a.pick(a.files()); name != "" {
		a.do(call{Op: "link", Name: name, To: a.fresh("link")})
	}
}

func (a *actor) symlink() {
	a.do(call{Op: "symlink", Name: a.fresh("sym"), To: a.pick(append(a.files(), "nowhere"))})
}

func (a *actor) unlink() {
	if name := a.pick(append(a.files(), a.namesOf('l')...)); name != "" {
		a.do(call{Op: "unlink", Name: name})
	}
}

// mkdir makes a folder, or removes one that is empty.
func (a *actor) mkdir() {
	folders := a.namesOf('d')
	if len(folders) < 5 {
		a.do(call{Op: "mkdir", Name: a.fresh("dir")})
		return
	}
	if name := a.pick(folders); !a.holds(name) {
		a.do(call{Op: "rmdir", Name: name})
	}
}

// holds says whether there is anything in a folder.
func (a *actor) holds(folder string) bool {
	for name := range a.history.now().names {
		if strings.HasPrefix(name, folder+"/") {
			return true
		}
	}
	return false
}

// renameFolder moves a folder with all that is in it.
func (a *actor) renameFolder() {
	from := a.pick(a.namesOf('d'))
	if from == "" {
		return
	}
	if to := a.fresh("moved"); !strings.HasPrefix(to, from+"/") {
		a.do(call{Op: "rename", Name: from, To: to})
	}
}
