package expr

import "strings"

// Nearest returns the candidate that name is most likely a slip for, or "" when
// none is close. Upper and lower case and the separators '-' and '_' are taken
// for the same. Of equally near candidates the first wins.
func Nearest(name string, candidates []string) string {
	const prefixMin = 4 // a shorter beginning says too little
	n := fold(name)
	if n == "" {
		return ""
	}
	best, bestDistance := "", 1+max(1, min(3, len(n)/3))
	for _, c := range candidates {
		f := fold(c)
		d := distance(n, f)
		if len(n) >= prefixMin && strings.HasPrefix(f, n) {
			d = min(d, bestDistance-1, 2)
		}
		if d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func fold(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "-", "_")
}

// distance is the number of single-byte edits, or swaps of neighbours, that
// turn a into b.
func distance(a, b string) int {
	prev2 := make([]int, len(b)+1)
	prev := make([]int, len(b)+1)
	cur := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
