package access

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/signer"
	algorithms "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/signer/algorithm"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/request"
)

const maxBody = 1024

// guard is one with three users, two of whom have a token and one an access key.
func guard(t *testing.T) (g *Guard, file string, given map[string]Credentials) {
	t.Helper()
	file, given = filepath.Join(t.TempDir(), "users.yaml"), map[string]Credentials{}
	for _, u := range []User{
		{"viewer", Reader, []string{"p1", "p2"}}, {"ops", Operator, []string{"p1"}}, {"ci", Keeper, []string{"*"}},
	} {
		c, err := Add(file, u, u.Name == "ci")
		if err != nil {
			t.Fatal(err)
		}
		given[u.Name] = c
	}
	g, err := Open(Options{File: file, MaxBody: maxBody})
	if err != nil {
		t.Fatal(err)
	}
	return g, file, given
}

func withToken(token string) *http.Request {
	r := httptest.NewRequest("POST", "/v1/p1/dev-servers/jobs", strings.NewReader("{}"))
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	return r
}

func TestWhoMayDoWhat(t *testing.T) {
	g, _, given := guard(t)
	for _, c := range []struct {
		user, project string
		need          Role
		want          error
	}{
		{"viewer", "p1", Reader, nil},
		{"viewer", "p2", Reader, nil},
		{"viewer", "p3", Reader, ErrProject},
		{"viewer", "p1", Operator, ErrRole},
		{"viewer", "*", Reader, ErrProject},
		{"ops", "p1", Reader, nil},
		{"ops", "p1", Operator, nil},
		{"ops", "p1", Keeper, ErrRole},
		{"ops", "p2", Reader, ErrProject},
	} {
		user, err := g.Admit(withToken(given[c.user].Token), c.project, c.need)
		if !errors.Is(err, c.want) || c.want == nil && (err != nil || user.Name != c.user) {
			t.Errorf("%s, project %s, as a %s: %+v, %v; want %v", c.user, c.project, c.need, user, err, c.want)
		}
	}
	for text, want := range map[string]error{"": ErrNoCredentials, "guess": ErrToken} {
		if _, err := g.Admit(withToken(text), "p1", Reader); !errors.Is(err, want) {
			t.Errorf("the token %q: %v, want %v", text, err, want)
		}
	}
}

// signed is a request that Huawei's own SDK signed.
func signed(t *testing.T, accessKey, secretKey string, at time.Time, body string) *http.Request {
	t.Helper()
	built := request.NewHttpRequestBuilder().WithEndpoint("https://api.example.com").WithMethod("POST").
		WithPath("/v1/p1/dev-servers/jobs/a b~c").AddQueryParam("name", reflect.ValueOf([]string{"x y", "a+b"})).AddQueryParam("name-x", reflect.ValueOf("10")).
		AddHeaderParam("X-Project-Id", "p1").AddHeaderParam("User-Agent", "sdk/1").AddHeaderParam("Content-Type", "application/json;charset=UTF-8").
		AddHeaderParam(dateHeader, at.UTC().Format(dateLayout)).WithBody("", body).Build()
	by, err := signer.GetSigner(algorithms.HmacSHA256)
	if err != nil {
		t.Fatal(err)
	}
	headers, err := by.Sign(built, accessKey, secretKey)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "https://api.example.com/v1/p1/dev-servers/jobs/a%20b~c?name=x+y&name=a%2Bb&name-x=10", strings.NewReader(body))
	r.Header.Set("X-Project-Id", "p1")
	r.Header.Set("User-Agent", "sdk/1")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	return r
}

