package web_test

import (
	"testing"

	"devserver-agent/executors/web"
)

func TestTokensAreSentWhereNobodyHearsThem(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://control.example.org": true, "https://10.0.0.5:8090/": true,
		"http://127.0.0.1:8090": true, "http://[::1]:8090": true, "http://localhost": true,
		"http://control.example.org": false, "http://10.0.0.5:8090": false, "http://127.0.0.1.example.org": false,
		"http://localhost.example.org": false, "ftp://127.0.0.1": false, "127.0.0.1:8090": false, "https://": false, "": false, "https://a\x00b": false,
	} {
		if err := web.CheckTokenURL(address); ok != (err == nil) {
			t.Errorf("%q: %v", address, err)
		}
	}
}
