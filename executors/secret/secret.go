// Package secret finds what must not leave a host in texts that programs wrote: keys,
// passwords, tokens. It knows patterns, so it finds what looks like one and no more.
package secret

import (
	"bytes"
	"regexp"
)

// Longest is about how long a secret may be for all of it to be found, in bytes: an RSA
// key of 4096 bits in PEM.
const Longest = 4 << 10

// pattern is a kind of secret, of one byte or more. Groups 1 and 2 stand around it and are
// kept. Words are those of which one is in every text that has it, in lower case; a kind
// that is told by no word has a function instead.
type pattern struct {
	words []string
	may   func([]byte) bool
	is    *regexp.Regexp
}

var patterns = []pattern{
	{words: []string{"-----begin"}, is: regexp.MustCompile(`(?s)(-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|SEED|JWT)-----).+?(-----END [A-Z0-9 ]*-----|$|-{3,}END)`)},
	{words: []string{"pass", "pwd", "secret", "key", "token", "credential"},
		is: regexp.MustCompile(`(?i)((?:password|passwd|passphrase|pwd|secret|secret[_-]?key|access[_-]?key|api[_-]?key|token|x-auth-token|credential)["']?\s*[:=]\s*["']?)[^\s"',;&]+()`)},
	{words: []string{"authorization"}, is: regexp.MustCompile(`(?i)(authorization\s*[:=]\s*)[^\r\n]+()`)},
	{words: []string{"://"}, is: regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+(@)`)}, // the user of a URL
	{words: []string{"sig", "x-amz-", "accesskeyid"}, // of a presigned URL
		is: regexp.MustCompile(`(?i)([?&](?:x-amz-signature|x-obs-signature|signature|sig|x-amz-credential|x-amz-security-token|accesskeyid|awsaccesskeyid)=)[^&\s"']+()`)},
	{may: hasSeed, is: regexp.MustCompile(`()\bS[UAOCNX][A-Z2-7]{56}\b()`)}, // of NATS (nkeys)
}

// Mask is text with *** in the place of its secrets.
func Mask(text string) string {
	masked := []byte(text)
	lower := bytes.ToLower(masked)
	for _, p := range patterns {
		if p.mayBeIn(masked, lower) {
			masked = p.is.ReplaceAll(masked, []byte("${1}***${2}"))
		}
	}
	return string(masked)
}

// Blank puts an asterisk in the place of every byte of a secret, so that what follows
// stays where it is. Line ends stay.
func Blank(text []byte) {
	lower := bytes.ToLower(text)
	for _, p := range patterns {
		if !p.mayBeIn(text, lower) {
			continue
		}
		for _, at := range p.is.FindAllSubmatchIndex(text, -1) {
			hidden := text[at[3]:at[4]]
			for i, c := range hidden {
				if c != '\n' && c != '\r' {
					hidden[i] = '*'
				}
			}
		}
	}
}

// mayBeIn passes over nearly all texts, and is quick.
func (p pattern) mayBeIn(text, lower []byte) bool {
	if p.may != nil {
		return p.may(text)
	}
	for _, word := range p.words {
		if bytes.Contains(lower, []byte(word)) {
			return true
		}
	}
	return false
}

const seedLength = 58

// hasSeed looks for as many letters in a row as a seed has; one of them stands where it
// looks.
func hasSeed(text []byte) bool {
	for i := seedLength - 1; i < len(text); i += seedLength {
		if !base32(text[i]) {
			continue
		}
		begin, end := i, i+1
		for begin > 0 && base32(text[begin-1]) {
			begin--
		}
		for end < len(text) && base32(text[end]) {
			end++
		}
		if end-begin >= seedLength {
			return true
		}
	}
	return false
}

func base32(c byte) bool { return 'A' <= c && c <= 'Z' || '2' <= c && c <= '7' }
