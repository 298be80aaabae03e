package command

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"devserver-agent/cmd/devserverctl/fleet"
)

func (s *session) fleetInitCommand() *cobra.Command {
	var brokers, leaves []string
	var o fleet.Options
	cmd := &cobra.Command{
		Use: "init DIR", Short: "Make the broker's configuration, certificates and the control plane's credentials",
		Long: `Make, in a new folder, what a fleet's broker needs to tell its users apart: an
operator and its accounts, the configuration and the certificate of each broker,
and the credentials of the control plane. Agents are added with fleet enrol.

The folder has the keys that make users. Keep it as you keep an authority's: no
broker and no host needs more of it than the files named at the end.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			for _, text := range brokers {
				b, err := fleet.ParseBroker(text)
				if err != nil {
					return usage(fmt.Errorf("--broker: %w", err))
				}
				o.Brokers = append(o.Brokers, b)
			}
			for _, text := range leaves {
				b, err := fleet.ParseBroker(text)
				if err != nil {
					return usage(fmt.Errorf("--leaf: %w", err))
				}
				o.Leaves = append(o.Leaves, b)
			}
			f, err := fleet.Init(given[0], o)
			if err != nil {
				return usage(err)
			}
			return printFleet(cmd.OutOrStdout(), f, given[0])
		},
	}
	cmd.Flags().StringArrayVar(&brokers, "broker", []string{"nats-1=127.0.0.1"}, "a broker as NAME=HOST[:PORT]; given three times or more they form a cluster")
	cmd.Flags().StringArrayVar(&leaves, "leaf", nil, "a leaf node as NAME=HOST[:PORT]: a broker without a store near the hosts of a site, whose agents connect to it")
	cmd.Flags().StringVar(&o.ConfigDir, "config-dir", "", "the folder on a broker's host that its files are copied to (/etc/nats)")
	cmd.Flags().StringVar(&o.StoreDir, "store-dir", "", "the folder of a broker's store (/var/lib/nats)")
	cmd.Flags().BoolVar(&o.Mutual, "mutual-tls", false, "brokers ask clients for a certificate too; enrol makes one for each agent")
	return cmd
}

// printFleet says what to do with a new fleet.
func printFleet(out io.Writer, f *fleet.Fleet, dir string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var urls []string
	for _, b := range f.Brokers() {
		files := f.Path("brokers", b.Name)
		if files != f.ConfigDir() {
			fmt.Fprintf(table, "broker %s\tcopy %s/ to %s on %s\n", b.Name, files, f.ConfigDir(), b.Host)
		}
		fmt.Fprintf(table, "broker %s\tnats-server -c %s/nats-server.conf\n", b.Name, f.ConfigDir())
		urls = append(urls, b.URL())
	}
	for _, b := range f.Leaves() {
		fmt.Fprintf(table, "leaf node %s\tcopy %s/ to %s on %s; its agents connect to %s\n", b.Name, f.Path("brokers", b.Name), f.ConfigDir(), b.Host, b.URL())
	}
	fmt.Fprintf(table, "control plane\tdevserver-controlplane --nats %s --nats-credentials-file %s --nats-ca-file %s --data-dir DIR\n", strings.Join(urls, ","), f.ControlPlane(), f.CA())
	if len(urls) == 1 {
		fmt.Fprintf(table, "  with the broker in it\tdevserver-controlplane --nats-config %s/nats-server.conf --nats-credentials-file %s --data-dir DIR\n", f.ConfigDir(), f.ControlPlane())
	}
	fmt.Fprintf(table, "agents\tdevserverctl fleet enrol SERVER_ID --fleet %s\n", dir)
	return table.Flush()
}

// inFleet is a command on the folder of a fleet; it names one server or more, unless it
// says otherwise.
func inFleet(cmd *cobra.Command, run func(cmd *cobra.Command, f *fleet.Fleet, names []string) error) *cobra.Command {
	var dir string
	if cmd.Args == nil {
		cmd.Args = args(cobra.MinimumNArgs(1))
	}
	cmd.Flags().StringVar(&dir, "fleet", "fleet", "the folder that fleet init made")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		f, err := fleet.Open(dir)
		if err != nil {
			return usage(err)
		}
		return run(cmd, f, names)
	}
	return cmd
}

func (s *session) fleetEnrolCommand() *cobra.Command {
	var publicKey string
	var again bool
	cmd := &cobra.Command{
		Use: "enrol SERVER_ID...", Short: "Make the credentials of agents",
		Long: `Make the credentials of agents, a file each. A host's user may use the subjects of
its own id and no others. Copy the file to the host as /etc/devserver-agent/agent.creds,
for root only, and name it in nats.credentials_file.

With --public-key the host has made its key itself (devserver-agent enrol), and the
file has the broker's word for it only.`,
	}
	cmd.Flags().StringVar(&publicKey, "public-key", "", "the host's own public key, as devserver-agent enrol prints it")
	cmd.Flags().BoolVar(&again, "again", false, "make another user for a server that is enrolled; the former one goes on until it is revoked")
	return inFleet(cmd, func(cmd *cobra.Command, f *fleet.Fleet, servers []string) error {
		if publicKey != "" && len(servers) > 1 {
			return usage(fmt.Errorf("--public-key is of one host, and %d are named", len(servers)))
		}
		for _, server := range servers {
			files, err := f.Enrol(server, publicKey, again)
			if err != nil {
				return usage(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", server, strings.Join(files, " "))
		}
		return nil
	})
}

func (s *session) fleetTokenCommand() *cobra.Command {
	var life time.Duration
	cmd := &cobra.Command{
		Use: "token SERVER_ID", Short: "Make a one-time token with which a host enrols itself",
		Long: `Make a one-time token with which a host enrols itself at the control plane:

  devserver-agent enrol --url https://CONTROL-PLANE --token-file FILE

The host makes its key itself; its private half never leaves it. The control plane needs
the enrolment key that fleet init made (--enrolment-key), which can make hosts
and no other users.`,
	}
	cmd.Flags().DurationVar(&life, "life", 24*time.Hour, "how long the token is good, up to 720h")
	return inFleet(cmd, func(cmd *cobra.Command, f *fleet.Fleet, servers []string) error {
		if len(servers) > 1 {
			return usage(fmt.Errorf("a token is of one host, and %d are named", len(servers)))
		}
		token, err := f.Token(servers[0], life)
		if err != nil {
			return usage(err)
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
		return err
	})
}

func (s *session) fleetRevokeCommand() *cobra.Command {
	var brokers []string
	var offline bool
	cmd := &cobra.Command{
		Use: "revoke SERVER_ID...", Short: "Cut hosts off from the broker",
		Long: `End the users of hosts, and tell the brokers, which cut them off at once. What an
agent has accepted it still brings to its end on its host, and nobody hears of it.`,
	}
	cmd.Flags().StringArrayVar(&brokers, "broker-url", nil, "where the brokers are, if not where fleet init said")
	cmd.Flags().BoolVar(&offline, "offline", false, "do not tell the brokers; copy their configuration to them and restart them")
	return inFleet(cmd, func(cmd *cobra.Command, f *fleet.Fleet, servers []string) error {
		if !offline {
			if err := f.Learn(cmd.Context(), brokers...); err != nil {
				return fmt.Errorf("nothing is revoked: %w. With --offline those are revoked that were enrolled here, and not those that came with a token", err)
			}
		}
		for _, server := range servers {
			if err := f.Revoke(server); err != nil {
				return usage(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: revoked\n", server)
		}
		if offline {
			return nil
		}
		if err := f.Tell(cmd.Context(), brokers...); err != nil {
			return fmt.Errorf("revoked here, and the brokers do not know it: %w. Call it again with --broker-url, or copy their configuration to them and restart them", err)
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "the brokers know it")
		return err
	})
}

func (s *session) fleetRenewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "renew [BROKER...]", Short: "Make the certificates of brokers anew",
		Long: `Make the certificates of brokers and leaf nodes anew, of those that are named or of
all. They are good for five years; the former ones stay good until they end, so
brokers are given the new ones in any order, and no agent notices.`,
		Args: args(cobra.ArbitraryArgs),
	}
	return inFleet(cmd, func(cmd *cobra.Command, f *fleet.Fleet, names []string) error {
		renewed, err := f.Renew(names...)
		if err != nil {
			return usage(err)
		}
		out := cmd.OutOrStdout()
		for _, b := range renewed {
			if files := f.Path("brokers", b.Name); files != f.ConfigDir() {
				fmt.Fprintf(out, "%s: copy %s/server.pem and server.key to %s on %s\n", b.Name, files, f.ConfigDir(), b.Host)
			}
		}
		_, err = fmt.Fprintln(out, "then have each broker read them: nats-server --signal reload, or systemctl reload devserver-controlplane where it is in the control plane")
		return err
	})
}
