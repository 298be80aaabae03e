package fleet

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/nats-io/nkeys"
)

// Broker is one broker of a fleet.
type Broker struct {
	Name string `json:"name"`
	// Host is the name or address under which agents, the control plane and the other
	// brokers reach it; its certificate is for it.
	Host string `json:"host"`
	Port int    `json:"port,omitempty"` // 0: 4222
}

const (
	defaultPort  = 4222
	clusterAbove = 2000 // other brokers connect to a port this much higher: 6222
	leafAbove    = 3200 // leaf nodes connect to a port this much higher: 7422
)

// ParseBroker reads NAME=HOST or NAME=HOST:PORT; an IPv6 address with a port is in
// brackets.
func ParseBroker(text string) (Broker, error) {
	name, host, ok := strings.Cut(text, "=")
	b := Broker{Name: name, Host: host}
	if !ok {
		return b, fmt.Errorf("%.80q is not NAME=HOST[:PORT]", text)
	}
	if alone, port, err := net.SplitHostPort(host); err == nil {
		b.Host = alone
		if b.Port, err = strconv.Atoi(port); err != nil || b.Port < 1 || b.Port > 65535-leafAbove {
			return b, fmt.Errorf("%.80q: %.10q is no port up to %d", text, port, 65535-leafAbove)
		}
	}
	return b, b.check()
}

func (b Broker) check() error {
	switch {
	case !brokerName.MatchString(b.Name):
		return fmt.Errorf("%.80q is no name for a broker (letters, digits and -)", b.Name)
	case !hostName.MatchString(b.Host):
		return fmt.Errorf("%.80q is no host name or address", b.Host)
	}
	return nil
}

func (b Broker) port() int { return cmp.Or(b.Port, defaultPort) }

func (b Broker) at(scheme, host string, port int) string {
	return scheme + net.JoinHostPort(host, strconv.Itoa(port))
}

// URL is where agents and the control plane connect.
func (b Broker) URL() string { return b.at("tls://", b.Host, b.port()) }

// Route is where the other brokers of a cluster connect.
func (b Broker) Route() string { return b.at("tls://", b.Host, b.port()+clusterAbove) }

// Listen is what it listens on for clients: every address of its host, but of the
// loopback only the one that is its own.
func (b Broker) Listen() string { return b.at("", b.own(), b.port()) }

// ListenRoutes is what it listens on for other brokers.
func (b Broker) ListenRoutes() string { return b.at("", b.own(), b.port()+clusterAbove) }

// LeafURL is where leaf nodes connect.
func (b Broker) LeafURL() string { return b.at("tls://", b.Host, b.port()+leafAbove) }

// ListenLeaves is what it listens on for leaf nodes.
func (b Broker) ListenLeaves() string { return b.at("", b.own(), b.port()+leafAbove) }

func (b Broker) own() string {
	if ip := net.ParseIP(b.Host); ip != nil && ip.IsLoopback() || b.Host == "localhost" {
		return b.Host
	}
	return "0.0.0.0"
}