func TestWhatIsSignedCounts(t *testing.T) {
	g, _, given := guard(t)
	ci := given["ci"]
	body := `{"name":"q"}`
	for name, c := range map[string]struct {
		accessKey, secretKey string
		at                   time.Time
		change               func(*http.Request)
		want                 error
	}{
		"as it was signed":    {want: nil},
		"ten minutes ago":     {at: time.Now().Add(-10 * time.Minute), want: nil},
		"an hour ago":         {at: time.Now().Add(-time.Hour), want: ErrDate},
		"an hour ahead":       {at: time.Now().Add(time.Hour), want: ErrDate},
		"with another secret": {secretKey: "guessed-guessed-guessed", want: ErrSignature},
		"with an unknown key": {accessKey: "NOBODY", want: ErrSignature},
		"with an unknown key and no secret": {accessKey: "NOBODY", change: func(r *http.Request) {
			r.Header.Set("Authorization", algorithm+" Access=NOBODY, SignedHeaders=x-sdk-date, Signature="+hexDigest(nil))
		}, want: ErrSignature},
		"another body":        {change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"name":"x"}`)) }, want: ErrSignature},
		"another method":      {change: func(r *http.Request) { r.Method = "DELETE" }, want: ErrSignature},
		"another path":        {change: func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/v1/p2/dev-servers/jobs/a b~c", "" }, want: ErrSignature},
		"another query":       {change: func(r *http.Request) { r.URL.RawQuery += "&x=1" }, want: ErrSignature},
		"another header":      {change: func(r *http.Request) { r.Header.Set("X-Project-Id", "p2") }, want: ErrSignature},
		"another date":        {change: func(r *http.Request) { r.Header.Set(dateHeader, time.Now().Add(time.Second).UTC().Format(dateLayout)) }, want: ErrSignature},
		"a date that is none": {change: func(r *http.Request) { r.Header.Set(dateHeader, "now") }, want: ErrFormat},
		"the date not signed": {change: func(r *http.Request) {
			r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), "x-sdk-date", "x-other"))
		}, want: ErrFormat},
		"another scheme": {change: func(r *http.Request) { r.Header.Set("Authorization", "Basic YTpi") }, want: ErrFormat},
		"a body left out": {change: func(r *http.Request) {
			r.Header.Set("X-Sdk-Content-Sha256", "UNSIGNED-PAYLOAD")
			r.Body = io.NopCloser(strings.NewReader(`{"name":"x"}`))
		}, want: ErrSignature},
		"a body too large": {change: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", maxBody+1))) }, want: ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			if c.accessKey == "" {
				c.accessKey = ci.AccessKey
			}
			if c.secretKey == "" {
				c.secretKey = ci.SecretKey
			}
			if c.at.IsZero() {
				c.at = time.Now()
			}
			r := signed(t, c.accessKey, c.secretKey, c.at, body)
			if c.change != nil {
				c.change(r)
			}
			user, err := g.Admit(r, "p1", Keeper)
			if !errors.Is(err, c.want) || c.want == nil && (err != nil || user.Name != "ci") {
				t.Fatalf("%+v, %v; want %v", user, err, c.want)
			}
			if c.want != nil {
				return
			}
			if left, err := io.ReadAll(r.Body); err != nil || string(left) != body {
				t.Errorf("the body is left as %q, %v", left, err)
			}
		})
	}
}

func TestGuessingAndAskingAreBounded(t *testing.T) {
	g, file, given := guard(t)
	guess := func() error { _, err := g.Admit(withToken("guess"), "p1", Reader); return err }
	wrong := 0
	for range 3 * failuresAtOnce {
		if errors.Is(guess(), ErrToken) {
			wrong++
		}
	}
	if wrong < failuresAtOnce || wrong > failuresAtOnce+5 {
		t.Errorf("%d guesses were looked at", wrong)
	}
	// Whoever knows his token is not harmed, though he comes from there.
	if _, err := g.Admit(withToken(given["ops"].Token), "p1", Operator); err != nil {
		t.Error(err)
	}
	r := withToken("guess")
	r.RemoteAddr = "198.51.100.7:1"
	if _, err := g.Admit(r, "p1", Operator); !errors.Is(err, ErrToken) {
		t.Errorf("a first guess from elsewhere: %v", err)
	}
	slow, err := Open(Options{File: file, MaxBody: maxBody, Rate: 2})
	if err != nil {
		t.Fatal(err)
	}
	admitted := 0
	for range 50 {
		if _, err := slow.Admit(withToken(given["ops"].Token), "p1", Reader); err == nil {
			admitted++
		} else if !errors.Is(err, ErrTooMany) {
			t.Fatal(err)
		}
	}
	if admitted < 4 || admitted > 10 {
		t.Errorf("%d of 50 requests were admitted at 2 a second", admitted)
	}
	if _, err := slow.Admit(withToken(given["viewer"].Token), "p1", Reader); err != nil {
		t.Errorf("another user: %v", err)
	}
}

func TestTheFileIsReadAgain(t *testing.T) {
	g, file, given := guard(t)
	var reported []error
	g.opts.Report = func(_ string, err error) { reported = append(reported, err) }
	admit := func(token string) error { _, err := g.Admit(withToken(token), "p1", Reader); return err }
	added, err := Add(file, User{"new", Reader, []string{"p1"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := admit(added.Token); err != nil {
		t.Errorf("a user who was added: %v", err)
	}
	if n, err := Remove(file, "ops"); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := admit(given["ops"].Token); !errors.Is(err, ErrToken) {
		t.Errorf("a user who was removed: %v", err)
	}
	for _, spoil := range []func() error{
		func() error { return os.WriteFile(file, []byte("users: [{name: x}]"), 0o600) },
		func() error { return os.Chmod(file, 0o644) },
		func() error { return os.Remove(file) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := admit(added.Token); err != nil {
			t.Errorf("with a file that cannot be used: %v", err)
		}
	}
	if len(reported) != 3 {
		t.Errorf("reported: %v", reported)
	}
}

func TestAFileThatMakesNoSenseIsRefused(t *testing.T) {
	sum := hexDigest(nil)
	for text, want := range map[string]string{
		"users: [{name: 'a b', role: reader, projects: [p], token_sha256: " + sum + "}]":                                                                "name is not",
		"users: [{name: a, role: root, projects: [p], token_sha256: " + sum + "}]":                                                                      "is no role",
		"users: [{name: a, role: '', projects: [p], token_sha256: " + sum + "}]":                                                                        "is no role",
		"users: [{name: a, role: reader, token_sha256: " + sum + "}]":                                                                                   "projects names none",
		"users: [{name: a, role: reader, projects: [p/q], token_sha256: " + sum + "}]":                                                                  "project \"p/q\"",
		"users: [{name: a, role: reader, projects: [p]}]":                                                                                               "neither",
		"users: [{name: a, role: reader, projects: [p], token_sha256: abc}]":                                                                            "no SHA-256",
		"users: [{name: a, role: reader, projects: [p], access_key: K}]":                                                                                "together",
		"users: [{name: a, role: reader, projects: [p], access_key: K, secret_key: short}]":                                                             "shorter",
		"users: [{name: a, role: reader, projects: [p], token_sha256: " + sum + "}, {name: b, role: keeper, projects: [p], token_sha256: " + sum + "}]": "of another one",
		"user: []": "not found",
	} {
		file := filepath.Join(t.TempDir(), "users.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Options{File: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add(algorithm + " Access=AK, SignedHeaders=user-agent;x-sdk-date, Signature=00ff")
	f.Add(algorithm + " Access=, SignedHeaders=x-sdk-date, Signature=")
	f.Add("Bearer x")
	f.Fuzz(func(t *testing.T, header string) {
		c, err := parseAuthorization(header)
		if err != nil {
			return
		}
		r := httptest.NewRequest("GET", "/v1/p/dev-servers", nil)
		r.Header.Set(dateHeader, time.Now().UTC().Format(dateLayout))
		if err := c.verify(r, nil, "some secret", time.Now()); err == nil {
			t.Fatalf("%q is a good signature", header)
		}
	})
}
