package container

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// improper is what Podman 4.3.1 answers, with 500, to a stop or a removal of a container
// that dies while it is killed (libpod/oci_conmon_common.go, killContainer).
const improper = `{"message":"sending SIGKILL to container n: container state improper: stopped"}`

func refuses(w http.ResponseWriter, status int, why string) {
	w.WriteHeader(status)
	fmt.Fprint(w, why)
}

// A container that ends, or is removed by somebody else, at the same time is removed; one
// that the engine cannot remove is reported.
func TestTheEngineRefusesToRemove(t *testing.T) {
	for name, c := range map[string]struct {
		status, times int
		why           string
		stays         bool
	}{
		"Podman: it dies":               {500, 2, improper, false},
		"Docker: it is removed already": {409, 3, `{"message":"removal of container n is already in progress"}`, false},
		"its folder is in use for good": {500, 1000, `{"message":"device or resource busy"}`, true},
		"a bad parameter":               {400, 1, `{"message":"bad parameter"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				e, end := engineInMemory(map[string]http.HandlerFunc{"DELETE ": func(w http.ResponseWriter, _ *http.Request) {
					if asked++; asked <= c.times {
						refuses(w, c.status, c.why)
						return
					}
					w.WriteHeader(http.StatusNoContent)
				}})
				defer end()
				began := time.Now()
				err := e.remove(t.Context(), "n")
				if (err != nil) != c.stays || c.stays && !answers(err, c.status) || time.Since(began) > 10*time.Second {
					t.Errorf("it was asked %d times in %v: %v", asked, time.Since(began), err)
				}
			})
		})
	}
}

// A container that ended is stopped, whatever the engine says.
func TestTheEngineRefusesToStop(t *testing.T) {
	for status, ended := range map[string]bool{"exited": true, "stopped": true, "running": false, "stopping": false} {
		synctest.Test(t, func(t *testing.T) {
			e, end := engineInMemory(map[string]http.HandlerFunc{
				"POST stop": func(w http.ResponseWriter, _ *http.Request) { refuses(w, 500, improper) },
				"GET json":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"State":{"Status":%q}}`, status) },
			})
			defer end()
			if err := e.stop(t.Context(), "n", time.Second); (err == nil) != ended || err != nil && !answers(err, 500) {
				t.Errorf("%s: %v", status, err)
			}
		})
	}
}
