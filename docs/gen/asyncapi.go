package gen

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"devserver-agent/protocol"
)

// Document is an AsyncAPI 3.0 document
// (https://www.asyncapi.com/docs/reference/specification/v3.0.0), as far as the
// protocol needs one. It describes the agent: what it sends and receives.
type Document struct {
	AsyncAPI           string           `yaml:"asyncapi"`
	Info               Info             `yaml:"info"`
	DefaultContentType string           `yaml:"defaultContentType"`
	Channels           Named[Channel]   `yaml:"channels"`
	Operations         Named[Operation] `yaml:"operations"`
	Components         Components       `yaml:"components"`
}

// Info names the document.
type Info struct {
	Title       string `yaml:"title"`
	Version     string `yaml:"version"`
	Description string `yaml:"description"`
}

// Channel is a family of subjects.
type Channel struct {
	Address     string             `yaml:"address"`
	Description string             `yaml:"description"`
	Parameters  Named[Description] `yaml:"parameters"`
	Messages    Named[Ref]         `yaml:"messages"`
}

// Description is an object that has nothing else.
type Description struct {
	Description string `yaml:"description"`
}

// Ref points to another part of the document.
type Ref struct {
	Ref string `yaml:"$ref"`
}

// Operation is what the agent does with a channel.
type Operation struct {
	Action  string `yaml:"action"`
	Channel Ref    `yaml:"channel"`
	Summary string `yaml:"summary"`
	Reply   *Reply `yaml:"reply,omitempty"`
}

// Reply is where an operation is answered.
type Reply struct {
	Channel Ref `yaml:"channel"`
}

// Components hold what the rest refers to.
type Components struct {
	Messages Named[Message] `yaml:"messages"`
	Schemas  Named[*Schema] `yaml:"schemas"`
}

// Message is a message on a channel, or a statement inside an envelope.
type Message struct {
	ContentType string  `yaml:"contentType,omitempty"`
	Summary     string  `yaml:"summary"`
	Headers     *Schema `yaml:"headers,omitempty"`
	Payload     *Ref    `yaml:"payload,omitempty"`
}

// AsyncAPI draws the whole document.
func AsyncAPI(source Source) ([]byte, error) {
	d := Document{
		AsyncAPI: "3.0.0",
		Info: Info{
			Title: "devserver-agent", Version: "1",
			Description: "The wire between the control plane and the agents, over NATS. Drawn from package protocol by docs/gen; not to be edited.\n\n" +
				"Unknown fields are ignored. A statement of another major version has another content type and is refused. " +
				"Bounds that JSON Schema cannot say: " + sizes(),
		},
		DefaultContentType: "application/json",
		Channels:           channels(),
		Operations:         operations(),
	}
	collected := schemas{source: source, used: map[string]bool{}}
	for _, m := range messages {
		message, err := m.draw(&collected)
		if err != nil {
			return nil, fmt.Errorf("message %s: %w", m.name, err)
		}
		d.Components.Messages = append(d.Components.Messages, Entry[Message]{m.name, message})
	}
	if unused := collected.unused(); len(unused) > 0 {
		return nil, fmt.Errorf("no message has %s", strings.Join(unused, ", "))
	}
	d.Components.Schemas = collected.named
	slices.SortFunc(d.Components.Schemas, func(a, b Entry[*Schema]) int { return strings.Compare(a.Name, b.Name) })
	return encode(d)
}

func encode(d Document) ([]byte, error) {
	var text bytes.Buffer
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(d); err != nil {
		return nil, fmt.Errorf("encode the document: %w", err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("encode the document: %w", err)
	}
	return text.Bytes(), nil
}

func sizes() string {
	return fmt.Sprintf("an envelope has at most %d bytes and a mailbox %d as they are encoded, a chunk of output %d before it is; "+
		"a task says at most %d statuses, a server has at most %d open tasks.",
		protocol.MaxEnvelope, protocol.MaxMailbox, protocol.MaxChunk, protocol.MaxStatuses, protocol.MaxOpenTasks)
}

// drawn is a message to draw.
type drawn struct {
	name, contentType, summary string
	deduplicated               bool // carries Nats-Msg-Id
	value                      reflect.Type
}

var messages = []drawn{
	{name: "mailbox", value: reflect.TypeFor[protocol.Mailbox](), summary: "All statements for a server."},
	{name: "fetch", summary: "An empty request."},
	{name: "task", value: reflect.TypeFor[protocol.Task](), contentType: protocol.TaskPayload, summary: "A statement: do this. Travels inside an Envelope."},
	{name: "cancel", value: reflect.TypeFor[protocol.Cancel](), contentType: protocol.CancelPayload, summary: "A statement: end that. Travels inside an Envelope."},
	{name: "resend", value: reflect.TypeFor[protocol.Resend](), contentType: protocol.ResendPayload, summary: "A statement: send that output again. Travels inside an Envelope."},
	{name: "status", value: reflect.TypeFor[protocol.Status](), summary: "A transition, progress or the verdict of a task.", deduplicated: true},
	{name: "chunk", value: reflect.TypeFor[protocol.Chunk](), summary: "A piece of output."},
	{name: "facts", value: reflect.TypeFor[protocol.Facts](), summary: "What a host is."},
	{name: "presence", value: reflect.TypeFor[protocol.Presence](), summary: "A heartbeat."},
	{name: "notice", value: reflect.TypeFor[protocol.Notice](), summary: "What an agent refused and why."},
	{name: "audit", value: reflect.TypeFor[protocol.AuditLines](), summary: "Lines of a host's audit log."},
}

func (m drawn) draw(collected *schemas) (Message, error) {
	message := Message{ContentType: m.contentType, Summary: m.summary}
	if m.deduplicated {
		message.Headers = &Schema{Type: "object", Properties: Named[*Schema]{{"Nats-Msg-Id", &Schema{
			Type: "string", Description: "128 random bits and a round, the same when the message is sent again; lets the broker drop the repetition. Absent from progress.",
		}}}}
	}
	if m.value == nil {
		return message, nil
	}
	reference, err := collected.of(m.value)
	if err != nil {
		return message, err
	}
	message.Payload = &Ref{reference.Ref}
	return message, nil
}
