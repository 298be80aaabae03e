package fleet

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"regexp"
	"text/template"

	"github.com/nats-io/nkeys"
)

// Broker is one broker of a fleet.
type Broker struct {
	Name string `json:"name"`
	// Host is the name or address under which agents, the control plane and the other
	// brokers reach it; its certificate is for it.
	Host string `json:"host"`
}

// URL is where agents and the control plane connect.
func (b Broker) URL() string { return "tls://" + net.JoinHostPort(b.Host, "4222") }

// Route is where the other brokers of a cluster connect.
func (b Broker) Route() string { return "tls://" + net.JoinHostPort(b.Host, "6222") }

// Options of Init.
type Options struct {
	// Brokers: one, or three and more that form a cluster.
	Brokers []Broker
	// Mutual has the brokers ask every client for a certificate of the fleet's
	// authority; Enrol makes those of agents.
	Mutual bool
}

var (
	brokerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,62}$`)
	hostName   = regexp.MustCompile(`^[A-Za-z0-9:][A-Za-z0-9.:-]{0,252}$`)
)

func (o Options) check() error {
	if n := len(o.Brokers); n == 0 || n == 2 {
		return errors.New("a fleet has one broker, or three and more: of two neither can go on without the other")
	}
	seen := map[string]bool{}
	for _, b := range o.Brokers {
		switch {
		case !brokerName.MatchString(b.Name):
			return fmt.Errorf("%.80q is no name for a broker (letters, digits and -)", b.Name)
		case !hostName.MatchString(b.Host):
			return fmt.Errorf("%.80q is no host name or address", b.Host)
		case seen[b.Name]:
			return fmt.Errorf("two brokers are named %s", b.Name)
		}
		seen[b.Name] = true
	}
	return nil
}

// Init makes a fleet in dir, which must be empty, absent, or what an Init that was
// cut left.
func Init(dir string, o Options) (*Fleet, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if _, err := Open(dir); err == nil {
		return nil, fmt.Errorf("%s: %w", dir, ErrExists)
	}
	if entries, err := os.ReadDir(dir); err == nil && !onlyOurs(entries) {
		return nil, fmt.Errorf("%s is not empty", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, err
	}
	f := &Fleet{dir: dir, register: register{Brokers: o.Brokers, Agents: map[string][]string{}}}
	a, err := f.found()
	if err != nil {
		return nil, err
	}
	for file, user := range map[string]struct{ account, name string }{
		controlPlaneFile: {controlAccount, "controlplane"}, systemFile: {systemAccount, "devserverctl"},
	} {
		if err := f.writeMember(a, file, user.account, user.name); err != nil {
			return nil, err
		}
	}
	if err := f.foundCA(); err != nil {
		return nil, err
	}
	for _, b := range o.Brokers {
		if err := f.certify(f.Path("brokers", b.Name), "server", b.Host); err != nil {
			return nil, err
		}
	}
	f.register.Mutual = o.Mutual
	if err := f.writeBrokers(a); err != nil {
		return nil, err
	}
	return f, f.save()
}

// onlyOurs reports whether a folder has nothing that Init does not write.
func onlyOurs(entries []fs.DirEntry) bool {
	for _, e := range entries {
		switch e.Name() {
		case "keys", "jwt", "brokers", caFile, controlPlaneFile, systemFile:
		default:
			return false
		}
	}
	return true
}

func (f *Fleet) writeMember(a *authority, file, account, name string) error {
	public, seed, err := newKey(nkeys.PrefixByteUser)
	if err != nil {
		return err
	}
	token, err := a.member(account, name, public)
	if err != nil {
		return err
	}
	text, err := credentials(token, seed)
	if err != nil {
		return err
	}
	return write(f.Path(file), text)
}

//go:embed nats-server.conf.tmpl
var configText string

var config = template.Must(template.New("nats-server.conf").Parse(configText))

// writeBrokers writes the configuration of each broker.
func (f *Fleet) writeBrokers(a *authority) error {
	accounts := map[string]string{}
	for _, name := range []string{systemAccount, controlAccount, agentsAccount} {
		accounts[a.public(name)] = a.statements[name]
	}
	for _, b := range f.register.Brokers {
		var text bytes.Buffer
		err := config.Execute(&text, map[string]any{
			"Broker": b, "Brokers": f.register.Brokers, "Cluster": len(f.register.Brokers) > 1, "Mutual": f.register.Mutual,
			"Operator": a.statements[operatorName], "System": a.public(systemAccount), "Accounts": accounts,
		})
		if err == nil {
			err = write(f.Path("brokers", b.Name, "nats-server.conf"), text.Bytes())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
