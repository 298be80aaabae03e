package controlplane

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"devserver-agent/controlplane/broker"
	"devserver-agent/protocol"
	"devserver-agent/test/brokertest"
	"devserver-agent/test/support/wait"
)

// startNATS is a NATS server that is not the control plane's own.
func startNATS(t testing.TB, opts *server.Options, mapped bool) *server.Server {
	t.Helper()
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	if mapped {
		from, to := protocol.FetchMapping()
		if err := s.GlobalAccount().AddMapping(from, to); err != nil {
			t.Fatal(err)
		}
	}
	s.Start()
	if !s.ReadyForConnections(wait.Patience) {
		t.Fatal("NATS does not listen")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func TestABrokerWithoutTheMappingIsRefusedWithTheLinesItNeeds(t *testing.T) {
	t.Parallel()
	s := startNATS(t, brokertest.Options(t.TempDir()), false)
	opts := testOptions(t)
	opts.Broker = broker.Options{URL: s.ClientURL(), ProbeTimeout: 300 * time.Millisecond}
	c, err := Start(t.Context(), opts)
	if err == nil {
		c.Close()
		t.Fatal("it started")
	}
	if !contains(err.Error(), "mappings {\n", `"devserver.v1.fetch.*": "$JS.API.DIRECT.GET.DEVSERVER_MAILBOX.devserver.v1.mailbox.{{wildcard(1)}}"`, "\n}") {
		t.Errorf("error is %v", err)
	}
}

// front is an address in front of a server. It passes on what clients, counted from 0,
// and the server say to each other; a client of whose words pass disapproves is cut off,
// and the server never hears them.
func front(t *testing.T, s *server.Server, pass func(client int, said []byte) bool) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for n := 0; ; n++ {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			served, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			go relay(client, served, func([]byte) bool { return true })
			go relay(served, client, func(said []byte) bool { return pass(n, said) })
		}
	}()
	return listener.Addr().String()
}

func relay(to, from net.Conn, pass func([]byte) bool) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !pass(buffer[:n]) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestABrokerThatGoesAwayDuringTheStartIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := startNATS(t, brokertest.Options(t.TempDir()), true)
	opts := testOptions(t)
	opts.Broker = broker.Options{URL: "nats://" + front(t, s, func(client int, said []byte) bool {
		return client > 0 || !bytes.Contains(said, []byte("$JS.API"))
	})}
	p := startPlane(t, opts)
	p.host("server-a", succeed)
	p.finished(p.create("server-a").ID)
}

// A broker that dies takes the answers with it that it still owes; who has asked for a
// job is told so at once, and may ask again.
func TestWhoWaitsForABrokerThatDiesIsToldAtOnce(t *testing.T) {
	t.Parallel()
	s := startNATS(t, brokertest.Options(t.TempDir()), true)
	var dying atomic.Bool
	opts := testOptions(t)
	opts.Broker = broker.Options{URL: "nats://" + front(t, s, func(_ int, said []byte) bool {
		return !dying.Load() || !bytes.Contains(said, []byte("$KV."+protocol.JobsBucket))
	})}
	p := startPlane(t, opts)
	dying.Store(true)
	began := time.Now()
	status, data := p.call("POST", "/jobs", query("server-a"), "X-Client-Token", "once")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the answer took %s", took)
	}
	if status != 503 || !contains(string(data), "NATS does not answer", "send it again", "disconnected") {
		t.Errorf("answered %d %s", status, data)
	}
	dying.Store(false)
	wait.Until(t, "POST is taken", func() error {
		if status, data := p.call("POST", "/jobs", query("server-a"), "X-Client-Token", "once"); status != 200 {
			return errorf("%d %s", status, data)
		}
		return nil
	})
}

