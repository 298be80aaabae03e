package access

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.yaml.in/yaml/v3"

	"devserver-agent/protocol"
)

// maxFile is far above the file of any site.
const maxFile = 1 << 20

// entry is a user as the file has him: a token, of which only the SHA-256 is kept, or an
// access key with its secret, which signing needs as it is.
type entry struct {
	Name        string   `yaml:"name"`
	Role        string   `yaml:"role"`
	Projects    []string `yaml:"projects"`
	TokenSHA256 string   `yaml:"token_sha256,omitempty"`
	AccessKey   string   `yaml:"access_key,omitempty"`
	SecretKey   string   `yaml:"secret_key,omitempty"`
}

type document struct {
	Users []entry `yaml:"users"`
}

// users are those of a file, by what they prove themselves with.
type users struct {
	tokens map[string]User // by SHA-256 in hex
	keys   map[string]keyHolder
}

type keyHolder struct {
	user   User
	secret string
}

// watched is a file that is read again when it was changed.
type watched struct {
	path    string
	current atomic.Pointer[users]

	mu    sync.Mutex
	stamp string // of what was read, or could not be used
}

func (w *watched) users() *users { return w.current.Load() }

// fresh reads the file again if it was changed.
func (w *watched) fresh() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stampOf(w.path) == w.stamp {
		return nil
	}
	return w.load()
}

func (w *watched) read() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.load()
}

// load reads the file; mu is held.
func (w *watched) load() error {
	w.stamp = stampOf(w.path)
	doc, err := readDocument(w.path)
	if err != nil {
		return err
	}
	read, err := doc.users()
	if err != nil {
		return fmt.Errorf("file of users %s: %w", w.path, err)
	}
	w.current.Store(read)
	return nil
}

func stampOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size(), info.Mode())
}

// readDocument reads the file; one that others may read is refused, for it has secrets.
func readDocument(path string) (doc document, err error) {
	file, err := os.Open(path)
	if err != nil {
		return doc, fmt.Errorf("file of users: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return doc, fmt.Errorf("file of users: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return doc, fmt.Errorf("file of users %s can be read by others (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return doc, fmt.Errorf("file of users: %w", err)
	}
	in := yaml.NewDecoder(bytes.NewReader(text))
	in.KnownFields(true)
	if err := in.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return doc, fmt.Errorf("file of users %s: %w", path, err)
	}
	return doc, nil
}

func (d document) users() (*users, error) {
	read := &users{map[string]User{}, map[string]keyHolder{}}
	for n, e := range d.Users {
		user, err := e.user()
		if err != nil {
			return nil, fmt.Errorf("user %d (%.40q): %w", n+1, e.Name, err)
		}
		token, key := strings.ToLower(e.TokenSHA256), e.AccessKey
		_, tokenTwice := read.tokens[token]
		_, keyTwice := read.keys[key]
		if token != "" && tokenTwice || key != "" && keyTwice {
			return nil, fmt.Errorf("user %d (%s) has the token or access key of another one", n+1, e.Name)
		}
		if token != "" {
			read.tokens[token] = user
		}
		if key != "" {
			read.keys[key] = keyHolder{user, e.SecretKey}
		}
	}
	return read, nil
}

func (e entry) user() (User, error) {
	role, roleErr := ParseRole(e.Role)
	u := User{Name: e.Name, Role: role, Projects: e.Projects}
	sum, err := hex.DecodeString(e.TokenSHA256)
	switch {
	case !protocol.ValidType(e.Name):
		return u, errors.New("name is not 1 to 64 letters, digits, dots, hyphens and underscores")
	case roleErr != nil:
		return u, roleErr
	case len(e.Projects) == 0:
		return u, errors.New("projects names none; \"*\" is all of them")
	case e.TokenSHA256 == "" && e.AccessKey == "":
		return u, errors.New("neither token_sha256 nor access_key is given")
	case err != nil || e.TokenSHA256 != "" && len(sum) != 32:
		return u, errors.New("token_sha256 is no SHA-256 in hex")
	case (e.AccessKey == "") != (e.SecretKey == ""):
		return u, errors.New("access_key and secret_key are given together or not at all")
	case e.SecretKey != "" && len(e.SecretKey) < 16:
		return u, errors.New("secret_key is shorter than 16 characters")
	}
	for _, p := range e.Projects {
		if p != "*" && !protocol.ValidID(p) {
			return u, fmt.Errorf("project %.80q is not 1 to 64 letters, digits and hyphens", p)
		}
	}
	return u, nil
}

// Credentials are what a user proves himself with: Token, or AccessKey and SecretKey.
// They are told once.
type Credentials struct {
	Token     string `json:"token,omitempty"`
	AccessKey string `json:"access_key,omitempty"`
	SecretKey string `json:"secret_key,omitempty"`
}

// Add gives a user credentials of his own, in a file that is made if there is none:
// a token, or an access key for who signs requests. A user who is there gets further
// ones.
func Add(path string, user User, sign bool) (c Credentials, err error) {
	doc, err := readDocument(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, err
	}
	e := entry{Name: user.Name, Role: user.Role.String(), Projects: user.Projects}
	if sign {
		c.AccessKey, c.SecretKey = strings.ToUpper(secret(10, hex.EncodeToString)), secret(30, base64.RawURLEncoding.EncodeToString)
		e.AccessKey, e.SecretKey = c.AccessKey, c.SecretKey
	} else {
		c.Token = secret(32, base64.RawURLEncoding.EncodeToString)
		e.TokenSHA256 = hexDigest([]byte(c.Token))
	}
	doc.Users = append(doc.Users, e)
	if _, err := doc.users(); err != nil {
		return Credentials{}, err
	}
	return c, doc.write(path)
}

// Remove takes all credentials of a user away, and says how many there were.
func Remove(path, name string) (int, error) {
	doc, err := readDocument(path)
	if err != nil {
		return 0, err
	}
	before := len(doc.Users)
	doc.Users = slices.DeleteFunc(doc.Users, func(e entry) bool { return e.Name == name })
	if len(doc.Users) == before {
		return 0, fmt.Errorf("file of users %s has no user %q", path, name)
	}
	return before - len(doc.Users), doc.write(path)
}

func (d document) write(path string) error {
	text, err := yaml.Marshal(d)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".users-*") // mode 0600
	if err != nil {
		return fmt.Errorf("file of users: %w", err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("file of users: %w", err)
	}
	return nil
}

func secret(bytes int, encode func([]byte) string) string {
	raw := make([]byte, bytes)
	_, _ = rand.Read(raw) // never fails: see crypto/rand
	return encode(raw)
}
