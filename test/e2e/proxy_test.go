package e2e

import (
	"net"
	"sync"
	"testing"
)

// proxy is the network between an agent and its broker.
type proxy struct {
	listener net.Listener

	mu      sync.Mutex
	changed *sync.Cond
	target  string
	weather weather
	pairs   map[*pair]bool
}

// weather is how the network is.
type weather int

const (
	fair      weather = iota
	down              // no connection is made, those that were are cut
	stalled           // connections are made and nothing passes
	oneWay            // what the broker says is lost
	weathers          // how many there are
	firstFoul = down
)

type pair struct{ near, far net.Conn }

func newProxy(t testing.TB) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, pairs: map[*pair]bool{}}
	p.changed = sync.NewCond(&p.mu)
	go p.accept()
	t.Cleanup(func() {
		_ = listener.Close()
		p.become(down)
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

// lead sets where connections lead to.
func (p *proxy) lead(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = address
}

// become changes the weather. Fair weather after a foul one cuts what stood in
// it: bytes may be missing.
func (p *proxy) become(w weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.weather
	p.weather = w
	p.changed.Broadcast()
	if w == down || was == oneWay {
		p.cut()
	}
}

// cut ends all connections; p.mu is held.
func (p *proxy) cut() {
	for c := range p.pairs {
		_ = c.near.Close()
		_ = c.far.Close()
	}
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		target, w := p.target, p.weather
		p.mu.Unlock()
		var far net.Conn
		if w != down {
			far, err = net.Dial("tcp", target)
		}
		if far == nil || err != nil {
			_ = near.Close()
			continue
		}
		c := &pair{near, far}
		p.mu.Lock()
		p.pairs[c] = true
		p.mu.Unlock()
		go p.pump(c, near, far, false)
		go p.pump(c, far, near, true)
	}
}

// pump passes bytes on as the weather allows.
func (p *proxy) pump(c *pair, from, to net.Conn, answers bool) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
		p.mu.Lock()
		delete(p.pairs, c)
		p.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		for p.weather == stalled {
			p.changed.Wait()
		}
		lost := p.weather == down || p.weather == oneWay && answers
		p.mu.Unlock()
		if lost {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
