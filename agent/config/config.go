// Package config is the agent's configuration: one YAML file, overridden key by
// key from the environment.
//
// The struct Config is the only place that knows a key. Its tags name it,
// explain it, give its default and say what a value must look like; reading,
// the environment's names, validation, the sample file and the reference page
// are made from them. Reading is strict: an unknown key is an error that names
// its line. All that is wrong with a configuration is reported at once.
//
// The package reads one file and writes none.
package config

import (
	"reflect"

	"devserver-agent/protocol"
)

// Config is a whole configuration. The zero value is not usable; see Default
// and Load. Lists are never nil after Load when the key was given.
//
// Tags: yaml is the key's name, doc its meaning, default its value when it is
// not given, empty what an empty value stands for, check what the value (each
// value of a list) must be, example a value to show.
type Config struct {
	ServerID    string      `yaml:"server_id" check:"id" empty:"required" example:"66d210bc-023c-490a-8664-afd321a163ad" doc:"The DevServer instance id under which the control plane knows this host. Letters, digits and hyphens, at most 64. Never give two hosts the same one."`
	ServerName  string      `yaml:"server_name" check:"text" empty:"none" example:"liteserver-978c-00001" doc:"The server's name as job answers show it."`
	CloudServer CloudServer `yaml:"cloud_server" doc:"The cloud server under this DevServer, as job answers show it."`
	SuperNode   string      `yaml:"super_node" check:"id" empty:"none" example:"a3-pod-7" doc:"The super node that the host is a part of, the same name on all of its hosts. All of its NPUs have to run one driver: the control plane warns of jobs that upgrade a part of it."`
	StateDir    string      `yaml:"state_dir" check:"path" default:"/var/lib/devserver-agent" doc:"Where tasks are remembered. It must survive a restart of the host and belong to one agent only; copy it to no other machine."`
	RunDir      string      `yaml:"run_dir" check:"path" empty:"/run/devserver-agent for the default state_dir, else run in state_dir" doc:"Where the agent's socket is."`
	NATS        NATS        `yaml:"nats" doc:"The broker that carries tasks to this host and results back."`
	Trust       Trust       `yaml:"trust" doc:"Whose tasks this host runs."`
	Tools       Tools       `yaml:"tools" doc:"Where the vendor's tools are. A tool that is not named here is looked for in the usual places under host.root."`
	Host        Host        `yaml:"host" doc:"The host itself. Change these only for a host that is not at /, such as a test's."`
	HDK         HDK         `yaml:"hdk" doc:"Where driver and firmware packages come from."`
	Logs        Logs        `yaml:"logs" doc:"Where collected logs go."`
	Containers  Containers  `yaml:"containers" doc:"The host's container engine, for COMMON and SERVICE_DEPLOY."`
	Executors   Executors   `yaml:"executors" doc:"What kinds of work this host takes."`
	Steps       Steps       `yaml:"steps" doc:"What a program that a task runs may take of the host, each by itself. Never applied to one that must not be cut, such as an installer. Holds where systemd runs the steps; limits of all steps together go to devserver-tasks.slice."`
	Log         Log         `yaml:"log" doc:"The agent's own log, on standard error. Output of tasks is kept with the task."`
	Metrics     Metrics     `yaml:"metrics" doc:"Metrics in Prometheus' text format."`
}

// CloudServer is the machine under a DevServer; it converts to
// protocol.CloudServer.
type CloudServer struct {
	Type string `yaml:"type" check:"oneof=BMS|ECS|HPS" empty:"none" example:"BMS" doc:"Its kind: BMS, ECS or HPS."`
	ID   string `yaml:"id" check:"text" empty:"none" example:"39aab8e4-add9-4c2a-8fb7-c3e477e23855" doc:"Its id in the cloud."`
}

