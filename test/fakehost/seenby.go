package fakehost

import "slices"

// Task is a type of task whose tests go through the faults of a host.
type Task string

// The types of tasks that a fault may be seen by.
const (
	Upgrade       Task = "HDK_UPGRADE"
	Diagnosis     Task = "DIAGNOSIS"
	LogCollection Task = "DEVICE_LOG_COLLECT"
)

func by(tasks ...Task) []Task { return tasks }

// Missing are the faults that a task sees and that are not among those which its tests
// go through.
func Missing(task Task, tested []Fault) []Fault {
	var missing []Fault
	for _, f := range Faults() {
		if slices.Contains(f.SeenBy, task) && !slices.Contains(tested, f.Fault) {
			missing = append(missing, f.Fault)
		}
	}
	return missing
}
