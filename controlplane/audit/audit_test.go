package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
)

// chain makes n lines whose text says what.
func chain(n int, what string) (lines []string) {
	prev := ""
	for i := range n {
		text := fmt.Sprintf(`{"seq":%d,"prev":%q,"event":%q}`, i+1, prev, what)
		sum := sha256.Sum256([]byte(text))
		prev = hex.EncodeToString(sum[:])
		lines = append(lines, text)
	}
	return lines
}

func TestAChainIsFollowed(t *testing.T) {
	b := brokertest.Embedded(t)
	good, other := chain(6, "BEGUN"), chain(6, "FORGED")
	for name, c := range map[string]struct {
		sent    [][]string // of the installation i1
		next    []string   // of the installation i2
		last    int64
		missing int64
		broken  string
		lines   int
	}{
		"nothing":                        {lines: 0},
		"a whole one":                    {sent: [][]string{good[:2], good[2:]}, last: 6, lines: 4},
		"lines that come twice":          {sent: [][]string{good[:4], good[1:5], good[5:]}, last: 6, lines: 4},
		"lines that are missing":         {sent: [][]string{good[:2], good[4:]}, last: 6, missing: 2, lines: 4},
		"whose beginning is gone":        {sent: [][]string{good[3:]}, last: 6, lines: 3},
		"that was written anew":          {sent: [][]string{good[:4], other[:5]}, last: 5, broken: "line 1 came a second time", lines: 4},
		"that goes on otherwise":         {sent: [][]string{good[:4], other[4:]}, last: 6, broken: "line 5 does not follow", lines: 4},
		"that goes back":                 {sent: [][]string{good[3:], other[:1]}, last: 6, broken: "line 1 came after line 6", lines: 3},
		"with something else":            {sent: [][]string{good[:1], {"surprise"}, good[1:2]}, last: 2, broken: "cannot be read", lines: 2},
		"of a host that was set up anew": {sent: [][]string{good}, next: other[:2], last: 2, lines: 2},
	} {
		t.Run(name, func(t *testing.T) {
			server := strings.ReplaceAll(name, " ", "-")
			send := func(installation string, lines []string) {
				raw, err := json.Marshal(protocol.AuditLines{ServerID: server, InstallationID: installation, Lines: lines})
				if err == nil {
					_, err = b.JS.Publish(t.Context(), protocol.AuditSubject(server), raw)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, lines := range c.sent {
				send("i1", lines)
			}
			if c.next != nil {
				send("i2", c.next)
			}
			got, err := Read(t.Context(), b.JS, server, 4)
			if err != nil {
				t.Fatal(err)
			}
			if got.Last != c.last || got.Missing != c.missing || len(got.Lines) != c.lines || !strings.Contains(got.Broken, c.broken) || c.broken == "" && got.Broken != "" {
				t.Errorf("%+v", got)
			}
		})
	}
}
