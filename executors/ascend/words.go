package ascend

import (
	"errors"
	"fmt"
	"strings"

	"devserver-agent/executors"
)

// Reason says in a few words why a tool gave no answer.
func Reason(err error) string {
	var tool *ToolError
	if !errors.As(err, &tool) {
		return err.Error()
	}
	name, _, _ := strings.Cut(tool.Tool, " ")
	switch means := func(err error) bool { return errors.Is(tool.Err, err) }; {
	case means(executors.ErrNotFound):
		return name + " not found"
	case means(executors.ErrTimeout):
		return name + " did not answer in time"
	case means(ErrNotAsked):
		return "not asked: an earlier " + name + " call timed out"
	case means(executors.ErrFlood):
		return fmt.Sprintf("%s printed more than %d MiB", name, executors.QueryLimit>>20)
	case means(ErrNotLoaded):
		return fmt.Sprintf("%s cannot be loaded (%s)", name, strings.TrimPrefix(words(tool), name+": "))
	case means(ErrDriverDown):
		return "driver not running: " + dcmi(tool)
	case means(ErrInUse):
		return "device in use: " + dcmi(tool)
	case means(ErrNoCards):
		return name + " finds no NPU card"
	case means(ErrNoCard):
		return fmt.Sprintf("lost (%s: %s)", name, words(tool))
	case means(ErrUnsupported):
		return fmt.Sprintf("not reported by %s (%s)", name, words(tool))
	case means(ErrBusy):
		return name + " was busy with another call"
	case means(ErrGarbled):
		return fmt.Sprintf("%s's answer %v%s", name, tool.Reason, quoted(tool.Said))
	case means(ErrFailed):
		return fmt.Sprintf("%s failed (%s)", name, words(tool))
	}
	return fmt.Sprintf("%s: %v", name, tool.Err)
}

func dcmi(tool *ToolError) string {
	if tool.DCMI == 0 {
		return words(tool)
	}
	return fmt.Sprintf("dcmi %d", tool.DCMI)
}

// quoted is an answer that could not be read, as an operator should see it.
func quoted(said string) string {
	if said == "" {
		return ": it is empty"
	}
	return fmt.Sprintf(" (it is %q)", said)
}

// words are the tool's own, or its exit status when it had none.
func words(tool *ToolError) string {
	if tool.Said == "" {
		return fmt.Sprintf("exit status %d", tool.Status)
	}
	return strings.TrimSuffix(tool.Said, ".")
}

// FormatCards is "card 3" or "cards 0, 2, 4-7".
func FormatCards(ids ...int) string {
	if len(ids) == 1 {
		return fmt.Sprintf("card %d", ids[0])
	}
	var name strings.Builder
	name.WriteString("cards ")
	for i := 0; i < len(ids); {
		end := i
		for end+1 < len(ids) && ids[end+1] == ids[end]+1 {
			end++
		}
		if i > 0 {
			name.WriteString(", ")
		}
		fmt.Fprintf(&name, "%d", ids[i])
		if end > i {
			fmt.Fprintf(&name, "-%d", ids[end])
		}
		i = end + 1
	}
	return name.String()
}

// GroupedCards names cards of which the same is to be said together. The zero value has
// none.
type GroupedCards struct {
	words []string // in order of their first card
	ids   map[string][]int
}

// Add says words of a card.
func (t *GroupedCards) Add(id int, words string) {
	if t.ids == nil {
		t.ids = map[string][]int{}
	}
	if t.ids[words] == nil {
		t.words = append(t.words, words)
	}
	t.ids[words] = append(t.ids[words], id)
}

// None reports whether nothing is said of any card.
func (t *GroupedCards) None() bool { return len(t.words) == 0 }

// List is a sentence for each that is said, in the order of their first cards.
func (t *GroupedCards) List() []string {
	said := make([]string, 0, len(t.words))
	for _, words := range t.words {
		said = append(said, FormatCards(t.ids[words]...)+": "+words)
	}
	return said
}

func (t *GroupedCards) String() string { return strings.Join(t.List(), "; ") }
