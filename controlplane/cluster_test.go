package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"devserver-agent/controlplane/broker"
	"devserver-agent/protocol"
)

// startNATS is a NATS server that is not the control plane's own.
func startNATS(t testing.TB, opts *server.Options, mapped bool) *server.Server {
	t.Helper()
	opts.Host, opts.JetStream, opts.NoSigs, opts.SyncAlways = "127.0.0.1", true, true, true
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
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("NATS does not listen")
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func TestABrokerWithoutTheMappingIsRefusedWithTheLinesItNeeds(t *testing.T) {
	s := startNATS(t, &server.Options{Port: -1, StoreDir: t.TempDir()}, false)
	opts := testOptions(t)
	opts.Broker = broker.Options{URL: s.ClientURL()}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	c, err := Start(ctx, opts)
	if err == nil {
		c.Close()
		t.Fatal("it started")
	}
	if !contains(err.Error(), "mappings {\n", `"devserver.v1.fetch.*": "$JS.API.DIRECT.GET.DEVSERVER_MAILBOX.devserver.v1.mailbox.{{wildcard(1)}}"`, "\n}") {
		t.Errorf("error is %v", err)
	}
}

// mute is an address in front of a server. Its first client is heard until it
// asks for something of JetStream, and never answered again.
func mute(t *testing.T, s *server.Server) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for first := true; ; first = false {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			served, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			go relay(client, served, false)
			go relay(served, client, first)
		}
	}()
	return listener.Addr().String()
}

func relay(to, from net.Conn, untilJetStream bool) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || untilJetStream && bytes.Contains(buffer[:n], []byte("$JS.API")) {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestABrokerThatGoesAwayDuringTheStartIsWaitedFor(t *testing.T) {
	s := startNATS(t, &server.Options{Port: -1, StoreDir: t.TempDir()}, true)
	opts := testOptions(t)
	opts.Broker = broker.Options{URL: "nats://" + mute(t, s)}
	p := startPlane(t, opts)
	p.host("server-a", succeed)
	p.finished(p.create("server-a").ID)
}

func TestABrokerThatRestartsInTheMiddleLosesNothing(t *testing.T) {
	store, addr := t.TempDir(), freeAddr(t)
	var port int
	if _, err := fmt.Sscanf(addr[strings.LastIndex(addr, ":")+1:], "%d", &port); err != nil {
		t.Fatal(err)
	}
	first := startNATS(t, &server.Options{Port: port, StoreDir: store}, true)
	opts := testOptions(t)
	opts.Broker = broker.Options{URL: "nats://" + addr}
	p := startPlane(t, opts)
	release := make(chan struct{})
	p.host("server-a", func(h *host, task protocol.Task) { <-release; succeed(h, task) })
	created := p.create("server-a")
	p.until(created.ID, "it is accepted", func(j job) bool { return j.task("server-a").Phase == "ACCEPTED" })
	first.Shutdown()
	first.WaitForShutdown()
	eventually(t, "POST says that the broker is away", func() error {
		req := query("server-b")
		if status, data := p.call("POST", "/jobs", req, "X-Client-Token", "later"); status != 503 || !contains(string(data), "NATS") {
			return errorf("%d %s", status, data)
		}
		return nil
	})
	startNATS(t, &server.Options{Port: port, StoreDir: store}, true)
	close(release)
	p.finished(created.ID)
	eventually(t, "POST is taken again", func() error {
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
	var ports []int
	for range 3 {
		addr := freeAddr(t)
		u, err := url.Parse("nats://" + addr)
		if err != nil {
			t.Fatal(err)
		}
		var port int
		if _, err := fmt.Sscanf(u.Port(), "%d", &port); err != nil {
			t.Fatal(err)
		}
		routes, ports = append(routes, u), append(ports, port)
	}
	var all []*server.Server
	for i := range 3 {
		opts := &server.Options{ServerName: fmt.Sprintf("n%d", i), Port: -1, StoreDir: t.TempDir(), Routes: routes}
		opts.Cluster.Name, opts.Cluster.Host, opts.Cluster.Port = "c", "127.0.0.1", ports[i]
		all = append(all, startNATS(t, opts, true))
	}
	eventually(t, "the cluster has a leader that knows all servers", func() error {
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
	newHost(t, strings.Join(urls, ","), "server-a", first.trust(), func(h *host, task protocol.Task) { <-release; succeed(h, task) })
	newHost(t, strings.Join(urls, ","), "server-b", first.trust(), succeed)
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
