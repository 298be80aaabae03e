package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"devserver-agent/protocol"
)

// Retention bounds what is kept of the streams that grow. A bound that is zero
// has its default.
type Retention struct {
	StatusAge   time.Duration // default 31 days: longer than a task may be valid
	StatusBytes int64         // default 2 GiB
	OutputAge   time.Duration // default 7 days
	OutputBytes int64         // default 8 GiB
	LogsAge     time.Duration // of the object store of collected logs; default 14 days
	LogsBytes   int64         // default 2 GiB
	AuditAge    time.Duration // default 90 days
	AuditBytes  int64         // default 1 GiB
}

func (r Retention) withDefaults() Retention {
	if r.StatusAge == 0 {
		r.StatusAge = 31 * 24 * time.Hour
	}
	if r.StatusBytes == 0 {
		r.StatusBytes = 2 << 30
	}
	if r.OutputAge == 0 {
		r.OutputAge = 7 * 24 * time.Hour
	}
	if r.OutputBytes == 0 {
		r.OutputBytes = 8 << 30
	}
	if r.LogsAge == 0 {
		r.LogsAge = 14 * 24 * time.Hour
	}
	if r.LogsBytes == 0 {
		r.LogsBytes = 2 << 30
	}
	if r.AuditAge == 0 {
		r.AuditAge = 90 * 24 * time.Hour
	}
	if r.AuditBytes == 0 {
		r.AuditBytes = 1 << 30
	}
	return r
}

// JobsStream is the stream under the bucket of jobs.
const JobsStream = "KV_" + protocol.JobsBucket

const dedupeWindow = 2 * time.Minute

// streams are the streams of the contract. None that agents write allows
// roll-up, a message's own lifetime, schedules or atomic batches: with any of
// these one agent could remove what others said.
func streams(r Retention, replicas int) []jetstream.StreamConfig {
	r = r.withDefaults()
	from, to := protocol.RepublishMapping()
	output := jetstream.StreamConfig{
		Name: protocol.OutputStream, Description: "output of tasks",
		Subjects: []string{protocol.OutputSubject("*", "*")},
		MaxAge:   r.OutputAge, MaxBytes: r.OutputBytes, Discard: jetstream.DiscardNew,
		MaxMsgSize: 2 * protocol.MaxChunk, Compression: jetstream.S2Compression, AllowDirect: true,
	}
	if replicas == 1 { // nats-server offers it for streams with one copy only
		output.PersistMode = jetstream.AsyncPersistMode
	}
	all := []jetstream.StreamConfig{
		{
			Name: protocol.MailboxStream, Description: "statements for each server",
			Subjects:          []string{protocol.MailboxSubject("*")},
			MaxMsgsPerSubject: 1, AllowDirect: true,
			RePublish: &jetstream.RePublish{Source: from, Destination: to},
		},
		{
			Name: protocol.StatusStream, Description: "transitions and verdicts of tasks",
			Subjects: []string{protocol.StatusSubject("*")},
			MaxAge:   r.StatusAge, MaxBytes: r.StatusBytes, Discard: jetstream.DiscardNew,
			MaxMsgSize: 64 << 10, AllowDirect: true, DenyDelete: true,
		},
		output,
		{
			Name: protocol.FactsStream, Description: "what each host is",
			Subjects:          []string{protocol.FactsSubject("*")},
			MaxMsgsPerSubject: 1, MaxMsgSize: 64 << 10, AllowDirect: true,
		},
		{
			Name: protocol.NoticeStream, Description: "what agents refused",
			Subjects:          []string{protocol.NoticeSubject("*")},
			MaxMsgsPerSubject: 64, MaxAge: 7 * 24 * time.Hour, MaxBytes: 64 << 20, MaxMsgSize: 16 << 10,
		},
		{
			// One host fills 2048 messages and pushes out its own lines only.
			Name: protocol.AuditStream, Description: "audit logs of hosts",
			Subjects:          []string{protocol.AuditSubject("*")},
			MaxMsgsPerSubject: 2048, MaxAge: r.AuditAge, MaxBytes: r.AuditBytes, MaxMsgSize: 128 << 10,
			Compression: jetstream.S2Compression, DenyDelete: true,
		},
	}
	for i := range all {
		all[i].Storage, all[i].Replicas, all[i].Duplicates = jetstream.FileStorage, replicas, dedupeWindow
	}
	return all
}

// Ensure creates missing streams and buckets, updates the settings of the others, and
// returns the epoch. ErrForgot: a stream was deleted meanwhile.
func (b *Broker) Ensure(ctx context.Context) (Epoch, error) {
	replicas := b.replicas()
	for _, config := range streams(b.opts.Retention, replicas) {
		err := b.ask(ctx, func(ctx context.Context) error {
			_, err := b.JS.CreateOrUpdateStream(ctx, config)
			return err
		})
		if err != nil {
			return Epoch{}, explain(fmt.Errorf("stream %s: %w", config.Name, err), replicas)
		}
	}
	for bucket, description := range map[string]string{
		protocol.JobsBucket: "jobs as they were asked", protocol.EnrolmentsBucket: "hosts that enrolled with a token",
	} {
		err := b.ask(ctx, func(ctx context.Context) error {
			_, err := b.JS.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
				Bucket: bucket, Description: description, History: 1, Storage: jetstream.FileStorage, Replicas: replicas,
			})
			return err
		})
		if err != nil {
			return Epoch{}, explain(fmt.Errorf("bucket %s: %w", bucket, err), replicas)
		}
	}
	if err := b.ensureLogs(ctx, replicas); err != nil {
		return Epoch{}, explain(fmt.Errorf("object store %s: %w", protocol.LogsBucket, err), replicas)
	}
	return b.epoch(ctx)
}

// ensureLogs makes the object store that agents send collected logs to.
func (b *Broker) ensureLogs(ctx context.Context, replicas int) error {
	kept := b.opts.Retention.withDefaults()
	return b.ask(ctx, func(ctx context.Context) error {
		_, err := b.JS.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: protocol.LogsBucket, Description: "logs collected from hosts",
			TTL: kept.LogsAge, MaxBytes: kept.LogsBytes, Storage: jetstream.FileStorage, Replicas: replicas,
		})
		return err
	})
}

// answerTimeout is how long a broker may take to make a stream.
const answerTimeout = 5 * time.Second

func (b *Broker) ask(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return b.WhileConnected(ctx, fn)
}

func (b *Broker) replicas() int {
	switch {
	case b.opts.Replicas > 0:
		return b.opts.Replicas
	case b.embedded == nil && b.Conn.ConnectedClusterName() != "":
		return 3
	}
	return 1
}

// Codes of nats-server's errors.json.
const (
	noSuitablePeers       = 10005
	insufficientResources = 10047
	streamNotUpdated      = 10069
)

func explain(err error, replicas int) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode {
	case noSuitablePeers:
		return fmt.Errorf("%w: the cluster has no %d servers with JetStream to keep %d copies; start them, or ask for fewer with --replicas", err, replicas, replicas)
	case streamNotUpdated:
		return fmt.Errorf("%w: if the folder of the stream is missing, restart the NATS server and the control plane; nats-server removes it when a stream is created while one of the same name is being deleted", err)
	case insufficientResources:
		return fmt.Errorf("%w: JetStream's limit there is lower than what the streams may grow to; raise max_file_store, or lower --status-bytes, --output-bytes, --audit-bytes and --logs-bytes", err)
	}
	return err
}

// LostRace tells from other errors that a write on condition came too late:
// somebody else wrote first.
func LostRace(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
