package wait

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		not := errors.New("not yet")
		for name, c := range map[string]struct {
			after time.Duration // until it holds
			want  error
		}{
			"at once":          {0, nil},
			"before the limit": {9 * time.Second, nil},
			"not at all":       {time.Hour, not},
		} {
			began := time.Now()
			err := Within(10*time.Second, func() error {
				if time.Since(began) < c.after {
					return not
				}
				return nil
			})
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
			if took, most := time.Since(began), min(c.after, 10*time.Second)+2*longest; took > most {
				t.Errorf("%s: it took %v", name, took)
			}
		}
	})
}
