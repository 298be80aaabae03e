package ascend

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// grubTruth is the value of a condition. What the script asks of the firmware, the disks
// or the keyboard cannot be known and is maybe.
type grubTruth int

const (
	grubNo grubTruth = iota
	grubMaybe
	grubYes
)

func (t grubTruth) not() grubTruth { return grubYes - t }

func grubTruthOf(is bool) grubTruth {
	if is {
		return grubYes
	}
	return grubNo
}

// command takes the words up to the end of a line or a sign.
func (g *grubScript) command() []grubToken {
	end := slices.IndexFunc(g.tokens, func(t grubToken) bool { return t.sign })
	if end < 0 {
		end = len(g.tokens)
	}
	words := g.tokens[:end]
	g.tokens = g.tokens[end:]
	return words
}

// skipTo takes the words up to a sign, which is passed over.
func (g *grubScript) skipTo(sign string) []grubToken {
	end := slices.IndexFunc(g.tokens, func(t grubToken) bool { return t.is(sign) })
	if end < 0 {
		end = len(g.tokens)
	}
	words := g.tokens[:end]
	g.tokens = g.tokens[min(end+1, len(g.tokens)):]
	return words
}

// value is a word with its variables replaced.
func (g *grubScript) value(token grubToken) grubValue {
	var text strings.Builder
	from := ""
	for _, part := range token.parts {
		if !part.variable {
			text.WriteString(part.text)
			continue
		}
		value := g.variables[part.text]
		if _, set := g.variables[part.text]; !set && strings.HasPrefix(part.text, "feature_") {
			value.text = "y" // GRUB 2.00 and later have those that grub-mkconfig asks for
		}
		if value.from != "" {
			from = value.from
		}
		text.WriteString(value.text)
	}
	return grubValue{text.String(), from}
}

// texts are the values of words; one that is nothing but empty variables is none.
func (g *grubScript) texts(tokens []grubToken) []string {
	var texts []string
	for _, token := range tokens {
		if !token.sign {
			texts = append(texts, g.value(token).text)
		}
	}
	return texts
}

// test evaluates the command of a condition, as "test" in GRUB's manual does.
func (g *grubScript) test(command []grubToken) grubTruth {
	words := g.texts(command)
	if len(words) == 0 {
		return grubMaybe
	}
	switch last := len(words) - 1; {
	case words[0] == "true":
		return grubYes
	case words[0] == "false":
		return grubNo
	case words[0] == "[" && words[last] == "]":
		return g.either(words[1:last])
	case words[0] == "test":
		return g.either(words[1:])
	}
	return grubMaybe
}

func (g *grubScript) either(words []string) grubTruth {
	result := grubNo
	for part := range splitWords(words, "-o") {
		all := grubYes
		for clause := range splitWords(part, "-a") {
			all = min(all, g.clause(clause))
		}
		result = max(result, all)
	}
	return result
}

// split yields the parts of words between separators.
func splitWords(words []string, separator string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for {
			at := slices.Index(words, separator)
			if at < 0 {
				yield(words)
				return
			}
			if !yield(words[:at]) {
				return
			}
			words = words[at+1:]
		}
	}
}

func (g *grubScript) clause(words []string) grubTruth {
	if len(words) > 1 && words[0] == "!" {
		return g.clause(words[1:]).not()
	}
	if strings.Contains(strings.Join(words, " "), grubUnknown) {
		return grubMaybe
	}
	switch len(words) {
	case 1:
		return grubTruthOf(words[0] != "")
	case 2:
		switch operator, text := words[0], words[1]; operator {
		case "-n":
			return grubTruthOf(text != "")
		case "-z":
			return grubTruthOf(text == "")
		case "-e", "-f", "-s", "-d":
			return g.isThere(operator, text)
		}
	case 3:
		return compareGrub(words[0], words[1], words[2])
	}
	return grubMaybe
}

func compareGrub(a, operator, b string) grubTruth {
	switch operator {
	case "=", "==":
		return grubTruthOf(a == b)
	case "!=":
		return grubTruthOf(a != b)
	}
	x, errX := strconv.Atoi(a)
	y, errY := strconv.Atoi(b)
	if errX != nil || errY != nil {
		return grubMaybe
	}
	switch operator {
	case "-eq":
		return grubTruthOf(x == y)
	case "-ne":
		return grubTruthOf(x != y)
	case "-gt":
		return grubTruthOf(x > y)
	case "-ge":
		return grubTruthOf(x >= y)
	case "-lt":
		return grubTruthOf(x < y)
	case "-le":
		return grubTruthOf(x <= y)
	}
	return grubMaybe
}

// isThere is a test of a file, which is known for those beside grub.cfg only: any other
// path is one of a disk that the script chose.
func (g *grubScript) isThere(operator, name string) grubTruth {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if path.Dir(name) != g.folder {
		return grubMaybe
	}
	info, err := fs.Stat(g.files, name)
	switch {
	case err != nil:
		return grubNo
	case operator == "-s":
		return grubTruthOf(info.Size() > 0)
	case operator == "-d":
		return grubTruthOf(info.IsDir())
	case operator == "-f":
		return grubTruthOf(!info.IsDir())
	}
	return grubYes
}
