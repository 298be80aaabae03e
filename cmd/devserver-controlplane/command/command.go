// Package command is the command line of devserver-controlplane.
package command

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"devserver-agent/controlplane"
	"devserver-agent/protocol"
)

// Main runs the control plane until it is told to stop, and returns its exit
// code: 0, or 1 for an error.
func Main(version string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cmd := New()
	cmd.Version = version
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "devserver-controlplane:", err)
		return 1
	}
	return 0
}

// New is the command with its flags.
func New() *cobra.Command {
	var opts controlplane.Options
	var level, format string
	var former []string
	cmd := &cobra.Command{
		Use:   "devserver-controlplane --listen ADDR --data-dir DIR",
		Short: "Serve the DevServer job API and deliver jobs to agents over NATS",
		Long: `devserver-controlplane serves the DevServer job API, turns each job into one signed
task per server, and tells how they end. Its NATS server is embedded unless --nats
names one. All that it must remember is in the data folder and the streams of the
broker: it may be stopped and started at any time, and several may run on one broker
with the same --signing-key.

SIGHUP has the embedded NATS read --nats-config and its certificates again.

As a service it takes its options from OPTIONS in /etc/default/devserver-controlplane.
It exits with 0, or with 1 after an error.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logger(level, format)
			if err != nil {
				return err
			}
			opts.Log = log
			for _, text := range former {
				key, err := protocol.ParseTrusted(text)
				if err != nil {
					return fmt.Errorf("--former-key: %w", err)
				}
				opts.FormerKeys = append(opts.FormerKeys, key)
			}
			return run(cmd.Context(), opts)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opts.Listen, "listen", "127.0.0.1:8080", "address of the HTTP API; loopback only, unless --users and --tls-cert are given")
	f.StringVar(&opts.Users, "users", "", "file of who may ask for what, made by devserver-controlplane user add; without it nobody is asked who he is")
	f.StringVar(&opts.CertFile, "tls-cert", "", "PEM certificate of the HTTP API, read again when it changes")
	f.StringVar(&opts.KeyFile, "tls-key", "", "PEM key of --tls-cert")
	f.StringVar(&opts.DataDir, "data-dir", "", "folder for the signing key and the embedded NATS (required)")
	f.StringVar(&opts.EnrolmentKey, "enrolment-key", "", "key with which hosts that bring a token (devserverctl fleet token) are enrolled, made by devserverctl fleet init")
	f.StringVar(&opts.SigningKey, "signing-key", "", "Ed25519 key, the same for all replicas (default: signing.key in the data folder, made at the first start)")
	f.StringArrayVar(&former, "former-key", nil, "public key that tasks were signed with before, as in signing.pub; give it after --signing-key was changed, until those tasks have ended")
	f.StringVar(&opts.Templates, "templates-dir", "", "folder with templates of jobs of your own, a YAML file each (docs/templates.md)")
	f.StringVar(&opts.Broker.URL, "nats", "", "URL of a NATS server or cluster; without it one is embedded")
	f.StringVar(&opts.Broker.Listen, "nats-listen", "127.0.0.1:4222", "where agents connect to the embedded NATS; loopback only")
	f.StringVar(&opts.Broker.ConfigFile, "nats-config", "", "configuration of the embedded NATS, as devserverctl fleet init writes it; instead of --nats-listen")
	f.StringVar(&opts.Broker.CredentialsFile, "nats-credentials-file", "", "credentials for --nats or --nats-config")
	f.StringVar(&opts.Broker.CAFile, "nats-ca-file", "", "certificates that --nats must be signed by")
	f.StringVar(&opts.Broker.CertFile, "nats-cert-file", "", "client certificate for --nats")
	f.StringVar(&opts.Broker.KeyFile, "nats-key-file", "", "key of the client certificate")
	f.IntVar(&opts.Broker.Replicas, "replicas", 0, "copies of each stream (default: three in a cluster, else one)")
	f.Int64Var(&opts.Broker.Retention.StatusBytes, "status-bytes", 2<<30, "largest size of the stream of statuses")
	f.Int64Var(&opts.Broker.Retention.OutputBytes, "output-bytes", 8<<30, "largest size of the stream of output")
	f.DurationVar(&opts.Broker.Retention.OutputAge, "output-age", 7*24*time.Hour, "how long output is kept")
	f.Int64Var(&opts.Broker.Retention.LogsBytes, "logs-bytes", 2<<30, "largest size of the object store of collected logs")
	f.Int64Var(&opts.Broker.Retention.AuditBytes, "audit-bytes", 1<<30, "largest size of the stream of audit logs")
	f.DurationVar(&opts.Broker.Retention.AuditAge, "audit-age", 90*24*time.Hour, "how long audit logs are kept")
	f.DurationVar(&opts.Broker.Retention.LogsAge, "logs-age", 14*24*time.Hour, "how long collected logs are kept")
	f.DurationVar(&opts.Expires, "expires", 7*24*time.Hour, "how long a host has to accept a task, at most 30 days")
	f.DurationVar(&opts.LostAfter, "lost-after", 24*time.Hour, "silence after which a host that accepted a task is given up")
	f.DurationVar(&opts.SilentAfter, "silent-after", 3*time.Minute, "silence after which a task's message says so")
	f.DurationVar(&opts.WatchEvery, "watch-every", 2*time.Second, "how often the broker's streams are checked; missing ones are recreated when two checks in a row miss them")
	f.BoolVar(&opts.NumericTimes, "numeric-times", false, "give create_at and update_at as numbers; Huawei's Go SDK refuses them")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&format, "log-format", "json", "json or console")
	if err := cmd.MarkFlagRequired("data-dir"); err != nil {
		panic(err) // the flag is defined above
	}
	cmd.AddCommand(userCommand())
	return cmd
}

// run serves until ctx ends, which is no error.
func run(ctx context.Context, opts controlplane.Options) error {
	if opts.Broker.URL != "" && opts.Broker.ConfigFile != "" {
		return fmt.Errorf("--nats and --nats-config are both given: NATS is either somewhere else or embedded")
	}
	if (opts.CertFile == "") != (opts.KeyFile == "") {
		return fmt.Errorf("--tls-cert and --tls-key are given together or not at all")
	}
	if err := checkDurations(opts); err != nil {
		return err
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	c, err := controlplane.Start(ctx, opts)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer c.Close()
	for {
		select {
		case <-ctx.Done():
			opts.Log.Info("stopping")
			return nil
		case err := <-c.Failed():
			return err
		case <-again:
			if err := c.Reload(); err != nil {
				opts.Log.Error("SIGHUP changed nothing", zap.Error(err))
			} else {
				opts.Log.Info("--nats-config and its certificates were read again")
			}
		}
	}
}

func checkDurations(opts controlplane.Options) error {
	const longest = 30 * 24 * time.Hour
	if opts.Expires <= 0 || opts.Expires > longest {
		return fmt.Errorf("--expires is %s, it must be more than nothing and at most %s", opts.Expires, longest)
	}
	if opts.LostAfter <= 0 || opts.SilentAfter <= 0 || opts.WatchEvery <= 0 {
		return fmt.Errorf("--lost-after, --silent-after and --watch-every must be more than nothing")
	}
	return nil
}

func logger(level, format string) (*zap.Logger, error) {
	parsed, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("--log-level: %w", err)
	}
	config := zap.NewProductionConfig()
	config.Level = zap.NewAtomicLevelAt(parsed)
	config.Sampling = nil
	config.DisableStacktrace = true // an error says what happened and what to do
	config.EncoderConfig.EncodeTime = zapcore.ISO8601TimeEncoder
	switch format {
	case "json":
	case "console":
		config.Encoding = "console"
		config.EncoderConfig.EncodeLevel = zapcore.CapitalLevelEncoder
	default:
		return nil, fmt.Errorf("--log-format is %q, it must be json or console", format)
	}
	return config.Build()
}
