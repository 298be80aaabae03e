package ascend

import (
	"io/fs"
	"slices"
	"strings"
)

// grubEntry is one entry of GRUB's menu.
type grubEntry struct {
	title, id string
	images    []string // what its linux commands load, each once
	submenu   bool
	entries   []grubEntry // of a submenu
	// unsure says that the entry stands where a condition cannot be evaluated, so that
	// it may not be there at all, or that any number of others may be.
	unsure bool
}

// grubValue is the value of a variable; from is the variable of grubenv that it was
// taken from, "" for none.
type grubValue struct{ text, from string }

// grubUnknown stands in a value for what only GRUB itself knows.
const grubUnknown = "\x00"

// maxGrubDepth bounds how deep conditions and menus are followed.
const maxGrubDepth = 64

// grubScript goes through a grub.cfg as GRUB would and collects its menu. It knows the
// commands that decide which entry is the default ("Commands" and "Special environment
// variables" in GRUB's manual) and passes over the others.
type grubScript struct {
	files  fs.FS
	folder string // of grub.cfg
	tokens []grubToken
	depth  int

	variables map[string]grubValue
	entries   []grubEntry
	chained   bool // it hands over to another configuration
}

// runGrub goes through the script of a folder.
func runGrub(files fs.FS, folder, script string) *grubScript {
	place := grubValue{text: "/" + folder}
	g := &grubScript{files: files, folder: folder, tokens: grubTokens(script), variables: map[string]grubValue{
		"prefix": place, "config_directory": place, "menuentry_id_option": {text: "--id"},
		"root": {text: grubUnknown}, "?": {text: grubUnknown}, "grub_platform": {text: grubUnknown}, "grub_cpu": {text: grubUnknown},
	}}
	for len(g.tokens) > 0 {
		g.run(&g.entries, grubYes) // it also returns at a word that ends nothing
	}
	return g
}

// run goes through commands up to one of the words in stops, and returns this word.
func (g *grubScript) run(entries *[]grubEntry, sure grubTruth, stops ...string) string {
	g.depth++
	defer func() { g.depth-- }()
	for len(g.tokens) > 0 {
		first := g.tokens[0]
		if first.is(";") {
			g.tokens = g.tokens[1:]
			continue
		}
		for _, stop := range stops {
			if first.is(stop) {
				g.tokens = g.tokens[1:]
				return stop
			}
		}
		if g.depth > maxGrubDepth {
			*entries = append(*entries, grubEntry{unsure: true})
			g.tokens = nil
			return ""
		}
		switch {
		case first.is("if"):
			g.tokens = g.tokens[1:]
			g.branches(entries, sure)
		case first.is("while"), first.is("until"), first.is("for"):
			g.command()
			g.run(entries, min(sure, grubMaybe), "done")
		case first.is("function"):
			g.skipTo("{")
			g.body()
		case first.is("menuentry"), first.is("submenu"):
			g.entry(entries, sure)
		case first.sign: // a brace of a group, or one too many
			g.tokens = g.tokens[1:]
		default:
			g.execute(entries, g.command(), sure)
		}
	}
	return ""
}

// branches goes through an if after this word, up to its fi.
func (g *grubScript) branches(entries *[]grubEntry, sure grubTruth) {
	taken := grubNo
	for {
		condition := g.condition()
		stop := g.run(entries, min(sure, taken.not(), condition), "elif", "else", "fi")
		taken = max(taken, condition)
		if stop == "else" {
			g.run(entries, min(sure, taken.not()), "fi")
		}
		if stop != "elif" {
			return
		}
	}
}

// condition evaluates the commands before a then; of several, none is understood.
func (g *grubScript) condition() grubTruth {
	result, commands := grubMaybe, 0
	for len(g.tokens) > 0 {
		switch first := g.tokens[0]; {
		case first.is("then"):
			g.tokens = g.tokens[1:]
			return result
		case first.sign:
			g.tokens = g.tokens[1:]
		default:
			commands++
			if result = g.test(g.command()); commands > 1 {
				result = grubMaybe
			}
		}
	}
	return grubMaybe
}

// entry takes a menuentry or a submenu.
func (g *grubScript) entry(entries *[]grubEntry, sure grubTruth) {
	e := grubEntry{submenu: g.tokens[0].is("submenu"), unsure: sure == grubMaybe}
	words := g.texts(g.skipTo("{")[1:])
	for i := 0; i < len(words); i++ {
		switch word := words[i]; {
		case word == "--id" && i+1 < len(words):
			i++
			e.id = words[i]
		case strings.HasPrefix(word, "--id="):
			e.id = strings.TrimPrefix(word, "--id=")
		case strings.HasPrefix(word, "--") && word != "--unrestricted" && !strings.Contains(word, "="):
			i++ // an option and its value
		case strings.HasPrefix(word, "--"):
		case e.title == "":
			e.title = word
		}
	}
	if e.submenu {
		g.run(&e.entries, sure, "}")
	} else {
		e.images = g.body()
	}
	if sure != grubNo {
		*entries = append(*entries, e)
	}
}

// body passes over a block and returns which images it loads.
func (g *grubScript) body() (images []string) {
	for depth := 1; depth > 0 && len(g.tokens) > 0; {
		switch first := g.tokens[0]; {
		case first.is("{"):
			depth++
			g.tokens = g.tokens[1:]
		case first.is("}"):
			depth--
			g.tokens = g.tokens[1:]
		case first.sign, first.is("then"), first.is("else"), first.is("do"):
			g.tokens = g.tokens[1:]
		default:
			words := g.texts(g.command())
			if len(words) > 1 && slices.Contains([]string{"linux", "linux16", "linuxefi"}, words[0]) && !slices.Contains(images, words[1]) {
				images = append(images, words[1])
			}
		}
	}
	return images
}

// execute does what a command does to the menu and its default.
func (g *grubScript) execute(entries *[]grubEntry, command []grubToken, sure grubTruth) {
	if sure == grubNo || len(command) == 0 {
		return
	}
	word, arguments := command[0].literal(), command[1:]
	switch word {
	case "set":
		if len(arguments) > 0 {
			g.assign(arguments[0], sure)
		}
	case "unset":
		for _, name := range g.texts(arguments) {
			g.store(name, grubValue{}, sure)
		}
	case "load_env":
		for name, value := range grubEnvironment(g.files, g.folder) {
			g.store(name, grubValue{value, name}, sure)
		}
	case "blscfg":
		for _, e := range grubEntries(g.files) {
			e.unsure = e.unsure || sure == grubMaybe
			*entries = append(*entries, e)
		}
	case "source", ".", "configfile", "normal":
		g.chained = true
		*entries = append(*entries, grubEntry{unsure: true})
	default:
		g.assign(command[0], sure) // NAME=VALUE, without set
	}
}

// assign does NAME=VALUE.
func (g *grubScript) assign(token grubToken, sure grubTruth) {
	if len(token.parts) == 0 || token.parts[0].variable {
		return
	}
	name, _, ok := strings.Cut(token.parts[0].text, "=")
	if !ok {
		return
	}
	value := g.value(token)
	value.text = value.text[len(name)+1:]
	g.store(name, value, sure)
}

func (g *grubScript) store(name string, value grubValue, sure grubTruth) {
	if sure == grubMaybe && g.variables[name].text != value.text {
		value = grubValue{text: grubUnknown}
	}
	g.variables[name] = value
}
