package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"devserver-agent/agent/config"
	"devserver-agent/agent/enrol"
)

const (
	defaultCredentials = "/etc/devserver-agent/agent.creds"
	maxStatement       = 64 << 10
)

func (c *cli) enrolCommand() *cobra.Command {
	var desk enrol.Desk
	var tokenFile string
	cmd := &cobra.Command{
		Use: "enrol [STATEMENT]", Short: "Make this host's key for the broker, or take what the fleet says of it", Args: cobra.MaximumNArgs(1),
		Long: `Without an argument make this host's key, if it has none, and print its public half.
Give that to the fleet's keeper:

  devserverctl fleet enrol SERVER_ID --public-key KEY

With the file that makes as STATEMENT (or - for standard input) write the credentials
that nats.credentials_file names. The private key never leaves the host.

With a one-time token of the keeper's (devserverctl fleet token) the control plane gives
the statement itself, and the credentials are written at once:

  devserver-agent enrol --url https://CONTROL-PLANE --token-file FILE`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			credentials := cmp.Or(cfg.NATS.CredentialsFile, defaultCredentials)
			key := strings.TrimSuffix(credentials, filepath.Ext(credentials)) + ".seed"
			if desk.URL != "" {
				return c.enrolByToken(cmd.Context(), cfg, desk, tokenFile, credentials, key)
			}
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
			return c.writeCredentials(cfg, credentials, key, statement)
		},
	}
	cmd.Flags().StringVar(&desk.URL, "url", "", "the control plane to ask, with a token")
	cmd.Flags().StringVar(&desk.CAFile, "ca-file", "", "PEM file of who vouches for the control plane (the system's authorities)")
	cmd.Flags().StringVar(&tokenFile, "token-file", "-", "file with the token; - is standard input")
	return cmd
}

// enrolByToken gives the control plane a token for a statement.
func (c *cli) enrolByToken(ctx context.Context, cfg config.Config, desk enrol.Desk, tokenFile, credentials, key string) error {
	token, err := readStatement(tokenFile)
	if err != nil {
		return err
	}
	statement, err := desk.Ask(ctx, string(token), cfg.ServerID, key)
	if err != nil {
		return err
	}
	return c.writeCredentials(cfg, credentials, key, statement)
}

func (c *cli) writeCredentials(cfg config.Config, credentials, key string, statement []byte) error {
	if err := enrol.Credentials(credentials, key, cfg.ServerID, statement); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.Stdout, "%s is written\n", credentials)
	if err == nil && cfg.NATS.CredentialsFile == "" {
		_, err = fmt.Fprintf(c.Stdout, "name it in %s: nats: {credentials_file: %s}\n", c.configFile, credentials)
	}
	return err
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
