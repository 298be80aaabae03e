// Package protocol is the wire contract between the control plane and the
// agents: messages, subjects, the catalogue of work, codes and signatures.
//
// It does no I/O and keeps no state, so both sides can import it and neither
// sees the other. Everything is JSON. Times are epoch milliseconds. Unknown
// fields are ignored; a message of another major version travels under another
// payload type and is refused by name. All functions are safe for concurrent
// use.
package protocol

import (
	"regexp"
	"time"
)

// Bounds of the wire. Whatever is larger is refused by the side that reads it
// and never sent by the side that writes it.
const (
	MaxOpenTasks   = 64        // unfinished tasks of one server
	MaxEnvelope    = 8 << 10   // bytes of one signed statement, encoded
	MaxMailbox     = 768 << 10 // bytes of a mailbox as it is written; a broker's max_payload is 1 MiB
	MaxMailboxRead = 16 << 20  // bytes of a mailbox as it is read, for brokers with a raised limit
	MaxMessage     = 4 << 10   // bytes of Status.Message
	MaxStatuses    = 64        // status messages of one task
	MaxChunk       = 64 << 10  // bytes of output in one Chunk, before encoding
	MaxItems       = 16        // items of one task
	MaxSpecKeys    = 32        // parameters of one item
	MaxSpecValue   = 2 << 10   // bytes of one parameter
	MaxJobServers  = 1000      // servers of one job
	// MaxListedServers bounds Job.Servers, so that a task fits its envelope. A
	// larger job is rebuilt from what each of its servers reports.
	MaxListedServers = 64
	MaxJobText       = 1 << 10             // bytes of a job's description
	MaxValidity      = 30 * 24 * time.Hour // between issued_at and expires_at
	MaxTimeout       = 30 * 24 * time.Hour // of a task
	ExpiryGrace      = 10 * time.Minute    // between expires_at and the control plane's EXPIRED
	DefaultExpires   = 7 * 24 * time.Hour
)

// OutputHead and OutputTail are the bytes of one item's output that are kept
// when it grows past their sum: its beginning and its end. What lies between is
// released and counted in ItemOutput.Dropped.
const (
	OutputHead = 16 << 20
	OutputTail = 48 << 20
)

// IDPattern is what every id matches (RE2).
const IDPattern = `^[A-Za-z0-9-]{1,64}$`

var idPattern = regexp.MustCompile(IDPattern)

// ValidID reports whether id may name a server, job, task or project. Ids
// become subject tokens and folder names, so nothing else ever reaches either.
func ValidID(id string) bool { return idPattern.MatchString(id) }

// Millis is t as the wire carries it.
func Millis(t time.Time) int64 { return t.UnixMilli() }
