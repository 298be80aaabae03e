package lazyregexp_test

import (
	"regexp"
	"slices"
	"sync"
	"testing"

	"devserver-agent/executors/lazyregexp"
)

// What it finds is what the expression finds that is compiled at once.
func TestItFindsWhatAnExpressionFinds(t *testing.T) {
	const text = `(?i)chip (\d+)`
	for _, s := range []string{"", "Chip 1 and CHIP 22", "chip"} {
		lazy, at := lazyregexp.New(text), regexp.MustCompile(text)
		for name, same := range map[string]bool{
			"String":                  lazy.String() == at.String(),
			"MatchString":             lazy.MatchString(s) == at.MatchString(s),
			"FindString":              lazy.FindString(s) == at.FindString(s),
			"FindStringIndex":         slices.Equal(lazy.FindStringIndex(s), at.FindStringIndex(s)),
			"FindStringSubmatch":      slices.Equal(lazy.FindStringSubmatch(s), at.FindStringSubmatch(s)),
			"FindStringSubmatchIndex": slices.Equal(lazy.FindStringSubmatchIndex(s), at.FindStringSubmatchIndex(s)),
			"FindAllString":           slices.Equal(lazy.FindAllString(s, 1), at.FindAllString(s, 1)),
			"FindAllStringIndex":      slices.EqualFunc(lazy.FindAllStringIndex(s, -1), at.FindAllStringIndex(s, -1), slices.Equal[[]int]),
			"FindAllStringSubmatch":   slices.EqualFunc(lazy.FindAllStringSubmatch(s, -1), at.FindAllStringSubmatch(s, -1), slices.Equal[[]string]),
			"ReplaceAllString":        lazy.ReplaceAllString(s, "<$1>") == at.ReplaceAllString(s, "<$1>"),
			"ReplaceAll":              string(lazy.ReplaceAll([]byte(s), []byte("$1"))) == string(at.ReplaceAll([]byte(s), []byte("$1"))),
		} {
			if !same {
				t.Errorf("%s differs for %q", name, s)
			}
		}
	}
}

func TestManyMayUseItAtOnce(t *testing.T) {
	lazy := lazyregexp.New(`^a+$`)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if !lazy.MatchString("aaa") {
				t.Error("it does not match")
			}
		})
	}
	all.Wait()
}

func TestATextThatIsNoneIsFoundByTests(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it is taken")
		}
	}()
	lazyregexp.New(`(`)
}
