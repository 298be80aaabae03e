package fleet

import (
	"fmt"
	"os"
	"slices"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"devserver-agent/protocol"
)

// Names of accounts and of the files of their statements.
const (
	operatorName   = "OPERATOR"
	systemAccount  = "SYSTEM"
	controlAccount = "CONTROL"
	agentsAccount  = "AGENTS"
)

// Bounds of an agent's user.
const (
	maxSubscriptions = 16      // it has two
	maxPayload       = 1 << 20 // as the broker's max_payload
)

// authority has the keys that make accounts and users.
type authority struct {
	keys       map[string]nkeys.KeyPair // operator, accounts, and the key that signs agents
	statements map[string]string        // JWTs of the operator and the accounts
}

// agentSigner is the key that signs agents: one that can be replaced without another
// account. enrolSigner is what the control plane may have of it: who has
// it can make any host, and nothing else, whatever it signs.
const (
	agentSigner = "agents-signer"
	enrolSigner = "enrolment"
)

var keyKinds = map[string]nkeys.PrefixByte{
	operatorName: nkeys.PrefixByteOperator, systemAccount: nkeys.PrefixByteAccount, controlAccount: nkeys.PrefixByteAccount,
	agentsAccount: nkeys.PrefixByteAccount, agentSigner: nkeys.PrefixByteAccount, enrolSigner: nkeys.PrefixByteAccount,
}

func newKey(kind nkeys.PrefixByte) (public string, seed []byte, err error) {
	pair, err := nkeys.CreatePair(kind)
	if err == nil {
		public, err = pair.PublicKey()
	}
	if err == nil {
		seed, err = pair.Seed()
	}
	return public, seed, err
}

// found makes the keys and statements of a new fleet.
func (f *Fleet) found() (*authority, error) {
	for name, kind := range keyKinds {
		_, seed, err := newKey(kind)
		if err == nil {
			err = write(f.Path("keys", name+".seed"), append(seed, '\n'))
		}
		if err != nil {
			return nil, err
		}
	}
	a := &authority{statements: map[string]string{}}
	if err := a.loadKeys(f); err != nil {
		return nil, err
	}
	claims := map[string]jwt.Claims{operatorName: a.operator(), systemAccount: a.system(), controlAccount: a.control(), agentsAccount: a.agents()}
	for name, c := range claims {
		text, err := c.Encode(a.keys[operatorName])
		if err == nil {
			err = write(f.Path("jwt", name+".jwt"), []byte(text))
		}
		if err != nil {
			return nil, err
		}
		a.statements[name] = text
	}
	return a, nil
}

// authority reads keys and statements.
func (f *Fleet) authority() (*authority, error) {
	a := &authority{statements: map[string]string{}}
	if err := a.loadKeys(f); err != nil {
		return nil, err
	}
	for _, name := range []string{operatorName, systemAccount, controlAccount, agentsAccount} {
		text, err := os.ReadFile(f.Path("jwt", name+".jwt"))
		if err != nil {
			return nil, err
		}
		a.statements[name] = string(text)
	}
	return a, nil
}

func (a *authority) loadKeys(f *Fleet) error {
	a.keys = map[string]nkeys.KeyPair{}
	for name := range keyKinds {
		seed, err := os.ReadFile(f.Path("keys", name+".seed"))
		if err == nil {
			a.keys[name], err = nkeys.ParseDecoratedNKey(seed)
		}
		if err != nil {
			return fmt.Errorf("key %s: %w", name, err)
		}
	}
	return nil
}

func (a *authority) public(name string) string {
	key, err := a.keys[name].PublicKey()
	if err != nil {
		panic(err) // a pair made of a seed has one
	}
	return key
}

func (a *authority) operator() jwt.Claims {
	c := jwt.NewOperatorClaims(a.public(operatorName))
	c.Name, c.SystemAccount = "devserver", a.public(systemAccount)
	return c
}

func (a *authority) system() jwt.Claims {
	c := jwt.NewAccountClaims(a.public(systemAccount))
	c.Name = systemAccount
	return c
}

