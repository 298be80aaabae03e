package ascend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"devserver-agent/executors"
)

// Container is a running container that was given an NPU.
type Container struct{ ID, Name string }

// String names a container for a message.
func (c Container) String() string {
	return fmt.Sprintf("container %s (%.12s)", strings.TrimPrefix(c.Name, "/"), c.ID)
}

// Containers asks docker, as Huawei's installer does: it refuses when a
// container was given a node, whether or not anything in it holds it. Hosts
// without docker, or whose docker does not run, have none.
func (n Node) Containers(ctx context.Context) ([]Container, error) {
	listing, err := n.host.Query(ctx, "docker", "ps", "-q", "--no-trunc")
	if errors.Is(err, executors.ErrNotFound) || err == nil && listing.Code != 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids := containerID.FindAllString(string(listing.Output), 512)
	if len(ids) == 0 {
		return nil, nil
	}
	reply, err := n.host.Query(ctx, append([]string{"docker", "inspect"}, ids...)...)
	if err != nil {
		return nil, err
	}
	return ParseContainers(reply.Output), nil
}

// ParseContainers reads what docker inspect prints, one or several JSON lists, and
// keeps the containers that were given an NPU. It has no error: a container that ends
// meanwhile puts a sentence in the place of its description.
func ParseContainers(out []byte) []Container {
	var found []Container
	for in := json.NewDecoder(strings.NewReader(string(out))); ; {
		var list []json.RawMessage
		if err := in.Decode(&list); err != nil {
			return found // its end, or the message of a container that just ended
		}
		for _, raw := range list {
			var c struct{ ID, Name string }
			if json.Unmarshal(raw, &c) == nil && strings.Contains(string(raw), "/dev/davinci") {
				found = append(found, Container{c.ID, c.Name})
			}
		}
	}
}
