package logs

import (
	"bytes"
	"regexp"
	"unicode/utf8"
)

// secrets are what logs must not carry off: keys, passwords, tokens, the user of a URL
// and the signature of a presigned one. Groups that begin and end a match are kept.
var secrets = []*regexp.Regexp{
	regexp.MustCompile(`(?s)(-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|SEED|JWT)-----).*?(-----END [A-Z0-9 ]*-----|$|-{3,}END)`),
	regexp.MustCompile(`(?i)((?:password|passwd|passphrase|pwd|secret|secret[_-]?key|access[_-]?key|api[_-]?key|token|x-auth-token|credential)["']?\s*[:=]\s*["']?)[^\s"',;&]+()`),
	regexp.MustCompile(`(?i)(authorization\s*[:=]\s*)[^\r\n]+()`),
	regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://)[^/\s:@]+:[^/\s@]+(@)`),
	regexp.MustCompile(`(?i)([?&](?:x-amz-signature|x-obs-signature|signature|sig|x-amz-credential|x-amz-security-token|accesskeyid|awsaccesskeyid)=)[^&\s"']+()`),
	regexp.MustCompile(`()\bS[UAOCNX][A-Z2-7]{56}\b()`), // a seed of NATS (nkeys)
}

const masked = "${1}***${2}"

// mask takes secrets out of a text.
func mask(text string) string {
	for _, secret := range secrets {
		text = secret.ReplaceAllString(text, masked)
	}
	return text
}

// isText reports whether a file begins like one that people read.
func isText(content []byte) bool {
	head := content[:min(len(content), 8<<10)]
	for len(head) > 0 && !utf8.RuneStart(head[len(head)-1]) {
		head = head[:len(head)-1]
	}
	return bytes.IndexByte(head, 0) < 0
}
