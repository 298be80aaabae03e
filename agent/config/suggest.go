package config

import "strings"

// closest is the one of names that name was probably meant to be, or "".
func closest(name string, names []string) string {
	best, bestDistance := "", len(name)
	for _, candidate := range names {
		if d := distance(name, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	_, last := cutLast(name)
	if bestDistance <= 2 && bestDistance < len(last) {
		return best
	}
	return ""
}

// homeOf is the path of the only key that is called name in whatever section,
// or "".
func homeOf(name string) string {
	home := ""
	for _, k := range Keys() {
		if _, last := cutLast(k.Path); last != name {
			continue
		}
		if home != "" {
			return ""
		}
		home = k.Path
	}
	return home
}

func cutLast(path string) (section, name string) {
	i := strings.LastIndexByte(path, '.')
	return path[:max(i, 0)], path[i+1:]
}

// distance counts the letters to insert, drop or change to get from a to b
// (Levenshtein), giving up at a difference in length of more than 2.
func distance(a, b string) int {
	if len(a) > len(b)+2 || len(b) > len(a)+2 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
