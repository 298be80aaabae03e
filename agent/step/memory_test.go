package step

import (
	"testing"
	"testing/fstest"
)

func TestKillsForWantOfMemoryAreCounted(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	const unit = "devserver-tasks.slice/devserver-step@t:0:01-install.service"
	for name, c := range map[string]struct {
		files fstest.MapFS
		want  int
	}{
		"version 2": {fstest.MapFS{
			"proc/self/cgroup":                         file("0::/" + unit + "\n"),
			"sys/fs/cgroup/" + unit + "/memory.events": file("low 0\nhigh 0\nmax 14\noom 1\noom_kill 2\noom_group_kill 0\n"),
		}, 2},
		"version 1": {fstest.MapFS{
			"proc/self/cgroup": file("12:memory:/" + unit + "\n3:cpu,cpuacct:/" + unit + "\n1:name=systemd:/" + unit + "\n"),
			"sys/fs/cgroup/memory/" + unit + "/memory.oom_control": file("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
		}, 1},
		"both, the controller in version 1": {fstest.MapFS{
			"proc/self/cgroup":                          file("5:memory:/x\n0::/x\n"),
			"sys/fs/cgroup/memory/x/memory.oom_control": file("oom_kill 3\n"),
		}, 3},
		"an old kernel that does not count": {fstest.MapFS{
			"proc/self/cgroup":                          file("5:memory:/x\n"),
			"sys/fs/cgroup/memory/x/memory.oom_control": file("oom_kill_disable 0\nunder_oom 0\n"),
		}, 0},
		"the root of a namespace": {fstest.MapFS{
			"proc/self/cgroup":            file("0::/\n"),
			"sys/fs/cgroup/memory.events": file("oom_kill 4\n"),
		}, 4},
		"a path with colons that is cut short": {fstest.MapFS{"proc/self/cgroup": file("0:\n\n::\n")}, 0},
		"no control groups":                    {fstest.MapFS{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := oomKills(c.files); got != c.want {
				t.Errorf("it counts %d, want %d", got, c.want)
			}
		})
	}
}
