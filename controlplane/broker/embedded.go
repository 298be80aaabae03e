package broker

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"devserver-agent/protocol"
)

const (
	defaultListen = "127.0.0.1:4222"
	startTimeout  = 30 * time.Second // a store with many mailboxes is read first
	maxPending    = 8 << 20          // bytes a slow connection may leave unread before it is dropped
)

// ErrNotLoopback is returned for an address that other hosts could reach while
// nobody is asked for credentials.
var ErrNotLoopback = errors.New("is not a loopback address, and no authentication is configured: anybody who can reach it could give orders to the fleet; listen on 127.0.0.1")

// ErrNoConfig is returned by Reload when there is nothing to read again.
var ErrNoConfig = errors.New("no embedded NATS was given a configuration (--nats-config); other options are read at the start only")

// CheckLoopback accepts an address only this host can connect to.
func CheckLoopback(addr string) (host string, port int, err error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", addr, err)
	}
	if port, err = strconv.Atoi(portText); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address %q: port must be a number up to 65535", addr)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", 0, fmt.Errorf("address %q %w", addr, ErrNotLoopback)
	}
	return host, port, nil
}

func startEmbedded(opts Options, log *zap.Logger) (*server.Server, error) {
	prepare := openServer
	if opts.ConfigFile != "" {
		prepare = configuredServer
	}
	o, err := prepare(opts)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	s.SetLoggerV2(serverLog{log.Named("nats").Sugar()}, false, false, false)
	if opts.ConfigFile == "" {
		from, to := protocol.FetchMapping()
		if err := s.GlobalAccount().AddMapping(from, to); err != nil {
			return nil, fmt.Errorf("embedded NATS: map %s: %w", from, err)
		}
	}
	s.Start()
	if !s.ReadyForConnections(startTimeout) {
		s.Shutdown()
		return nil, fmt.Errorf("embedded NATS: did not listen on %s within %s: is the port in use, or another control plane running on %s?",
			net.JoinHostPort(o.Host, strconv.Itoa(o.Port)), startTimeout, o.StoreDir)
	}
	return s, nil
}

// Reload has an embedded server read its configuration again, and the certificates that
// it names. Connections stay; who is logging in just then is cut and comes again. A
// configuration that cannot be used is an error, and the server goes on as it was; without
// one it is ErrNoConfig.
func (b *Broker) Reload() error {
	if b.embedded == nil || b.opts.ConfigFile == "" {
		return ErrNoConfig
	}
	o, err := configuredServer(b.opts)
	if err == nil {
		err = b.embedded.ReloadOptions(o)
	}
	if err != nil {
		return fmt.Errorf("embedded NATS goes on with its former configuration: %w", err)
	}
	return nil
}

// openServer is one that asks nobody for credentials.
func openServer(opts Options) (*server.Options, error) {
	host, port, err := CheckLoopback(cmp.Or(opts.Listen, defaultListen))
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return &server.Options{
		ServerName:   "devserver-controlplane",
		Host:         host,
		Port:         port,
		JetStream:    true,
		StoreDir:     filepath.Join(opts.DataDir, "nats"),
		SyncAlways:   opts.SyncInterval == 0,
		SyncInterval: opts.SyncInterval,
		// The bounds of the streams keep the disk; the server's own guess from
		// the free space at its first start must not refuse them.
		JetStreamMaxStore: 1 << 50,
		MaxPending:        maxPending,
		NoSigs:            true,
	}, err
}

// configuredServer is one that a file describes.
func configuredServer(opts Options) (*server.Options, error) {
	o, err := server.ProcessConfigFile(opts.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", opts.ConfigFile, err)
	}
	if len(o.TrustedOperators) == 0 && len(o.Users) == 0 && len(o.Nkeys) == 0 && o.Username == "" && o.Authorization == "" {
		if _, _, err := CheckLoopback(net.JoinHostPort(o.Host, strconv.Itoa(o.Port))); err != nil {
			return nil, fmt.Errorf("%s: %w", opts.ConfigFile, err)
		}
	}
	o.NoSigs = true
	return o, nil
}

// serverLog passes on what the embedded server says, its chatter as debug.
type serverLog struct{ *zap.SugaredLogger }

func (l serverLog) Noticef(format string, v ...any) { l.Debugf(format, v...) }
func (l serverLog) Tracef(format string, v ...any)  { l.Debugf(format, v...) }