// NATS says how to reach the broker.
type NATS struct {
	Servers         []string `yaml:"servers" check:"broker" empty:"none; run needs at least one" example:"tls://10.0.0.5:4222" doc:"URLs of the brokers (nats, tls, ws or wss), any of which will do. A password in a URL is masked wherever the agent prints it; credentials_file is the better place."`
	CredentialsFile string   `yaml:"credentials_file" check:"secret" empty:"none" example:"/etc/devserver-agent/agent.creds" doc:"File with this host's NATS credentials (user JWT and seed). Here and in the next three credential:NAME is what systemd's LoadCredential= or LoadCredentialEncrypted= gives the service under that name."`
	CAFile          string   `yaml:"ca_file" check:"secret" empty:"the system's authorities" doc:"PEM file of the authorities that may vouch for the broker. Read again at every connect, as the two files below are."`
	CertFile        string   `yaml:"cert_file" check:"secret" empty:"none" doc:"PEM file with this host's TLS certificate. Given together with key_file."`
	KeyFile         string   `yaml:"key_file" check:"secret" empty:"none" doc:"PEM file with the key of cert_file."`
	TLSFirst        bool     `yaml:"tls_first" default:"false" doc:"Begin with TLS at once instead of waiting for the broker's greeting, as proxies that tell connections apart by their TLS name want it. The broker must allow it (handshake_first)."`
	Spread          Duration `yaml:"spread" default:"2m" doc:"Over how long work that follows from a reconnect is spread, such as sending every result again after the broker lost its store, so that a whole fleet does not send at once. 0s: at once."`
}

// Trust says whose statements count.
type Trust struct {
	Keys          []string `yaml:"keys" check:"key" empty:"nobody is trusted" example:"ed25519:Q29udHJvbCBwbGFuZSdzIHB1YmxpYyBrZXkuIFNhbXA=" doc:"Public keys of the control planes whose tasks run here, as devserver-controlplane prints them. List the old and the new one while a key is changed. A key may be followed by what bounds it: only=HDK_QUERY+DIAGNOSIS for the item types it may ask for, with the words cancel and reboot where it may do that too; from= and until= with a day (UTC) for when it counts."`
	AllowUnsigned bool     `yaml:"allow_unsigned" default:"false" doc:"Run tasks that nobody signed: anyone who can write to the broker can then run tasks here as root. If trust.keys is empty, signed tasks run too, and their signatures are not checked. For development only."`
}

// Tools are the paths of the vendor's tools; the tag tool is the name by which
// executors ask for one.
type Tools struct {
	NPUSMI      string `yaml:"npu_smi" tool:"npu-smi" check:"path" empty:"looked up" doc:"Path of npu-smi."`
	HCCNTool    string `yaml:"hccn_tool" tool:"hccn_tool" check:"path" empty:"looked up" doc:"Path of hccn_tool."`
	UpgradeTool string `yaml:"upgrade_tool" tool:"upgrade-tool" check:"path" empty:"looked up" doc:"Path of upgrade-tool."`
	AscendDMI   string `yaml:"ascend_dmi" tool:"ascend-dmi" check:"path" empty:"looked up" doc:"Path of ascend-dmi."`
	MSNPUReport string `yaml:"msnpureport" tool:"msnpureport" check:"path" empty:"looked up" doc:"Path of msnpureport."`
}

// Host says where the host's files are and how it is restarted.
type Host struct {
	Root          string   `yaml:"root" check:"path" default:"/" doc:"Folder that every file of the host is read under: /usr/local/Ascend, /etc, /proc, /sys, /dev and tools that are looked up. What is not there counts as not found."`
	BootIDFile    string   `yaml:"boot_id_file" check:"path" default:"/proc/sys/kernel/random/boot_id" doc:"File whose content changes with every boot. Taken as it is, not under root."`
	RebootCommand []string `yaml:"reboot_command" empty:"logind where systemd runs and host.root is /, else the host is never restarted and tasks with is_reboot are refused" example:"/usr/sbin/shutdown" doc:"Program and arguments that restart the host; the program is an absolute path. Or the word logind alone."`
	RebootDelay   Duration `yaml:"reboot_delay" default:"0s" doc:"How long to wait between announcing a restart and the restart. logind tells those who are logged in."`
}

