// Package watch shows a job until all its tasks have ended: to a person at a
// terminal, in a log, or to a program.
package watch

import (
	"context"

	"devserver-agent/cmd/devserverctl/client"
)

// Display shows a job as it changes. It is used from one goroutine.
type Display interface {
	// Update shows how the job stands; it is called also when nothing changed.
	// more says that another Update follows at once.
	Update(job client.Job, more bool)
	// Trouble says that the control plane does not answer, and will be asked
	// again.
	Trouble(err error)
	// End shows the job a last time.
	End(job client.Job)
}

// Source calls fn with a job whenever it changed, until it has ended; see
// client.Client.Follow.
type Source func(ctx context.Context, fn func(job client.Job, more bool) error) error

// Run shows the job of a source until it has ended, and returns how it ended. A
// control plane that stops answering is asked again for two minutes, as c has it. When
// ctx ends the job goes on.
func Run(ctx context.Context, c *client.Client, follow Source, d Display) (client.Job, error) {
	var job client.Job
	err := c.Retry(ctx, d.Trouble, func(heard func()) error {
		return follow(ctx, func(next client.Job, more bool) error {
			heard()
			if job = next; !job.Ended() {
				d.Update(job, more)
			}
			return nil
		})
	})
	if err == nil {
		d.End(job)
	}
	return job, err
}
