package command

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"devserver-agent/agent/enrol"
)

const (
	defaultCredentials = "/etc/devserver-agent/agent.creds"
	maxStatement       = 64 << 10
)

func (c *cli) enrolCommand() *cobra.Command {
	return &cobra.Command{
		Use: "enrol [STATEMENT]", Short: "Make this host's key for the broker, or take what the fleet says of it", Args: cobra.MaximumNArgs(1),
		Long: `Without an argument make this host's key, if it has none, and print its public half.
Give that to the fleet's keeper:

  devserverctl fleet enrol SERVER_ID --public-key KEY

With the file that makes as STATEMENT (or - for standard input) write the credentials
that nats.credentials_file names. The private key never leaves the host.`,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			credentials := cmp.Or(cfg.NATS.CredentialsFile, defaultCredentials)
			key := strings.TrimSuffix(credentials, filepath.Ext(credentials)) + ".seed"
			if len(args) == 0 {
				public, err := enrol.Key(key)
				if err == nil {
					_, err = fmt.Fprintln(c.Stdout, public)
				}
				return err
			}
			statement, err := readStatement(args[0])
			if err != nil {
				return err
			}
			if err := enrol.Credentials(credentials, key, cfg.ServerID, statement); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.Stdout, "%s is written\n", credentials)
			if err == nil && cfg.NATS.CredentialsFile == "" {
				_, err = fmt.Fprintf(c.Stdout, "name it in %s: nats: {credentials_file: %s}\n", c.configFile, credentials)
			}
			return err
		},
	}
}

func readStatement(name string) ([]byte, error) {
	var from io.Reader = os.Stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		from = file
	}
	return io.ReadAll(io.LimitReader(from, maxStatement+1))
}
