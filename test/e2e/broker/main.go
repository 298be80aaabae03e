// Command broker is test/brokertest as a process, to be killed: a NATS server
// on --port of the loopback whose store is --dir.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/nats-io/nats-server/v2/server"

	"devserver-agent/test/brokertest"
)

func main() {
	dir := flag.String("dir", "", "folder of the store")
	port := flag.Int("port", 0, "port to listen on")
	flag.Parse()
	b, err := brokertest.Start(*dir, func(o *server.Options) { o.Port = *port })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	b.WaitForShutdown() // nobody shuts it down
}
