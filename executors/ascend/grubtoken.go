package ascend

import (
	"strings"
)

// grubToken is a word of a grub.cfg, or one of the signs ";", "{" and "}". A line's end
// is a ";" too.
type grubToken struct {
	parts []grubPart
	sign  bool
	plain bool // without quotes and variables: it may be a keyword
}

type grubPart struct {
	text     string
	variable bool
}

// literal is the text of a token without variables.
func (t grubToken) literal() string {
	if len(t.parts) == 1 && !t.parts[0].variable {
		return t.parts[0].text
	}
	return ""
}

func (t grubToken) is(word string) bool {
	return (t.sign || t.plain) && t.literal() == word
}

// grubTokens takes a script apart by the rules of GRUB's manual, "Writing full
// configuration files directly", sections "Quoting" and "Variable expansion".
func grubTokens(script string) []grubToken {
	var tokens []grubToken
	for script != "" {
		switch c := script[0]; {
		case c == '\n' || c == ';':
			tokens = append(tokens, grubToken{parts: []grubPart{{text: ";"}}, sign: true})
			script = script[1:]
		case c == ' ' || c == '\t' || c == '\r':
			script = script[1:]
		case c == '#':
			_, rest, _ := strings.Cut(script, "\n")
			script = "\n" + rest
		case c == '{' || c == '}':
			tokens = append(tokens, grubToken{parts: []grubPart{{text: script[:1]}}, sign: true})
			script = script[1:]
		case strings.HasPrefix(script, "\\\n"): // the line goes on
			script = script[2:]
		default:
			var token grubToken
			token, script = grubWord(script)
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// grubWord takes the first word off a script.
func grubWord(script string) (grubToken, string) {
	token := grubToken{plain: true}
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			token.parts = append(token.parts, grubPart{text: text.String()})
			text.Reset()
		}
	}
	quoted := false
	for script != "" {
		c := script[0]
		switch {
		case !quoted && strings.IndexByte(" \t\r\n;{}", c) >= 0:
			flush()
			return token, script
		case c == '"':
			quoted, token.plain = !quoted, false
			script = script[1:]
		case c == '\'' && !quoted:
			end := strings.IndexByte(script[1:], '\'')
			if end < 0 {
				end = len(script) - 1
			}
			text.WriteString(script[1 : 1+end])
			token.plain = false
			script = script[min(end+2, len(script)):]
		case c == '\\' && len(script) > 1:
			if quoted && strings.IndexByte("$\"\\\n", script[1]) < 0 {
				text.WriteByte(c)
			}
			if script[1] != '\n' {
				text.WriteByte(script[1])
			}
			token.plain = false
			script = script[2:]
		case c == '$':
			name, rest := grubVariable(script[1:])
			if name == "" {
				text.WriteByte(c)
			} else {
				flush()
				token.parts = append(token.parts, grubPart{text: name, variable: true})
				token.plain = false
			}
			script = rest
		default:
			text.WriteByte(c)
			script = script[1:]
		}
	}
	flush()
	return token, script
}

// grubVariable takes the name of a variable off what follows a "$".
func grubVariable(script string) (name, rest string) {
	if inner, ok := strings.CutPrefix(script, "{"); ok {
		if name, rest, ok := strings.Cut(inner, "}"); ok {
			return name, rest
		}
		return "", script
	}
	end := 0
	for end < len(script) && (script[end] == '_' || script[end] == '?' && end == 0 || '0' <= script[end] && script[end] <= '9' || 'a' <= script[end]|0x20 && script[end]|0x20 <= 'z') {
		end++
		if script[end-1] == '?' {
			break
		}
	}
	return script[:end], script[end:]
}
