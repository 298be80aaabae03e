// Package ascend reads what the tools and files of an Ascend host say, for the
// executors that query, upgrade and diagnose it.
//
// A Node asks a host. Every answer is parsed by a pure function on bytes, which
// promises three things: what is new (unknown lines, unknown keys, other order)
// is passed over; what is wrong (a known key with a senseless value, an answer
// about another card) is an error and never a guess; and work is bounded by the
// size of the input, which is bounded too. The package changes nothing on the
// host and writes no state.
//
// The formats are those of Huawei's HDK 21 to 26, as its published driver
// source and manuals describe them.
package ascend

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"strings"

	"devserver-agent/executors"
)

// Host is what a Node needs of executors.Host.
type Host interface {
	Query(ctx context.Context, argv ...string) (executors.Reply, error)
	Files() fs.FS
}

// Node asks one host. Its methods that run a tool return a *ToolError when the
// tool gave no answer, and the cause of ctx when ctx ended first. It is as safe
// for concurrent use as its Host.
type Node struct{ host Host }

// NewNode returns a Node that asks host.
func NewNode(host Host) Node { return Node{host: host} }

// Cards lists the cards that the running driver knows. A host without any is
// ErrNoCards.
func (n Node) Cards(ctx context.Context) (CardList, error) {
	return ask(ctx, n.host, ParseCards, "npu-smi", "info", "-l")
}

// Board is what the running driver says of one card. A card that fell off the
// bus is ErrNoCard.
func (n Node) Board(ctx context.Context, card int) (Board, error) {
	parse := func(out []byte) (Board, error) { return ParseBoard(out, card) }
	return ask(ctx, n.host, parse, "npu-smi", "info", "-t", "board", "-i", strconv.Itoa(card))
}

// ask runs a tool that reads. Exit status 0 does not mean data and some tools
// say why in a sentence only, so an answer is data only if it parses as such;
// otherwise its text, and then its status, tell what went wrong.
func ask[T any](ctx context.Context, host Host, parse func([]byte) (T, error), argv ...string) (T, error) {
	var none T
	tool := strings.Join(argv, " ")
	reply, err := host.Query(ctx, argv...)
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	if err != nil {
		return none, &ToolError{Tool: tool, Err: sentinel(err)}
	}
	value, err := parse(reply.Output)
	if in, ok := any(value).(incomplete); reply.Code != 0 && !(err == nil && ok && in.incomplete()) {
		return none, dialects[argv[0]].refusal(tool, reply, nil)
	}
	if err != nil {
		return none, dialects[argv[0]].refusal(tool, reply, err)
	}
	return value, nil
}

// incomplete is implemented by answers that say themselves what is missing from them: a
// card's, of which a chip does not answer. On some families the tool ends with an error
// then, and what it says of the other chips is an answer all the same.
type incomplete interface{ incomplete() bool }

// sentinel is what err means, without the tool's name, which the ToolError has.
func sentinel(err error) error {
	for _, meaning := range []error{executors.ErrNotFound, executors.ErrTimeout, executors.ErrFlood} {
		if errors.Is(err, meaning) {
			return meaning
		}
	}
	return err
}
