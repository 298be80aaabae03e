package web_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"devserver-agent/executors/web"
)

func TestNothingLeadsToALinkLocalAddress(t *testing.T) {
	names(t, map[string]net.IP{"site.example": net.IPv4(127, 0, 0, 1), "cloud.example": net.IPv4(169, 254, 169, 254)})
	client := &http.Client{Transport: web.Transport()}
	redirect := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/latest/meta-data", http.StatusFound))
	defer redirect.Close()
	for _, url := range []string{
		"http://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:169.254.1.1]/", "http://224.0.0.1/", "http://0.0.0.0:1/", "http://[::]:1/", redirect.URL,
		"http://cloud.example/",
	} {
		reply, err := client.Get(url)
		if err == nil {
			reply.Body.Close()
		}
		if !errors.Is(err, web.ErrLinkLocal) {
			t.Errorf("%s: %v", url, err)
		}
	}
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	reply, err := client.Get(strings.Replace(plain.URL, "127.0.0.1", "site.example", 1))
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
}

// names has this process resolve these names, whatever the machine knows, until the test
// ends.
func names(t *testing.T, known map[string]net.IP) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	former := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = former
		server.Close()
	})
	go func() {
		query := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(query)
			if err != nil {
				return
			}
			if _, err := server.WriteTo(resolve(query[:n], known), from); err != nil {
				return
			}
		}
	}()
}

// resolve answers a query of DNS (RFC 1035, section 4.1) for the IPv4 address of a known
// name; all else has no address.
func resolve(query []byte, known map[string]net.IP) []byte {
	const header, ipv4 = 12, 1
	var labels []string
	at := header
	for query[at] > 0 {
		end := at + 1 + int(query[at])
		labels, at = append(labels, string(query[at+1:end])), end
	}
	question := query[header : at+5] // with its end, type and class
	answer := []byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}
	answer = append(answer, question...)
	if address := known[strings.Join(labels, ".")].To4(); address != nil && bytes.Equal(question[len(question)-4:], []byte{0, ipv4, 0, 1}) {
		answer[7] = 1                                                                            // one address
		answer = append(answer, 0xc0, header, 0, ipv4, 0, 1, 0, 0, 0, 60, 0, byte(len(address))) // of the name asked for
		answer = append(answer, address...)
	}
	return answer
}
