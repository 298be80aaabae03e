package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"devserver-agent/protocol"
	"devserver-agent/test/support/golden"
)

const testKey = "ed25519:Q29udHJvbCBwbGFuZSdzIHB1YmxpYyBrZXkuIFNhbXA="

// full is a file with every key, passwords included, for its owner only.
func full(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	c, err := Load(full(t), []string{"HOME=/root"})
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		ServerID:    "66d210bc-023c-490a-8664-afd321a163ad",
		ServerName:  "liteserver-978c-00001",
		CloudServer: CloudServer{Type: "BMS", ID: "39aab8e4-add9-4c2a-8fb7-c3e477e23855"},
		StateDir:    "/srv/agent",
		RunDir:      "/srv/agent/run",
		NATS: NATS{
			Servers: []string{"tls://agent:secret@10.0.0.5:4222", "nats://token@broker.example.com"},
			CAFile:  "/etc/pki/ca.pem", CertFile: "/etc/pki/cert.pem", KeyFile: "/etc/pki/key.pem",
			Spread: Duration(90 * time.Second),
		},
		Trust:     Trust{Keys: []string{testKey}},
		Tools:     Tools{NPUSMI: "/opt/bin/npu-smi"},
		Host:      Host{Root: "/", BootIDFile: "/proc/sys/kernel/random/boot_id", RebootCommand: []string{"/sbin/reboot", "-f"}, RebootDelay: Duration(time.Minute)},
		HDK:       HDK{Repository: "https://user:secret@mirror.example.com/hdk", CardsAtOnce: 4, HookTimeout: Duration(10 * time.Minute)},
		Logs:      Logs{Bucket: "devserver-logs"},
		Executors: Executors{Allow: []string{"HDK_QUERY"}},
		Steps:     Steps{MemoryMax: 16 << 30, TasksMax: 4096},
		Log:       Log{Level: "debug", Format: "json"},
		Metrics:   Metrics{Listen: "127.0.0.1:9464"},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"npu-smi": "/opt/bin/npu-smi"}, c.ToolPaths()); diff != "" {
		t.Errorf("paths of tools (-want +got):\n%s", diff)
	}
	if got := c.Keyring(); len(got.Keys) != 1 || got.Keys[0].String() != testKey || got.AllowUnsigned {
		t.Errorf("keyring is %+v", got)
	}
	golden.Compare(t, "testdata/full.dump", c.String())
}

