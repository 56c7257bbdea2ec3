package placement

// matching is the size of a maximum matching in a bipartite graph: edges[i] are the right nodes (below rights) that left
// node i may be matched to. By augmenting paths: sizes here are at most MaxShards on the left.
func matching(edges [][]int, rights int) int {
	owner := make([]int, rights) // right node -> left node + 1
	size := 0
	for left := range edges {
		if augment(edges, owner, make([]bool, rights), left) {
			size++
		}
	}
	return size
}

func augment(edges [][]int, owner []int, seen []bool, left int) bool {
	for _, right := range edges[left] {
		if seen[right] {
			continue
		}
		seen[right] = true
		if owner[right] == 0 || augment(edges, owner, seen, owner[right]-1) {
			owner[right] = left + 1
			return true
		}
	}
	return false
}

// happiness is how many different shards are held in as many different failure domains, none of them here: that many
// losses of domains it takes, less k-1, to lose the stripe. Equal shards (k = 1) may stand in for one another.
func (d Distinct) happiness(r *Record, infos []StoreInfo) int {
	numbers := map[string]int{}
	domainOf := map[uint32]int{}
	for _, s := range elsewhere(infos) {
		name := d.domain(&s)
		if _, ok := numbers[name]; !ok {
			numbers[name] = len(numbers)
		}
		domainOf[s.Number] = numbers[name]
	}
	edges := make([][]int, len(r.Shards))
	for i := range r.Shards {
		for j := range r.Shards {
			n, known := domainOf[r.Shards[j].Store]
			if known && r.Shards[j].Held && r.Shards[i].ID == r.Shards[j].ID {
				edges[i] = append(edges[i], n)
			}
		}
	}
	return matching(edges, len(numbers))
}

// spare is how many more of the shards held at stores for which online is true may be lost; negative: too few now.
func (r *Record) spare(online func(store uint32) bool) int {
	n := 0
	for _, s := range r.Shards {
		if s.Held && online(s.Store) {
			n++
		}
	}
	return n - r.Code.K
}
