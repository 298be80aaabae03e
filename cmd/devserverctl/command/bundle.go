package command

import (
	"encoding/json"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"devserver-agent/cmd/devserverctl/objects"
	"devserver-agent/protocol"
)

func (s *session) bundleCommand() *cobra.Command {
	bundle := &cobra.Command{
		Use: "bundle", Short: "Get the logs that DEVICE_LOG_COLLECT brought",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	bundle.AddCommand(s.bundleListCommand(), bundleGetCommand())
	return bundle
}

// bundles are the flags of who reads bundles.
type bundles struct {
	from   objects.Broker
	bucket string
}

func (b *bundles) flags(cmd *cobra.Command) *cobra.Command {
	brokerFlags(cmd, &b.from)
	cmd.Flags().StringVar(&b.bucket, "bucket", protocol.LogsBucket, "object store that agents send to")
	return cmd
}

// brokerFlags are the flags of commands that speak to the broker.
func brokerFlags(cmd *cobra.Command, broker *objects.Broker) {
	cmd.Flags().StringVar(&broker.URL, "nats", "nats://127.0.0.1:4222", "URL of the broker")
	cmd.Flags().StringVar(&broker.CredentialsFile, "credentials", "", "`file` with NATS credentials")
	cmd.Flags().StringVar(&broker.CAFile, "ca", "", "PEM `file` of the authorities that may vouch for the broker")
}

func (s *session) bundleListCommand() *cobra.Command {
	var b bundles
	return b.flags(&cobra.Command{
		Use: "list", Short: "List the bundles of logs in the object store",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := objects.Bundles(cmd.Context(), b.from, b.bucket)
			if err != nil {
				return err
			}
			if s.json {
				text, err := json.Marshal(found)
				if err != nil {
					return err
				}
				return printJSON(cmd.OutOrStdout(), text)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "BUNDLE\tBYTES\tAT")
			for _, f := range found {
				fmt.Fprintf(table, "%s\t%d\t%s\n", f.Name, f.Size, f.At.UTC().Format(time.DateTime))
			}
			return table.Flush()
		},
	})
}

func bundleGetCommand() *cobra.Command {
	var b bundles
	return b.flags(&cobra.Command{
		Use: "get BUNDLE FILE", Short: "Write a bundle of logs to a file",
		Long: "Write a bundle of logs to a file, a tar archive that zstd packed. This command\nspeaks to the broker, with the credentials of somebody who may read there, and not\nto the control plane.",
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			file, err := os.OpenFile(given[1], os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			err = objects.Fetch(cmd.Context(), b.from, b.bucket, given[0], file, func(got, of int64) {
				fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d bytes\n", got, of)
			})
			if closing := file.Close(); err == nil {
				err = closing
			}
			return err
		},
	})
}
