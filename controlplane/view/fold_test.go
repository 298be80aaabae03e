package view

import (
	"encoding/json"
	"testing"

	"devserver-agent/protocol"
)

// foldTwo takes in two statuses and checks what must hold whatever they are.
func foldTwo(t *testing.T, first, second []byte) {
	v := newView()
	var verdict protocol.State
	for _, data := range [][]byte{first, second} {
		var s protocol.Status
		if json.Unmarshal(data, &s) != nil {
			continue
		}
		outcome := v.ApplyStatus("server-a", s, start)
		j, _ := v.Job(record.ID)
		if other := j.Tasks[1]; other.Status != protocol.Processing {
			t.Errorf("server-a ended server-b's task: %+v", other)
		}
		got := j.Tasks[0]
		if outcome != Taken && outcome != Late && outcome != Repeated && verdict == "" && got.Status.Terminal() {
			t.Errorf("a %s status ended the task", outcome)
		}
		if verdict != "" && got.Status != verdict {
			t.Errorf("verdict %s became %s", verdict, got.Status)
		}
		if got.Status.Terminal() {
			verdict = got.Status
		}
		if got.Percent < 0 || got.Percent > 100 || len(got.Message) > protocol.MaxMessage+512 {
			t.Errorf("task is %+v", got)
		}
	}
}
