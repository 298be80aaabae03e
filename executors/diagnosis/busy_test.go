package diagnosis_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"devserver-agent/executors/diagnosis"
	"devserver-agent/test/fakehost"
	"devserver-agent/test/hosttest"
)

// A module's flag is gone once it was read. It must not be lost when another program
// asks hccn_tool just then.
func TestAFlagIsNotLostWhileHCCNToolIsBusy(t *testing.T) {
	const module = "present : present\nRx Power0 : 1.02 mW\nRx Los Flag : "
	for name, c := range map[string]struct {
		answers []string // to the questions about light, the last one to all that follow
		want    []string
	}{
		"busy for a while, then still set": {[]string{module + "0x2", "busy", "busy", module + "0x2"},
			[]string{"WARN roce card 7: port of chip 7: Rx Los Flag is 0x2: no light comes in (lane 1)"}},
		"busy for a while, then gone": {[]string{module + "YES", "busy", "busy", module + "NO"},
			[]string{"INFO roce card 7: port of chip 7: Rx Los Flag was YES and is no longer set"}},
		"busy from then on": {[]string{module + "0x2", "busy"},
			[]string{"WARN roce card 7: port of chip 7: Rx Los Flag is 0x2: no light comes in (lane 1); it could not be asked again: hccn_tool was busy"}},
		"broken from then on": {[]string{module + "0x2", "Cmd execute failed!"},
			[]string{"WARN roce card 7: port of chip 7: Rx Los Flag is 0x2: no light comes in (lane 1); it could not be asked again: hccn_tool failed (Cmd execute failed!)"}},
		"busy at first": {[]string{"busy", "busy", module + "0x2", module + "0x0"},
			[]string{"INFO roce card 7: port of chip 7: Rx Los Flag was 0x2 and is no longer set"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := fakehost.ForTest(t, fakehost.A2, fakehost.Options{Cards: 2})
			path := fake.Path(tools["hccn_tool"][0])
			dir := t.TempDir()
			for i, answer := range c.answers {
				answer = strings.ReplaceAll(answer, "busy", "hccn_tool is busy, please try again later.")
				write(t, fmt.Sprintf("%s/%d", dir, i), answer+"\n")
			}
			if err := os.Rename(path, path+".own"); err != nil {
				t.Fatal(err)
			}
			script := fmt.Sprintf("#!/bin/bash\n[ \"$*\" = '-i 7 -optical -g' ] || exec '%[2]s.own' \"$@\"\n"+
				"n=$(cat '%[1]s/asked' 2>/dev/null || echo 0)\necho $((n + 1)) >'%[1]s/asked'\n"+
				"[ -e '%[1]s/'$n ] || n=%[3]d\nexec cat '%[1]s/'$n\n", dir, path, len(c.answers)-1)
			for _, name := range tools["hccn_tool"] {
				err := os.Remove(fake.Path(name))
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					t.Fatal(err)
				}
				if err := os.WriteFile(fake.Path(name), []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			d := diagnosis.Diagnosis{Root: fake.Root(), BusyPause: time.Millisecond}
			report, err := d.Examine(t.Context(), hosttest.New(t, fake.Root()), []string{"roce"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			symptom{want: c.want}.check(t, report)
		})
	}
}
