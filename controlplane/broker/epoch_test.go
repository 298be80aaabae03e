package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A stream that is created while one of the same name is being deleted loses its folder
// (nats-server 2.15.2, stream.stop: out of the account's map first, folder moved last).
func TestALossCountsWhenTwoChecksAgree(t *testing.T) {
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	whole := creations{"A": first, "B": first}
	none := creations(nil) // the broker does not answer
	for name, c := range map[string]struct {
		looks   []creations // the last one is seen from then on
		says    string      // empty: never anything
		atWhich int         // look, the first one is 1
	}{
		"all is there":                  {[]creations{whole}, "", 0},
		"no answer":                     {[]creations{whole, none}, "", 0},
		"one is missing":                {[]creations{{"B": first}}, "A is missing", 2},
		"one after the other":           {[]creations{{"B": first}, {}}, "A is missing, B is missing", 3},
		"recreated":                     {[]creations{{"A": second, "B": first}}, "A was recreated", 2},
		"missing, then recreated":       {[]creations{whole, {"A": first}, {"A": first, "B": second}}, "B was recreated", 4},
		"missing and back":              {[]creations{{"A": first}, whole}, "", 0},
		"no answer in between":          {[]creations{{"A": first}, none, {"A": first}}, "B is missing", 3},
		"one more while none is missed": {[]creations{{"A": first, "B": first, "C": first}}, "", 0},
		"never twice the same":          {[]creations{{}, {"B": first}, {}, {"B": second}, {"B": first}, whole}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
				defer cancel()
				looked := 0
				err := Epoch{streams: whole}.watch(ctx, time.Second, func() (creations, error) {
					now := c.looks[min(looked, len(c.looks)-1)]
					looked++
					if now == nil {
						return nil, errors.New("no answer")
					}
					return now, nil
				})
				if c.says == "" {
					if err != nil || looked < 99 {
						t.Errorf("after %d looks: %v", looked, err)
					}
					return
				}
				if !errors.Is(err, ErrForgot) || err.Error() != ErrForgot.Error()+": "+c.says || looked != c.atWhich {
					t.Errorf("after %d looks: %v", looked, err)
				}
			})
		})
	}
}