// control is the account of the streams. Nothing in it may be reached from outside
// but what is exported.
func (a *authority) control() jwt.Claims {
	c := jwt.NewAccountClaims(a.public(controlAccount))
	c.Name = controlAccount
	c.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit, MemoryStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	for _, s := range protocol.AgentServices() {
		c.Exports.Add(&jwt.Export{Name: s.Subject, Subject: jwt.Subject(s.Subject), Type: jwt.Service})
	}
	for _, s := range protocol.AgentStreams() {
		c.Exports.Add(&jwt.Export{Name: s, Subject: jwt.Subject(s), Type: jwt.Stream})
	}
	from, to := protocol.FetchMapping() // the control plane asks as agents do whether it works
	c.AddMapping(jwt.Subject(from), jwt.WeightedMapping{Subject: jwt.Subject(to)})
	return c
}

// agents is the account of the hosts.
func (a *authority) agents() jwt.Claims {
	c := jwt.NewAccountClaims(a.public(agentsAccount))
	c.Name = agentsAccount
	c.SigningKeys.Add(a.public(agentSigner))
	c.SigningKeys.AddScopedSigner(a.enrolled())
	for _, s := range protocol.AgentServices() {
		c.Imports.Add(&jwt.Import{Name: s.Subject, Subject: jwt.Subject(s.Subject), Account: a.public(controlAccount), LocalSubject: jwt.RenamingSubject(s.Local), Type: jwt.Service})
	}
	for _, s := range protocol.AgentStreams() {
		c.Imports.Add(&jwt.Import{Name: s, Subject: jwt.Subject(s), Account: a.public(controlAccount), Type: jwt.Stream})
	}
	return c
}

// enrolled is the template of users that the control plane signs; the broker puts their
// name into it (https://docs.nats.io/running-a-nats-service/nats_admin/security/jwt,
// scoped signing keys).
func (a *authority) enrolled() *jwt.UserScope {
	scope := jwt.NewUserScope()
	scope.Key, scope.Role = a.public(enrolSigner), "agent"
	publish, subscribe := protocol.AgentSubjects("{{name()}}")
	scope.Template.Permissions.Pub.Allow.Add(publish...)
	scope.Template.Permissions.Sub.Allow.Add(subscribe...)
	scope.Template.Limits.Subs, scope.Template.Limits.Payload = maxSubscriptions, maxPayload
	return scope
}

// agent is the statement of the user of one server.
func (a *authority) agent(server, publicKey string) (string, error) {
	c := jwt.NewUserClaims(publicKey)
	c.Name, c.IssuerAccount = server, a.public(agentsAccount)
	publish, subscribe := protocol.AgentSubjects(server)
	c.Permissions.Pub.Allow.Add(publish...)
	c.Permissions.Sub.Allow.Add(subscribe...)
	c.Limits.Subs, c.Limits.Payload = maxSubscriptions, maxPayload
	return c.Encode(a.keys[agentSigner])
}

// leaf is the statement of a leaf node, which speaks for the hosts that connect to it:
// for any, since which they are is not known here.
func (a *authority) leaf(name, publicKey string) (string, error) {
	c := jwt.NewUserClaims(publicKey)
	c.Name, c.IssuerAccount = "leaf "+name, a.public(agentsAccount)
	publish, subscribe := protocol.AgentSubjects("*")
	c.Permissions.Pub.Allow.Add(publish...)
	c.Permissions.Sub.Allow.Add(subscribe...)
	return c.Encode(a.keys[agentSigner])
}

// agentsAtLeaf is the statement of the agents' account for leaf nodes: they know its
// users, and what these ask for goes on to the brokers that have the other account.
func (a *authority) agentsAtLeaf() (string, error) {
	c, err := jwt.DecodeAccountClaims(a.statements[agentsAccount])
	if err != nil {
		return "", err
	}
	c.Imports = nil
	return c.Encode(a.keys[operatorName])
}

// member is the statement of a user who may do everything in an account.
func (a *authority) member(account, name, publicKey string) (string, error) {
	c := jwt.NewUserClaims(publicKey)
	c.Name = name
	return c.Encode(a.keys[account])
}

// revoke is the agents' account without the users of these keys.
func (a *authority) revoke(keys []string) ([]byte, error) {
	c, err := jwt.DecodeAccountClaims(a.statements[agentsAccount])
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		c.Revoke(key)
	}
	text, err := c.Encode(a.keys[operatorName])
	a.statements[agentsAccount] = text
	return []byte(text), err
}

// credentials is the file that clients of NATS read. Without a seed there is only
// the statement in it.
func credentials(token string, seed []byte) ([]byte, error) {
	if seed == nil {
		return []byte(token + "\n"), nil
	}
	text, err := jwt.FormatUserConfig(token, seed)
	return slices.Clip(text), err
}