func TestABrokerThatRestartsInTheMiddleLosesNothing(t *testing.T) {
	t.Parallel()
	store, addr := t.TempDir(), freeAddr(t)
	onAddr := func() *server.Options {
		o, at := brokertest.Options(store), netip.MustParseAddrPort(addr)
		o.Host, o.Port = at.Addr().String(), int(at.Port())
		return o
	}
	first := startNATS(t, onAddr(), true)
	opts := testOptions(t)
	opts.Broker = broker.Options{URL: "nats://" + addr}
	p := startPlane(t, opts)
	release := make(chan struct{})
	p.host("server-a", func(h *host, task protocol.Task) { <-release; succeed(h, task) })
	created := p.create("server-a")
	p.until(created.ID, "it is accepted", func(j job) bool { return j.task("server-a").Phase == "ACCEPTED" })
	first.Shutdown()
	first.WaitForShutdown()
	wait.Until(t, "POST says that the broker is away", func() error {
		req := query("server-b")
		if status, data := p.call("POST", "/jobs", req, "X-Client-Token", "later"); status != 503 || !contains(string(data), "NATS") {
			return errorf("%d %s", status, data)
		}
		return nil
	})
	startNATS(t, onAddr(), true)
	close(release)
	p.finished(created.ID)
	wait.Until(t, "POST is taken again", func() error {
		if status, data := p.call("POST", "/jobs", query("server-b"), "X-Client-Token", "later"); status != 200 {
			return errorf("%d %s", status, data)
		}
		return nil
	})
}

// startCluster is three servers with JetStream on every one.
func startCluster(t testing.TB) []*server.Server {
	t.Helper()
	var routes []*url.URL
	for range 3 {
		routes = append(routes, &url.URL{Scheme: "nats", Host: freeAddr(t)})
	}
	var all []*server.Server
	for i := range 3 {
		opts, at := brokertest.Options(t.TempDir()), netip.MustParseAddrPort(routes[i].Host)
		opts.ServerName, opts.Routes = fmt.Sprintf("n%d", i), routes
		opts.Cluster.Name, opts.Cluster.Host, opts.Cluster.Port = "c", at.Addr().String(), int(at.Port())
		all = append(all, startNATS(t, opts, true))
	}
	wait.Until(t, "the cluster has a leader that knows all servers", func() error {
		for _, s := range all {
			if !s.JetStreamIsCurrent() {
				return errorf("%s is not current", s.Name())
			}
		}
		peers := 0 // that the leader can give streams to
		for _, s := range all {
			peers = max(peers, len(s.JetStreamClusterPeers()))
		}
		if peers < len(all) {
			return errorf("it knows %d servers, or there is none", peers)
		}
		return nil
	})
	return all
}

func TestTwoReplicasOnAClusterOfThreeFinishAJobThoughAServerDies(t *testing.T) {
	t.Parallel()
	all := startCluster(t)
	var urls []string
	for _, s := range all {
		urls = append(urls, s.ClientURL())
	}
	opts := testOptions(t)
	opts.Broker = broker.Options{URL: strings.Join(urls, ",")}
	opts.Broker.Listen = ""
	first := startPlane(t, opts)
	other := opts
	other.DataDir, other.SigningKey = t.TempDir(), first.opts.DataDir+"/signing.key"
	second := startPlane(t, other)
	stream, err := first.broker.JS.Stream(t.Context(), protocol.StatusStream)
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().Config.Replicas; got != 3 {
		t.Fatalf("streams have %d copies", got)
	}
	release := make(chan struct{})
	newHost(t, strings.Join(urls, ","), "server-a", first.trust(), func(h *host, task protocol.Task) { <-release; succeed(h, task) }).poll()
	newHost(t, strings.Join(urls, ","), "server-b", first.trust(), succeed).poll()
	created := first.create("server-a", "server-b")
	second.get(created.ID) // known to the other at once
	second.until(created.ID, "both replicas see the first end", func(j job) bool { return j.task("server-b").Status == "SUCCESS" })
	all[2].Shutdown()
	close(release)
	first.finished(created.ID)
	second.finished(created.ID)
	first.mailboxEmpties("server-a")
	first.mailboxEmpties("server-b")
}
