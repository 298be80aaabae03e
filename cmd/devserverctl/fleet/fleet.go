// Package fleet makes and keeps what a fleet's broker needs to tell its users apart:
// an operator with its accounts, the configuration and certificates of the brokers,
// and the credentials of the control plane and of each agent.
//
// Two accounts stand between the hosts and the fleet. CONTROL has the streams and
// belongs to the control plane; AGENTS has no JetStream, and what it may ask of
// CONTROL is a short list (protocol.AgentServices). In AGENTS each host has a user
// of its own with the subjects of its own id (protocol.AgentSubjects). SYSTEM is
// for revocations.
//
// All of it is in one folder, for its owner only. Its keys make new users: keep it
// where the certificates' authority would be kept, not on a broker. A file is
// written whole or not at all. Who dies in the middle of Init leaves a folder that
// Open refuses and Init begins anew; in the middle of Enrol, a key in the register of
// which nobody has the credentials; in the middle of Renew, a certificate whose key does
// not fit, and Renew can be called again; in the middle of Revoke, a statement that revokes
// more than the register says, and Revoke can be called again.
package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"

	"devserver-agent/protocol"
)

// Names of files in a fleet's folder.
const (
	registerFile     = "register.json" // written last: a fleet without it is not complete
	caFile           = "ca.pem"
	controlPlaneFile = "controlplane.creds"
	systemFile       = "system.creds"
	enrolmentFile    = "enrolment.key"
	leafStatement    = agentsAccount + "-LEAF.jwt" // in jwt
)

// Fleet is such a folder.
type Fleet struct {
	dir      string
	register register
}

// register is what is remembered beside keys and certificates.
type register struct {
	Brokers []Broker            `json:"brokers"`
	Leaves  []Broker            `json:"leaves,omitempty"`
	Agents  map[string][]string `json:"agents"`            // server id -> public keys of its users
	Revoked []string            `json:"revoked,omitempty"` // public keys
	Mutual  bool                `json:"mutual,omitempty"`  // brokers ask clients for certificates

	ConfigDir string `json:"config_dir"`
	StoreDir  string `json:"store_dir"`
}

// Why something cannot be done.
var (
	ErrExists   = errors.New("there is a fleet already")
	ErrNoFleet  = errors.New("is no folder that fleet init made")
	ErrServerID = errors.New("is not a server id (letters, digits and -, at most 64)")
	ErrEnrolled = errors.New("is enrolled already; revoke it first, or ask for another user of it")
	ErrUnknown  = errors.New("is not enrolled")
	ErrNoBroker = errors.New("is no broker or leaf node of this fleet")
)

// Open reads the fleet in dir.
func Open(dir string) (*Fleet, error) {
	raw, err := os.ReadFile(filepath.Join(dir, registerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s %w", dir, ErrNoFleet)
	}
	f := &Fleet{dir: dir}
	if err == nil {
		err = json.Unmarshal(raw, &f.register)
	}
	if err != nil {
		return nil, fmt.Errorf("read the fleet: %w", err)
	}
	if f.register.Agents == nil {
		f.register.Agents = map[string][]string{}
	}
	return f, nil
}

// Path is a file of the fleet.
func (f *Fleet) Path(name ...string) string {
	return filepath.Join(append([]string{f.dir}, name...)...)
}

// ControlPlane is the file of the control plane's credentials.
func (f *Fleet) ControlPlane() string { return f.Path(controlPlaneFile) }

// CA is the certificate of the authority that vouches for the brokers.
func (f *Fleet) CA() string { return f.Path(caFile) }

// ConfigDir is the folder on a broker's host that its files belong into.
func (f *Fleet) ConfigDir() string { return f.register.ConfigDir }

// Brokers are the brokers of the fleet.
func (f *Fleet) Brokers() []Broker { return f.register.Brokers }

// Leaves are its leaf nodes.
func (f *Fleet) Leaves() []Broker { return f.register.Leaves }

func (f *Fleet) save() error {
	raw, err := json.MarshalIndent(f.register, "", "  ")
	if err != nil {
		return err
	}
	return write(f.Path(registerFile), append(raw, '\n'))
}

// Enrol makes a user for the agent of a server and returns the files that the host
// gets: its credentials and, where brokers ask for one, its certificate, the
// certificate's key and the authority. publicKey is the user's, made on the host, so
// that its private key never leaves it; the credentials then have no key. With "" the
// key is made here. again allows a server that is enrolled; its former user stays until
// it is revoked.
func (f *Fleet) Enrol(server, publicKey string, again bool) (files []string, err error) {
	if !protocol.ValidID(server) {
		return nil, fmt.Errorf("%.80q %w", server, ErrServerID)
	}
	if len(f.register.Agents[server]) > 0 && !again {
		return nil, fmt.Errorf("%s %w", server, ErrEnrolled)
	}
	a, err := f.authority()
	if err != nil {
		return nil, err
	}
	var seed []byte
	if publicKey == "" {
		if publicKey, seed, err = newKey(nkeys.PrefixByteUser); err != nil {
			return nil, err
		}
	} else if !nkeys.IsValidPublicUserKey(publicKey) {
		return nil, fmt.Errorf("%.80q is not the public key of a NATS user (U...)", publicKey)
	}
	token, err := a.agent(server, publicKey)
	if err != nil {
		return nil, err
	}
	f.register.Agents[server] = append(f.register.Agents[server], publicKey)
	if err := f.save(); err != nil {
		return nil, err
	}
	files = []string{f.Path("agents", server+".creds"), f.CA()}
	text, err := credentials(token, seed)
	if err == nil {
		err = write(files[0], text)
	}
	if err == nil && f.register.Mutual {
		err = f.certify(f.Path("agents"), server, server)
		files = append(files, f.Path("agents", server+".pem"), f.Path("agents", server+".key"))
	}
	return files, err
}

// Revoke ends every user of a server. The brokers know it when Tell has told them, or
// when they are started with their new configuration.
func (f *Fleet) Revoke(server string) error {
	keys := f.register.Agents[server]
	if len(keys) == 0 {
		return fmt.Errorf("%.80s %w", server, ErrUnknown)
	}
	a, err := f.authority()
	if err != nil {
		return err
	}
	statement, err := a.revoke(keys)
	if err != nil {
		return err
	}
	delete(f.register.Agents, server)
	f.register.Revoked = append(f.register.Revoked, keys...)
	err = errors.Join(write(f.Path("jwt", agentsAccount+".jwt"), statement), f.writeBrokers(a), f.save())
	for _, ext := range []string{".creds", ".pem", ".key"} {
		err = errors.Join(err, remove(f.Path("agents", server+ext)))
	}
	return err
}

func remove(file string) error {
	if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// write writes a file for its owner only, whole or not at all.
func write(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}
