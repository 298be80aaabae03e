package secret_test

import (
	"bytes"
	"strings"
	"testing"

	"devserver-agent/executors/secret"
)

const seed = "SUAIBDPBAUTWCWBKIO6XHQNINK5FWJW4OHLXC3HQ2KFE4PEJUA44CNHTC4"

// texts have the secret in them, and around it what has to stay.
var texts = map[string]struct{ before, hidden, after string }{
	"a password":        {"user=me password=", "hunter2", " host=a"},
	"in JSON":           {`{"Secret_Key": "`, "abc/def+x", `","b":1}`},
	"a header":          {"> Authorization: ", "Bearer abc.def.ghi", "\r\n> Host: x"},
	"a token":           {"X-Auth-Token: ", "MIIabc", "\n"},
	"a URL's user":      {"GET https://", "me:pa55", "@mirror.example.com/x"},
	"a presigned URL":   {"put https://b.example.com/o?X-Amz-Signature=", "0a1b2c", "&x=1"},
	"a seed of NATS":    {"seed ", seed, " in a file"},
	"a private key":     {"x\n-----BEGIN PRIVATE KEY-----", "\nMC4CAQAwBQYDK2VwBCIEIAABAg\nMEBQYH\n", "-----END PRIVATE KEY-----\ny"},
	"a key without end": {"-----BEGIN RSA PRIVATE KEY-----", "\nMIIE", ""},
}

func TestSecretsAreFound(t *testing.T) {
	for name, c := range texts {
		text := c.before + c.hidden + c.after
		if got, want := secret.Mask(text), c.before+"***"+c.after; got != want {
			t.Errorf("%s: masked %q, want %q", name, got, want)
		}
		blank := []byte(text)
		secret.Blank(blank)
		stars := strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return '*'
		}, c.hidden)
		if want := c.before + stars + c.after; string(blank) != want {
			t.Errorf("%s: blanked %q, want %q", name, blank, want)
		}
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	for _, text := range []string{
		"Driver: 24.1.0.3 | Firmware: 7.5.0.5.220", "[12:30:01] [INFO] Driver package installed successfully!", "the token is gone",
		"see https://example.com/a?b=c", "me@example.com", "keys: trusted", strings.Repeat("A", 57), "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "",
	} {
		blank := []byte(text)
		secret.Blank(blank)
		if got := secret.Mask(text); got != text && !strings.Contains(text, "keys:") || string(blank) != got {
			t.Errorf("%q becomes %q and %q", text, got, blank)
		}
	}
}

// FuzzBlank: lengths and lines stay, what is masked is blanked too, and once is enough.
func FuzzBlank(f *testing.F) {
	for _, c := range texts {
		f.Add([]byte(c.before + c.hidden + c.after))
		f.Add([]byte(c.before))
	}
	f.Add([]byte("pa\u017f\u017fword=x \u017fig=y")) // the long s is an s to (?i), and not to ToLower
	f.Fuzz(func(t *testing.T, text []byte) {
		blank := bytes.Clone(text)
		secret.Blank(blank)
		if len(blank) != len(text) {
			t.Fatalf("%d bytes became %d", len(text), len(blank))
		}
		for i := range text {
			if blank[i] != text[i] && (blank[i] != '*' || text[i] == '\n') {
				t.Fatalf("byte %d became %q", i, blank[i])
			}
		}
		if secret.Mask(string(text)) != string(text) && bytes.Equal(blank, text) && !bytes.ContainsAny(text, "*\r\n") {
			t.Fatalf("%q is masked and not blanked", text)
		}
	})
}

// BenchmarkBlank is of output as installers write it.
func BenchmarkBlank(b *testing.B) {
	line := []byte("[Driver] [2026-11-28 12:30:01] [INFO]: /usr/local/Ascend/driver/lib64/libdrvdsmi_host.so is installed, mode 0440\n")
	text := bytes.Repeat(line, 64<<10/len(line))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		secret.Blank(text)
	}
}
