package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	algorithm  = "SDK-HMAC-SHA256"
	dateLayout = "20060102T150405Z"
	dateHeader = "X-Sdk-Date"
	maxSkew    = 15 * time.Minute
)

// claim is what an Authorization header says. The scheme is Huawei Cloud's "AK/SK
// signing" (https://support.huaweicloud.com/intl/en-us/devg-apisign/api-sign-algorithm.html).
type claim struct {
	accessKey string
	signed    []string // names of headers, in lower case
	signature string
}

func parseAuthorization(header string) (c claim, err error) {
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok || len(header) > 4096 {
		return c, ErrFormat
	}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Access":
			c.accessKey = value
		case "SignedHeaders":
			c.signed = strings.Split(strings.ToLower(value), ";")
		case "Signature":
			c.signature = value
		}
	}
	if c.accessKey == "" || c.signature == "" || !slices.Contains(c.signed, strings.ToLower(dateHeader)) {
		return c, ErrFormat
	}
	return c, nil
}

// verify holds a request against its signature. An empty secret is nobody's.
func (c claim) verify(r *http.Request, body []byte, secret string, now time.Time) error {
	at, err := time.Parse(dateLayout, r.Header.Get(dateHeader))
	if err != nil {
		return ErrFormat
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(algorithm + "\n" + r.Header.Get(dateHeader) + "\n" + hexDigest(c.canonical(r, body))))
	given, err := hex.DecodeString(c.signature)
	switch {
	case err != nil || !hmac.Equal(given, mac.Sum(nil)) || secret == "":
		return ErrSignature
	case now.Sub(at).Abs() > maxSkew:
		return ErrDate
	}
	return nil
}

// canonical is the text of a request that is signed. The body always counts, although
// the scheme has a header that takes it out.
func (c claim) canonical(r *http.Request, body []byte) []byte {
	var out strings.Builder
	out.WriteString(r.Method + "\n")
	for segment := range strings.SplitSeq(strings.Trim(r.URL.EscapedPath(), "/"), "/") {
		if plain, err := url.PathUnescape(segment); err == nil {
			segment = plain
		}
		out.WriteString("/" + escape(segment))
	}
	out.WriteString("/\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range c.signed {
		value := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			value = r.Host
		}
		out.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	out.WriteString("\n" + strings.Join(c.signed, ";") + "\n" + hexDigest(body))
	return []byte(out.String())
}

func canonicalQuery(query url.Values) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(query)) {
		for _, value := range slices.Sorted(slices.Values(query[name])) {
			pairs = append(pairs, escape(name)+"="+escape(value))
		}
	}
	return strings.Join(pairs, "&")
}

// escape is percent-encoding as RFC 3986 has it: all but the unreserved characters.
func escape(text string) string {
	return strings.NewReplacer("+", "%20", "%7E", "~").Replace(url.QueryEscape(text))
}

func hexDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
