package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"devserver-agent/controlplane/access"
	"devserver-agent/test/support/plainwords"
)

func TestWhoIsNotAdmittedReadsWhatHeMayDo(t *testing.T) {
	user := func(projects ...string) access.User {
		return access.User{Name: "ops", Role: access.Operator, Projects: projects}
	}
	var many []string
	for i := range 25 {
		many = append(many, fmt.Sprintf("p%d", i))
	}
	for name, c := range map[string]struct {
		user access.User
		err  error
		want string
	}{
		"another project":       {user("p1", "p2"), access.ErrProject, "ops may not use project p3, only p1, p2"},
		"no project":            {user(), access.ErrProject, "ops may not use project p3, nor any other"},
		"another of many":       {user(many...), access.ErrProject, "p18, p19 and 5 more"},
		"too small a role":      {user("p3"), access.ErrRole, "ops has the role operator, and this takes the role keeper"},
		"no credentials at all": {access.User{}, access.ErrNoCredentials, "neither X-Auth-Token nor a signature"},
	} {
		var f *failure
		if err := refusal(c.user, "p3", access.Keeper, c.err); !errors.As(err, &f) || !strings.Contains(f.Message, c.want) {
			t.Errorf("%s: %v, want ...%s...", name, err, c.want)
			continue
		}
		plainwords.Check(t, "", f.Message)
	}
}
