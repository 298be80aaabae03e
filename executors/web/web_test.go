package web_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"devserver-agent/executors/web"
)

func TestNothingLeadsToALinkLocalAddress(t *testing.T) {
	client := &http.Client{Transport: web.Transport()}
	redirect := httptest.NewServer(http.RedirectHandler("http://169.254.169.254/latest/meta-data", http.StatusFound))
	defer redirect.Close()
	for _, url := range []string{
		"http://169.254.169.254/", "http://[fe80::1]/", "http://[::ffff:169.254.1.1]/", "http://224.0.0.1/", "http://0.0.0.0:1/", "http://[::]:1/", redirect.URL,
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
	reply, err := client.Get(strings.Replace(plain.URL, "127.0.0.1", "localhost", 1))
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
}
