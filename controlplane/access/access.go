// Package access decides who may ask the control plane for what. Callers prove
// themselves as ModelArts' do: with a token in X-Auth-Token, or by signing the request
// with an access key (AK/SK, SDK-HMAC-SHA256). Who they are, for which projects and in
// which role, stands in one file.
//
// It writes no state but that file, and that only for Add: whole or not at all. A file
// that was changed is read again with the next request; one that makes no sense is
// reported and the one before stays in force.
package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Role is what a user may do. Each may do what those before it may.
type Role int

// The roles. The zero value may do nothing.
const (
	Reader   Role = iota + 1 // see jobs, output, servers
	Operator                 // create, pause, cancel and delete jobs
	Keeper                   // stop the fleet, give hosts up
)

var roleNames = []string{"", "reader", "operator", "keeper"}

func (r Role) String() string { return roleNames[r] }

// ParseRole reads the name of a role.
func ParseRole(name string) (Role, error) {
	if r := slices.Index(roleNames, name); r > 0 {
		return Role(r), nil
	}
	return 0, fmt.Errorf("%.40q is no role, it must be one of %s", name, strings.Join(roleNames[1:], ", "))
}

// User is who asks.
type User struct {
	Name     string // user_name of the jobs he creates
	Role     Role
	Projects []string // ids, or "*"
}

func (u User) sees(project string) bool {
	return slices.Contains(u.Projects, "*") || slices.Contains(u.Projects, project)
}

// Why a request is not admitted.
var (
	ErrNoCredentials = errors.New("the request has neither X-Auth-Token nor a signature (Authorization: SDK-HMAC-SHA256)")
	ErrFormat        = errors.New("the Authorization header is not SDK-HMAC-SHA256 Access=KEY, SignedHeaders=NAMES, Signature=HEX")
	ErrToken         = errors.New("the token in X-Auth-Token is not known here")
	ErrSignature     = errors.New("the access key is not known here, or the signature does not match the request")
	ErrDate          = errors.New("the request was signed more than 15 minutes from now (X-Sdk-Date); see both clocks")
	ErrProject       = errors.New("the project of the URL is none of the user's")
	ErrRole          = errors.New("the user's role does not permit it")
	ErrTooMany       = errors.New("too many requests; ask again later")
	ErrTooLarge      = errors.New("the body of the request is too large")
)

// Options of a Guard.
type Options struct {
	File    string                              // needed
	MaxBody int64                               // bytes of a body; needed
	Rate    float64                             // requests a second of one user; zero: 50
	Report  func(message string, problem error) // of the file; nil: nobody
}

// Guard admits requests. It is safe for concurrent use.
type Guard struct {
	opts   Options
	file   watched
	limits limits
}

// Open reads the file of users.
func Open(opts Options) (*Guard, error) {
	if opts.Rate == 0 {
		opts.Rate = 50
	}
	g := &Guard{opts: opts, file: watched{path: opts.File}, limits: newLimits(opts.Rate)}
	return g, g.file.read()
}

// Admit finds out who sent a request for a project and whether his role is enough.
// Errors are this package's. The body of a signed request is read and put back.
func (g *Guard) Admit(r *http.Request, project string, need Role) (User, error) {
	user, err := g.identify(r)
	switch {
	case (errors.Is(err, ErrToken) || errors.Is(err, ErrSignature)) && !g.limits.mayGuess(r.RemoteAddr):
		return User{}, ErrTooMany
	case err != nil:
		return User{}, err
	case !g.limits.mayAsk(user.Name):
		return User{}, ErrTooMany
	case !user.sees(project):
		return user, ErrProject
	case user.Role < need:
		return user, ErrRole
	}
	return user, nil
}

func (g *Guard) identify(r *http.Request) (User, error) {
	if err := g.file.fresh(); err != nil && g.opts.Report != nil {
		g.opts.Report("the file of users was changed and cannot be used; the one before stays in force", err)
	}
	if token := r.Header.Get("X-Auth-Token"); token != "" {
		sum := sha256.Sum256([]byte(token))
		if user, ok := g.file.users().tokens[hex.EncodeToString(sum[:])]; ok {
			return user, nil
		}
		return User{}, ErrToken
	}
	given := r.Header.Get("Authorization")
	if given == "" {
		return User{}, ErrNoCredentials
	}
	claim, err := parseAuthorization(given)
	if err != nil {
		return User{}, err
	}
	body, err := g.body(r)
	if err != nil {
		return User{}, err
	}
	key := g.file.users().keys[claim.accessKey]
	if err := claim.verify(r, body, key.secret, time.Now()); err != nil {
		return User{}, err
	}
	return key.user, nil
}

// body reads the body of a request and gives it back to it.
func (g *Guard) body(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, g.opts.MaxBody+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > g.opts.MaxBody {
		return nil, ErrTooLarge
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

type userKey struct{}

// With is ctx with who asks.
func With(ctx context.Context, u User) context.Context { return context.WithValue(ctx, userKey{}, u) }

// From is who asks; ok is false where nobody is asked who he is.
func From(ctx context.Context) (u User, ok bool) {
	u, ok = ctx.Value(userKey{}).(User)
	return u, ok
}
