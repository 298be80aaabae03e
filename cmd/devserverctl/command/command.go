// Package command is devserverctl: its commands, what they print and how they
// exit. It speaks HTTP to one control plane; what concerns the broker itself, its users
// and its object stores, is below fleet, hdk push and bundle.
package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"devserver-agent/cmd/devserverctl/client"
	"devserver-agent/executors/web"
)

// Exit codes.
const (
	ExitOK          = 0   // it was done; of a watched job: every task is SUCCESS
	ExitFailed      = 1   // a task of the watched job failed or was cancelled
	ExitUsage       = 2   // the command line is wrong, or the control plane refused what it asks
	ExitUnreachable = 3   // no answer: it may or may not have been done
	ExitInterrupted = 130 // ended by a signal; a job that was watched goes on
)

// Main runs devserverctl as the process it is and returns its exit code.
func Main(version string) int { return process(version, &session{}) }

func process(version string, s *session) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := s.commands(os.Getenv)
	root.Version = version
	return run(ctx, root, os.Args[1:], os.Stdout, os.Stderr)
}

// Run runs devserverctl with args and returns its exit code. Progress bars are
// drawn if out is a terminal.
func Run(ctx context.Context, args []string, out, errOut io.Writer, getenv func(string) string) int {
	return run(ctx, New(getenv), args, out, errOut)
}

func run(ctx context.Context, root *cobra.Command, args []string, out, errOut io.Writer) int {
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	return exitCode(cmd, err, errOut)
}

// DefaultServer is the control plane of the demo and of a first try.
const DefaultServer = "http://127.0.0.1:8080"

// New is the tree of commands.
func New(getenv func(string) string) *cobra.Command { return (&session{}).commands(getenv) }

func (s *session) commands(getenv func(string) string) *cobra.Command {
	s.noColor = getenv("NO_COLOR") != ""
	root := &cobra.Command{
		Use:   "devserverctl",
		Short: "Create, watch and delete jobs for a fleet of DevServers",
		Long: `devserverctl creates, watches and deletes jobs for a fleet of DevServers.

It exits with 0 when what was asked is done (of a watched job: every task is
SUCCESS), 1 when a task of a watched job failed or was cancelled, 2 when the
command line is wrong or the control plane refused it, and 3 when the control
plane did not answer.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          args(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	flags := root.PersistentFlags()
	flags.StringVar(&s.client.Server, "api", orElse(getenv("DEVSERVERCTL_API"), DefaultServer),
		"URL of the control plane; also DEVSERVERCTL_API")
	flags.StringVar(&s.tokenFile, "token-file", getenv("DEVSERVERCTL_TOKEN_FILE"),
		"file with the token that devserver-controlplane user add gave; also DEVSERVERCTL_TOKEN_FILE")
	flags.StringVar(&s.caFile, "ca-file", getenv("DEVSERVERCTL_CA_FILE"),
		"PEM file of who vouches for the control plane's certificate; also DEVSERVERCTL_CA_FILE")
	flags.StringVar(&s.client.Project, "project", orElse(getenv("DEVSERVERCTL_PROJECT"), "default"),
		"project id; also DEVSERVERCTL_PROJECT")
	flags.BoolVar(&s.json, "json", false, "print JSON, for programs")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return usage(s.identify()) }
	root.AddCommand(s.jobCommand(), s.taskCommand(), s.serverCommand(), s.fleetCommand(), s.hdkCommand(), s.bundleCommand())
	return root
}

// session is what the commands share: where to ask, as whom, and how to print.
type session struct {
	client            client.Client
	tokenFile, caFile string
	json              bool
	// noColor is NO_COLOR's wish (no-color.org).
	noColor bool
}

// identify reads who asks and whom he believes.
func (s *session) identify() error {
	if s.tokenFile != "" {
		text, err := os.ReadFile(s.tokenFile)
		if err != nil {
			return fmt.Errorf("--token-file: %w", err)
		}
		words := strings.Fields(string(text))
		if len(words) != 1 {
			return fmt.Errorf("--token-file: %s holds %d words and no token", s.tokenFile, len(words))
		}
		if err := web.CheckTokenURL(s.client.Server); err != nil {
			return fmt.Errorf("--api: %w", err)
		}
		s.client.Token = words[0]
	}
	if s.caFile == "" {
		return nil
	}
	text, err := os.ReadFile(s.caFile)
	if err != nil {
		return fmt.Errorf("--ca-file: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(text) {
		return fmt.Errorf("--ca-file: %s holds no certificate (PEM)", s.caFile)
	}
	s.client.Transport = transport
	return nil
}

// errFailed ends a watched job of which a task failed; everything was said.
var errFailed = errors.New("not every task succeeded")

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return usageError{err}
}

// args makes cobra's complaints about arguments usage errors.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		err := check(cmd, given)
		if err == nil || !cmd.Runnable() || cmd.HasSubCommands() {
			return usage(err)
		}
		return usage(fmt.Errorf("%w: %s", err, cmd.UseLine()))
	}
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func exitCode(cmd *cobra.Command, err error, errOut io.Writer) int {
	var wrong usageError
	var unreachable *client.Unreachable
	code := ExitUsage
	switch {
	case err == nil:
		return ExitOK
	case errors.Is(err, errFailed):
		return ExitFailed
	case errors.Is(err, context.Canceled):
		code = ExitInterrupted
	case errors.As(err, &unreachable):
		code = ExitUnreachable
	}
	fmt.Fprintf(errOut, "devserverctl: %v\n", err)
	if errors.As(err, &wrong) {
		fmt.Fprintf(errOut, "See %s --help\n", cmd.CommandPath())
	}
	return code
}