// Options of Init.
type Options struct {
	// Brokers: one, or three and more that form a cluster.
	Brokers []Broker
	// Leaves are brokers without a store that stand near the hosts of a site and connect
	// to the others for them.
	Leaves []Broker
	// ConfigDir is the folder on a broker's host that its files are copied to; "":
	// /etc/nats. StoreDir is that of its store; "": /var/lib/nats.
	ConfigDir, StoreDir string
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
	for _, b := range slices.Concat(o.Brokers, o.Leaves) {
		if err := b.check(); err != nil {
			return err
		}
		if seen[b.Name] {
			return fmt.Errorf("two brokers are named %s", b.Name)
		}
		seen[b.Name] = true
	}
	for _, dir := range []string{o.ConfigDir, o.StoreDir} {
		if dir != "" && (!filepath.IsAbs(dir) || strings.ContainsAny(dir, "\"\\\n")) {
			return fmt.Errorf("%.80q is not an absolute path without quotes", dir)
		}
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
	f := &Fleet{dir: dir, register: register{
		Brokers: o.Brokers, Leaves: o.Leaves, ConfigDir: cmp.Or(o.ConfigDir, "/etc/nats"), StoreDir: cmp.Or(o.StoreDir, "/var/lib/nats"), Mutual: o.Mutual,
		Agents: map[string][]string{},
	}}
	a, err := f.found()
	if err != nil {
		return nil, err
	}
	for file, user := range map[string]struct{ account, name string }{
		controlPlaneFile: {controlAccount, "controlplane"}, systemFile: {systemAccount, "devserverctl"},
	} {
		err := f.writeUser(file, func(publicKey string) (string, error) { return a.member(user.account, user.name, publicKey) })
		if err != nil {
			return nil, err
		}
	}
	if err := errors.Join(f.writeEnrolmentKey(a), f.foundCA()); err != nil {
		return nil, err
	}
	for _, b := range slices.Concat(o.Brokers, o.Leaves) {
		if err := f.certifyBroker(b); err != nil {
			return nil, err
		}
	}
	for _, b := range o.Leaves {
		// It speaks for its hosts.
		err := f.writeUser(filepath.Join("brokers", b.Name, "leaf.creds"), func(publicKey string) (string, error) { return a.leaf(b.Name, publicKey) })
		if err != nil {
			return nil, err
		}
	}
	if err := f.writeBrokers(a); err != nil {
		return nil, err
	}
	return f, f.save()
}

// onlyOurs reports whether a folder has nothing that Init does not write.
func onlyOurs(entries []fs.DirEntry) bool {
	for _, e := range entries {
		switch e.Name() {
		case "keys", "jwt", "brokers", caFile, controlPlaneFile, systemFile, enrolmentFile:
		default:
			return false
		}
	}
	return true
}

// writeUser makes a user and writes his credentials.
func (f *Fleet) writeUser(file string, statement func(publicKey string) (string, error)) error {
	public, seed, err := newKey(nkeys.PrefixByteUser)
	if err != nil {
		return err
	}
	token, err := statement(public)
	if err != nil {
		return err
	}
	text, err := credentials(token, seed)
	if err != nil {
		return err
	}
	return write(f.Path(file), text)
}

var (
	//go:embed nats-server.conf.tmpl
	configText string
	//go:embed nats-leaf.conf.tmpl
	leafText string

	config     = template.Must(template.New("nats-server.conf").Parse(configText))
	leafConfig = template.Must(template.New("nats-leaf.conf").Parse(leafText))
)

// writeBrokers writes the configuration of each broker.
func (f *Fleet) writeBrokers(a *authority) error {
	accounts := map[string]string{}
	for _, name := range []string{systemAccount, controlAccount, agentsAccount} {
		accounts[a.public(name)] = a.statements[name]
	}
	for _, b := range f.register.Brokers {
		if err := f.writeConfig(config, a, b, accounts); err != nil {
			return err
		}
	}
	if len(f.register.Leaves) == 0 {
		return nil
	}
	agents, err := a.agentsAtLeaf()
	if err != nil {
		return err
	}
	accounts = map[string]string{a.public(systemAccount): a.statements[systemAccount], a.public(agentsAccount): agents}
	err = write(f.Path("jwt", leafStatement), []byte(agents))
	for _, b := range f.register.Leaves {
		err = errors.Join(err, f.writeConfig(leafConfig, a, b, accounts))
	}
	return err
}

func (f *Fleet) writeConfig(config *template.Template, a *authority, b Broker, accounts map[string]string) error {
	var text bytes.Buffer
	err := config.Execute(&text, map[string]any{
		"Broker": b, "Cluster": len(f.register.Brokers) > 1, "Register": f.register, "Agents": a.public(agentsAccount),
		"Operator": a.statements[operatorName], "System": a.public(systemAccount), "Accounts": accounts,
	})
	if err != nil {
		return err
	}
	return write(f.Path("brokers", b.Name, "nats-server.conf"), text.Bytes())
}
