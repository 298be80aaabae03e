package protocol

// MaxAuditLine is the most bytes of one line of an audit log, and about the most of the
// lines of one message.
const MaxAuditLine = 32 << 10

// AuditLines are lines of a host's audit log, sent in their order. They may come twice.
// Each is the text that the host wrote, because the next one carries its SHA-256.
type AuditLines struct {
	ServerID       string   `json:"server_id"`
	InstallationID string   `json:"installation_id"`
	Lines          []string `json:"lines"`
	At             int64    `json:"at"`
}

// AuditPosition is what a line of an audit log, which is JSON, says of its place in the
// chain.
type AuditPosition struct {
	Seq  int64  `json:"seq"`  // from 1, without a gap
	Prev string `json:"prev"` // SHA-256 of the line before, in hex; "" of the first
}
