package protocol

// CloudServer is the machine under a DevServer, by the cloud's own names.
type CloudServer struct {
	Type string `json:"type,omitempty" yaml:"type"` // BMS, ECS or HPS
	ID   string `json:"id,omitempty" yaml:"id"`
}

// Facts is what a host says of itself on every connect and on change.
type Facts struct {
	ServerID       string      `json:"server_id"`
	ServerName     string      `json:"server_name,omitempty"`
	CloudServer    CloudServer `json:"cloud_server"`
	SuperNode      string      `json:"super_node,omitempty"` // that it is a part of
	InstallationID string      `json:"installation_id"`
	BootID         string      `json:"boot_id"`
	AgentVersion   string      `json:"agent_version"`
	Hostname       string      `json:"hostname,omitempty"`
	OS             string      `json:"os,omitempty"`
	Kernel         string      `json:"kernel,omitempty"`
	Arch           string      `json:"arch,omitempty"` // as uname -m
	CPUs           int         `json:"cpus,omitempty"`
	MemoryBytes    uint64      `json:"memory_bytes,omitempty"`
	BootedAt       int64       `json:"booted_at,omitempty"`
	NPUs           []string    `json:"npus,omitempty"` // chip families by PCI device, one entry a device
	Executors      []ItemType  `json:"executors,omitempty"`
	Held           bool        `json:"held,omitempty"`     // exclusive work waits for an operator
	Draining       bool        `json:"draining,omitempty"` // nothing new is started
	At             int64       `json:"at"`
}

// Presence is a heartbeat.
type Presence struct {
	ServerID       string `json:"server_id"`
	InstallationID string `json:"installation_id"`
	BootID         string `json:"boot_id"`
	AgentVersion   string `json:"agent_version"`
	Open           int    `json:"open"` // tasks without a verdict
	At             int64  `json:"at"`
}

// Notice reports what an agent refused, or what an operator should know of it.
type Notice struct {
	ServerID       string `json:"server_id"`
	InstallationID string `json:"installation_id"`
	Code           Code   `json:"code"`
	Message        string `json:"message"`
	TaskID         string `json:"task_id,omitempty"` // only when it is an id
	Digest         string `json:"digest,omitempty"`  // of the payload that was refused
	Count          int    `json:"count"`             // how many alike since the last notice
	At             int64  `json:"at"`
}
