//go:build container

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
)

// row is what became of the cases of a test: how often their hosts lost their power
// or were restarted by somebody else; what was said and did not arrive; what was
// done more often than it was allowed; what did not come to its end.
type row struct{ cases, cuts, lost, doubled, stuck int }

var tolls = struct {
	sync.Mutex
	rows map[string]*row
}{rows: map[string]*row{}}

// count adds a case to the table that is printed at the end.
func (h *unitHost) count(more row) {
	h.counted = true
	more.cases = 1
	tolls.Lock()
	defer tolls.Unlock()
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(h.t.Name(), "Test"), "Container"), "/")
	if tolls.rows[name] == nil {
		tolls.rows[name] = &row{}
	}
	tolls.rows[name].add(more)
}

func (r *row) add(more row) {
	r.cases, r.cuts, r.lost, r.doubled, r.stuck = r.cases+more.cases, r.cuts+more.cuts, r.lost+more.lost, r.doubled+more.doubled, r.stuck+more.stuck
}

func init() { atEnd = tell }

// tell writes the table to the file E2E_TABLE, which is printed where it is not given.
func tell() error {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tcases\tcuts\tlost\tdoubled\tstuck\t")
	var names []string
	var all row
	for name, r := range tolls.rows {
		names = append(names, name)
		all.add(*r)
	}
	slices.Sort(names)
	tolls.rows["in all"] = &all
	for _, name := range append(names, "in all") {
		r := tolls.rows[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t\n", name, r.cases, r.cuts, r.lost, r.doubled, r.stuck)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if file := os.Getenv("E2E_TABLE"); file != "" {
		return os.WriteFile(file, table.Bytes(), 0o600)
	}
	_, err := table.WriteTo(os.Stdout)
	return err
}
