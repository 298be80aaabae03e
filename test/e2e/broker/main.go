// Command broker is test/brokertest as a process, to be killed: a NATS server
// on --port of the loopback whose store is --dir.
package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"

	"github.com/nats-io/nats-server/v2/server"

	"devserver-agent/test/brokertest"
)

func main() {
	dir := flag.String("dir", "", "folder of the store")
	listen := flag.String("listen", "", "address and port to listen on")
	flag.Parse()
	b, err := start(*dir, *listen)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	b.WaitForShutdown() // nobody shuts it down
}

func start(dir, listen string) (*brokertest.Broker, error) {
	at, err := netip.ParseAddrPort(listen)
	if err != nil {
		return nil, err
	}
	return brokertest.Start(dir, brokertest.SyncAlways, func(o *server.Options) { o.Host, o.Port = at.Addr().String(), int(at.Port()) })
}