func TestLoadFromEnvironmentAlone(t *testing.T) {
	c, err := Load("", []string{
		"DEVSERVER_AGENT_SERVER_ID=from-env",
		"DEVSERVER_AGENT_NATS_SERVERS=nats://a:4222, nats://b:4222",
		"DEVSERVER_AGENT_TRUST_ALLOW_UNSIGNED=true",
		"DEVSERVER_AGENT_HOST_REBOOT_DELAY=3s",
		"DEVSERVER_AGENT_STATE_DIR=/s",
		"DEVSERVER_AGENT_LOG_LEVEL=", // as if not set
		"DEVSERVER_AGENT_TEST_ONLY=another program's",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.ServerID = "from-env"
	want.StateDir, want.RunDir = "/s", "/s/run"
	want.NATS.Servers = []string{"nats://a:4222", "nats://b:4222"}
	want.Trust.AllowUnsigned = true
	want.Host.RebootDelay = Duration(3 * time.Second)
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}

func TestEnvironmentWinsOverTheFile(t *testing.T) {
	c, findings := parse([]byte("server_id: from-file\nlog: {level: warn}\n"), []string{"DEVSERVER_AGENT_SERVER_ID=from-env"})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	if c.ServerID != "from-env" || c.Log.Level != "warn" {
		t.Errorf("server_id %q, log.level %q", c.ServerID, c.Log.Level)
	}
}

func TestMistakesAreNamedWithTheirPlace(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml string
		env  []string
		want []string
	}{
		"no server id": {
			want: []string{"server_id is missing: it is the DevServer instance id under which the control plane knows this host"},
		},
		"an unknown key, a near miss": {
			yaml: "server_id: a\nnats:\n  server: [nats://b]\n",
			want: []string{`line 3: unknown key "nats.server"; did you mean nats.servers?`},
		},
		"an unknown key, in the wrong section": {
			yaml: "server_id: a\ncredentials_file: /etc/x\n",
			want: []string{`line 2: unknown key "credentials_file"; did you mean nats.credentials_file?`},
		},
		"an unknown key, like nothing": {
			yaml: "server_id: a\nfrobnicate: 1\n",
			want: []string{`line 2: unknown key "frobnicate"`},
		},
		"a key twice": {
			yaml: "server_id: a\nserver_id: b\n",
			want: []string{"line 2: server_id was already given in line 1"},
		},
		"all at once": {
			yaml: "server_id: a b\nstate_dir: relative\nlog: {level: loud}\nnats:\n  spread: 5\n  key_file: /k\ntrust: {keys: [rsa:xyz], allow_unsigned: yes}\n",
			env:  []string{"DEVSERVER_AGENT_METRICS_LISTEN=9464", "DEVSERVER_AGENT_SERVERID=x"},
			want: []string{
				`line 5: nats.spread "5" is not a duration such as 90s, 5m or 1h30m`,
				`line 7: trust.allow_unsigned is "yes", must be true or false`,
				"unknown variable DEVSERVER_AGENT_SERVERID; did you mean DEVSERVER_AGENT_SERVER_ID?",
				`line 1: server_id is "a b", must be 1 to 64 letters, digits and hyphens`,
				`line 2: state_dir is "relative", must be an absolute path`,
				`line 7: trust.keys[0] is not a public key: key "rsa:xyz" does not begin with "ed25519:"`,
				`line 3: log.level is "loud", must be one of debug, info, warn, error`,
				`DEVSERVER_AGENT_METRICS_LISTEN: metrics.listen is "9464", must be host:port, such as 127.0.0.1:9464`,
				"nats.cert_file and nats.key_file are given together or not at all",
			},
		},
		"broker URLs that are none, without repeating a password": {
			yaml: "server_id: a\nnats:\n  servers: ['nats://u:pass word@h', 'http://h', 4222]\n",
			want: []string{
				"line 3: nats.servers[0] must be a URL such as nats://10.0.0.5:4222 (nats, tls, ws or wss; one broker each)",
				"line 3: nats.servers[1] must be a URL such as nats://10.0.0.5:4222 (nats, tls, ws or wss; one broker each)",
				"line 3: nats.servers[2] must be a URL such as nats://10.0.0.5:4222 (nats, tls, ws or wss; one broker each)",
			},
		},
		"shapes that do not fit": {
			yaml: "server_id: [a]\nnats: x\ntrust:\n  keys: one\nexecutors:\n  allow: [[HDK_QUERY]]\n",
			want: []string{
				"line 1: server_id must be one value",
				"line 2: nats must be a section of keys",
				"line 4: trust.keys must be a list: [a, b], or one value a line after a hyphen",
				"line 6: executors.allow has a list or nothing where value 1 should be",
				"line 1: server_id is missing: it is the DevServer instance id under which the control plane knows this host",
			},
		},
		"a negative time, a repository and a command that are none": {
			yaml: "server_id: a\nhost: {reboot_delay: -1s, reboot_command: [reboot]}\nhdk: {repository: 'https://h/p?token=x'}\n",
			want: []string{
				"line 2: host.reboot_delay -1s is negative",
				"line 3: hdk.repository must be a base URL, without ? and #",
				`line 2: host.reboot_command must begin with a program: is "reboot", must be an absolute path`,
			},
		},
		"no card at a time": {
			yaml: "server_id: a\nhdk: {cards_at_once: 0}\n",
			want: []string{"line 2: hdk.cards_at_once is 0, must be 1 to 64"},
		},
		"more cards at a time than a host has": {
			yaml: "server_id: a\n",
			env:  []string{"DEVSERVER_AGENT_HDK_CARDS_AT_ONCE=65"},
			want: []string{"DEVSERVER_AGENT_HDK_CARDS_AT_ONCE: hdk.cards_at_once is 65, must be 1 to 64"},
		},
		"cards that are no number": {
			yaml: "server_id: a\nhdk: {cards_at_once: all}\n",
			want: []string{`line 2: hdk.cards_at_once is "all", must be a whole number`},
		},
		"text that is not YAML": {
			yaml: "server_id: a\n\tnats:\n",
			env:  []string{"DEVSERVER_AGENT_SERVER_ID=a"},
			want: []string{"not YAML: line 2: found a tab character that violates indentation"},
		},
		"two documents": {
			yaml: "server_id: a\n---\nserver_id: b\n",
			env:  []string{"DEVSERVER_AGENT_SERVER_ID=a"},
			want: []string{"has more than one YAML document"},
		},
		"a list instead of a file of keys": {
			yaml: "- server_id\n",
			env:  []string{"DEVSERVER_AGENT_SERVER_ID=a"},
			want: []string{"line 1: the file must be a section of keys"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := parse([]byte(tc.yaml), tc.env)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
	path := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(path, []byte("server_id: a b\nloq: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(path, nil)
	var wrong *Error
	if !errors.As(err, &wrong) || wrong.Path != path || len(wrong.Findings) != 2 {
		t.Fatalf("error is %v", err)
	}
	want := "configuration in " + path + " has 2 mistakes:\n" +
		"  line 2: unknown key \"loq\"; did you mean log?\n" +
		"  line 1: server_id is \"a b\", must be 1 to 64 letters, digits and hyphens"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(path, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Load(path, nil); err == nil || !strings.Contains(err.Error(), "is larger than") {
		t.Errorf("a huge file gives %v", err)
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	c, err := Load(full(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"String": c.String(), "GoString": c.GoString()} {
		for _, secret := range []string{"secret", "token"} {
			if strings.Contains(text, secret+"@") || strings.Contains(text, ":"+secret) {
				t.Errorf("%s shows %q:\n%s", name, secret, text)
			}
		}
	}
	if c.NATS.Servers[0] != "tls://agent:secret@10.0.0.5:4222" {
		t.Errorf("printing changed the configuration: %s", c.NATS.Servers[0])
	}
}

func TestPrintedConfigurationLoadsAgain(t *testing.T) {
	c := Default()
	c.ServerID, c.ServerName = "a", "0x10: [not, a list] # or comment"
	c.Trust.Keys = []string{testKey}
	text, err := c.YAML()
	if err != nil {
		t.Fatal(err)
	}
	got, findings := parse(text, nil)
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	if diff := cmp.Diff(text, must(got.YAML())); diff != "" {
		t.Errorf("printed again (-want +got):\n%s", diff)
	}
}

func TestSample(t *testing.T) {
	golden.Compare(t, "testdata/sample.yaml", Sample())
	env := []string{"DEVSERVER_AGENT_SERVER_ID=a"}
	want := Default()
	want.ServerID = "a"
	uncommented := regexp.MustCompile(`(?m)^#( *[a-z_]+:)`).ReplaceAll(Sample(), []byte("$1"))
	for name, text := range map[string][]byte{"as it is": Sample(), "uncommented": uncommented} {
		c, findings := parse(text, env)
		if len(findings) > 0 {
			t.Errorf("%s: %s", name, findings)
		}
		if diff := cmp.Diff(string(must(want.YAML())), string(must(c.YAML()))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReference(t *testing.T) { golden.Compare(t, "../../docs/configuration.md", Reference()) }

func TestEveryKeyIsExplained(t *testing.T) {
	rules := regexp.MustCompile(`^(id|text|path|secret|key|publickey|broker|repository|address|type|oneof=.+|range=\d+-\d+)?$`)
	seen := map[string]bool{}
	for _, k := range Keys() {
		if k.Doc == "" || (k.Default == "" && k.Empty == "") {
			t.Errorf("%s has no doc, or neither a default nor what its absence means", k.Path)
		}
		if !rules.MatchString(k.check) {
			t.Errorf("%s is checked as %q, which checkText does not know", k.Path, k.check)
		}
		if seen[k.Env] {
			t.Errorf("%s is the variable of two keys", k.Env)
		}
		seen[k.Env] = true
		if k.Example != "" {
			if err := checkText(k.check, k.Example); err != nil {
				t.Errorf("example of %s %v", k.Path, err)
			}
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "2m": 2 * time.Minute, "1h": time.Hour, "1h30m": 90 * time.Minute, "1m30s": 90 * time.Second, "10h": 10 * time.Hour, "1.5s": 1500 * time.Millisecond,
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || d.Std() != want || d.String() != text {
			t.Errorf("%s reads as %s (%v)", text, d, err)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "1000": 1000, "1KiB": 1 << 10, "512MiB": 512 << 20, "16GiB": 16 << 30, "3TiB": 3 << 40, "1537MiB": 1537 << 20,
	} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want || s.String() != text {
			t.Errorf("%s reads as %d, which is written %s (%v)", text, uint64(s), s, err)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1.5GiB", "16GB", "16 GiB", "9999999999TiB", "18446744073709551616"} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q reads as %s", text, s)
		}
	}
}

func TestCloudServerConverts(t *testing.T) {
	got := protocol.CloudServer(CloudServer{Type: "BMS", ID: "x"})
	if got.Type != "BMS" || got.ID != "x" {
		t.Errorf("converted to %+v", got)
	}
}

func FuzzLoad(f *testing.F) {
	full, err := os.ReadFile("testdata/full.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(full, "DEVSERVER_AGENT_NATS_SERVERS=nats://a")
	f.Add(Sample(), "DEVSERVER_AGENT_RUN_DIR=/run/x")
	f.Add([]byte("---\n"), "")
	f.Add([]byte("a: &a [*a]\nserver_id: *a\n"), "DEVSERVER_AGENT_TRUST_KEYS=,")
	f.Add([]byte("<<: {server_id: a}\n? [x]\n: y\n"), "DEVSERVER_AGENT_=x")
	f.Fuzz(func(t *testing.T, text []byte, variable string) {
		c, findings := parse(text, []string{variable})
		if len(findings) > 0 {
			return
		}
		if !protocol.ValidID(c.ServerID) || !filepath.IsAbs(c.StateDir) || len(c.Keyring().Keys) != len(c.Trust.Keys) {
			t.Errorf("accepted %+v", c)
		}
		again, findings := parse(must(c.YAML()), nil)
		if len(findings) > 0 {
			t.Fatalf("what was printed is refused: %s\n%s", findings, c)
		}
		if c.String() != again.String() {
			t.Errorf("printed:\n%s\nread again:\n%s", c, again)
		}
	})
}

func must(text []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return text
}