// HDK says where driver and firmware packages come from.
type HDK struct {
	Repository string   `yaml:"repository" check:"repository" empty:"none; HDK_UPGRADE is refused" example:"https://mirror.example.com/hdk" doc:"A folder (absolute path), an http or https URL, or object://BUCKET for a JetStream object store, with the index.json that devserverctl hdk index writes."`
	IndexKeys  []string `yaml:"index_keys" check:"publickey" empty:"any index is taken" example:"ed25519:Q29udHJvbCBwbGFuZSdzIHB1YmxpYyBrZXkuIFNhbXA=" doc:"Public keys that devserverctl hdk index --sign has signed the repository's index with. With one here an index that is not signed with any of them is refused."`

	CardsAtOnce uint `yaml:"cards_at_once" check:"range=1-64" default:"4" doc:"How many calls of each tool (npu-smi, hccn_tool) may run in parallel in HDK_QUERY, HDK_UPGRADE, DIAGNOSIS and devserver-agent doctor, 1 to 64. Set 1 where a tool can answer only one call at a time."`

	Before      []string `yaml:"before" check:"path" empty:"none" example:"/etc/devserver-agent/cordon" doc:"Programs to run before an upgrade, in this order: what takes work away from the host and stops who holds NPUs, such as the device plugin. Each gets DEVSERVER_PHASE and DEVSERVER_HDK, the version to come, in its environment; one that was cut is run once more."`
	After       []string `yaml:"after" check:"path" empty:"none" example:"/etc/devserver-agent/uncordon" doc:"Programs to run after it, whether it went well or not: what gives the work back."`
	HookTimeout Duration `yaml:"hook_timeout" default:"10m" doc:"How long each of them may take before it is ended and counts as failed."`
}

// Logs says where collected logs go.
type Logs struct {
	Bucket string `yaml:"bucket" check:"id" default:"devserver-logs" doc:"JetStream object store for jobs that give no URL of their own. The control plane makes the default one."`
}

// Containers says how to reach the container engine.
type Containers struct {
	Socket string `yaml:"socket" check:"path" empty:"that of Docker, or else of Podman" example:"/run/podman/podman.sock" doc:"Socket of the engine's API. With a socket here the agent uses no other."`
}

// Executors says what kinds of work the host takes.
type Executors struct {
	Allow     []string `yaml:"allow" check:"type" empty:"all" example:"HDK_QUERY" doc:"The only item types this host runs."`
	PluginDir string   `yaml:"plugin_dir" check:"path" empty:"no plug-ins" example:"/usr/lib/devserver-agent/plugins" doc:"Folder of further executors, a program each (docs/plugins.md). It and all in it must belong to root and be writable by nobody else. Read when the agent starts."`
}

// Steps bounds what programs of tasks take of the host.
type Steps struct {
	MemoryMax Size `yaml:"memory_max" default:"0" example:"16GiB" doc:"The most memory. The kernel kills what wants more, and the task says so. 0: no limit."`
	TasksMax  uint `yaml:"tasks_max" default:"0" example:"4096" doc:"The most processes and threads. 0: no limit."`
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level" check:"oneof=debug|info|warn|error" default:"info" doc:"The least that is logged: debug, info, warn or error."`
	Format string `yaml:"format" check:"oneof=console|json" default:"console" doc:"console for people, json for programs."`
}

// Metrics says where metrics are served.
type Metrics struct {
	Listen string `yaml:"listen" check:"address" empty:"off" example:"127.0.0.1:9464" doc:"Address to serve /metrics at, host:port."`
}

// Default is what holds where nothing is configured, RunDir included.
func Default() Config {
	var c Config
	for _, k := range Keys() {
		if k.Default == "" {
			continue
		}
		if err := setText(k.in(&c), k.Default); err != nil {
			panic("config: default of " + k.Path + ": " + err.Error())
		}
	}
	c.fillRunDir()
	return c
}

func defaultStateDir() string {
	field, _ := reflect.TypeFor[Config]().FieldByName("StateDir") // it is there
	return field.Tag.Get("default")
}

// Keyring holds the keys of trust.keys.
func (c Config) Keyring() protocol.Keyring {
	ring := protocol.Keyring{AllowUnsigned: c.Trust.AllowUnsigned}
	for _, text := range c.Trust.Keys {
		if key, err := protocol.ParseTrusted(text); err == nil { // Load refuses others
			ring.Keys = append(ring.Keys, key)
		}
	}
	return ring
}

// IndexKeys are the keys of hdk.index_keys.
func (c Config) IndexKeys() (keys []protocol.Key) {
	for _, text := range c.HDK.IndexKeys {
		if key, err := protocol.ParseKey(text); err == nil { // Load refuses others
			keys = append(keys, key)
		}
	}
	return keys
}

// ToolPaths are the places of the vendor's tools that are configured, by the
// names that executors ask for them with.
func (c Config) ToolPaths() map[string]string {
	paths := map[string]string{}
	tools := reflect.ValueOf(c.Tools)
	for i := range tools.NumField() {
		if path := tools.Field(i).String(); path != "" {
			paths[tools.Type().Field(i).Tag.Get("tool")] = path
		}
	}
	return paths
}
