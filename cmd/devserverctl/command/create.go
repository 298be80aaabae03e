package command

import (
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/protocol"
)

// createFlags is the command line of job create.
type createFlags struct {
	request client.Request
	items   []string
	servers []string
	token   string
	watch   bool

	concurrent int
}

func (s *session) createCommand() *cobra.Command {
	var f createFlags
	cmd := &cobra.Command{
		Use:   "create --name NAME [--type TYPE] [--item TYPE[,key=value...]]... --server ID[,ID...]",
		Short: "Create a job for some servers",
		Long: `Create a job and print its id. It runs on all its servers at once, or on at most
--max-concurrent of them, in the order they are given; the next one begins when
one has its verdict. A job with disruptive work, such as HDK_UPGRADE, runs
on 10 at once unless told otherwise.

--type may be left out when there is an --item, and the other way round when the
type is that of an item. With --watch the job is shown until it has ended.`,
		Example: `  devserverctl job create --name which-hdk --type HDK_QUERY --server a2-1,a2-2 --watch
  devserverctl job create --name to-rc3 --item HDK_UPGRADE,version=24.1.rc3.10 --server a3-1 --reboot`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("max-concurrent") {
				f.request.MaxConcurrent = &f.concurrent
			}
			return s.create(cmd, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.request.Name, "name", "", "the job's name")
	flags.StringVar(&f.request.Description, "description", "", "what it is for")
	flags.StringVar(&f.request.Type, "type", "", "job type, such as ASCEND_SOFTWARE_QUERY, or an item's")
	flags.StringArrayVar(&f.items, "item", nil, `work to do: TYPE,key=value,... (a comma in a value: \,); may be repeated`)
	flags.StringSliceVar(&f.servers, "server", nil, "ids of the servers; may be repeated")
	flags.BoolVar(&f.request.IsReboot, "reboot", false, "restart the servers once every item has succeeded")
	flags.IntVar(&f.concurrent, "max-concurrent", 0, "how many servers may be at work at once; 0 for all (default: 10 with disruptive work such as HDK_UPGRADE, else all)")
	flags.IntVar(&f.request.MaxFailures, "max-failures", 0, "after how many failed servers no other begins; 0 for never")
	flags.StringVar(&f.token, "client-token", "", "makes it safe to repeat the command: the same token gives the same job")
	flags.BoolVar(&f.watch, "watch", false, "show the job until it has ended")
	return cmd
}

func (s *session) create(cmd *cobra.Command, f createFlags) error {
	request, err := s.request(f)
	if err != nil {
		return usage(err)
	}
	if f.token == "" {
		f.token = uuid.NewString()
	}
	job, err := s.client.CreateJob(cmd.Context(), request, f.token)
	if err != nil {
		return err
	}
	for _, warning := range job.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
	}
	switch {
	case f.watch:
		return s.watchJob(cmd, job.ID)
	case s.json:
		return printJSON(cmd.OutOrStdout(), job.Raw)
	}
	fmt.Fprintln(cmd.OutOrStdout(), job.ID)
	fmt.Fprintf(cmd.ErrOrStderr(), "job %s was created for %d servers; see how it goes: devserverctl job watch %s\n", job.Name, len(request.ServerIDs), job.ID)
	return nil
}

// request is the job the flags ask for.
func (s *session) request(f createFlags) (client.Request, error) {
	r := f.request
	r.ServerIDs = f.servers
	for _, text := range f.items {
		item, err := parseItem(text)
		if err != nil {
			return r, err
		}
		r.Items = append(r.Items, item)
	}
	if _, isItem := protocol.LookupType(r.Type); isItem && len(r.Items) == 0 {
		r.Items = []protocol.Item{{Type: r.Type}}
	}
	if r.Type == "" && len(r.Items) > 0 {
		r.Type = protocol.TemplateType(r.Items[0].Type)
	}
	switch {
	case r.Name == "":
		return r, fmt.Errorf("--name is missing")
	case len(r.Items) == 0:
		return r, fmt.Errorf("--item is missing: what should the servers do?")
	case len(r.ServerIDs) == 0:
		return r, fmt.Errorf("--server is missing: which servers should do it?")
	case f.concurrent < 0 || r.MaxFailures < 0:
		return r, fmt.Errorf("--max-concurrent and --max-failures cannot be negative")
	}
	return r, nil
}

// parseItem reads TYPE,key=value,... with \, for a comma and \\ for a backslash
// in a value.
func parseItem(text string) (protocol.Item, error) {
	parts := splitItem(text)
	item := protocol.Item{Type: parts[0]}
	if !protocol.ValidType(item.Type) {
		return item, fmt.Errorf("--item %q does not begin with an item type", text)
	}
	for _, part := range parts[1:] {
		key, value, ok := strings.Cut(part, "=")
		if !ok || key == "" {
			return item, fmt.Errorf("--item %q: %q is not key=value", text, part)
		}
		if _, twice := item.Spec[key]; twice {
			return item, fmt.Errorf("--item %q gives %s twice", text, key)
		}
		if item.Spec == nil {
			item.Spec = map[string]string{}
		}
		item.Spec[key] = value
	}
	return item, nil
}

func splitItem(text string) []string {
	parts := []string{""}
	for i := 0; i < len(text); i++ {
		last := &parts[len(parts)-1]
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == ',' || text[i+1] == '\\'):
			i++
			*last += text[i : i+1]
		case text[i] == ',':
			parts = append(parts, "")
		default:
			*last += text[i : i+1]
		}
	}
	return parts
}
