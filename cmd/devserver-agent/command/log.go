package command

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"devserver-agent/agent/config"
)

// newLog writes lines for people or JSON for programs; and to systemd's journal,
// where that is what out ends in, so that one can ask it for the lines of a task:
// journalctl DEVSERVER_TASK=ID.
func newLog(c config.Log, out io.Writer) *zap.Logger {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		level = zapcore.InfoLevel // the configuration was checked
	}
	ec := zap.NewProductionEncoderConfig()
	ec.EncodeTime = zapcore.RFC3339TimeEncoder
	if c.Format == "json" {
		return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(ec), zapcore.AddSync(out), level))
	}
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(ec), zapcore.AddSync(out), level)
	if endsInJournal(os.Getenv("JOURNAL_STREAM")) {
		ec.TimeKey, ec.LevelKey = zapcore.OmitKey, zapcore.OmitKey // the journal has both
		core = journalCore{level, zapcore.NewConsoleEncoder(ec), zapcore.NewMapObjectEncoder(), core}
	}
	return zap.New(core)
}

// endsInJournal reports whether standard error is the stream that systemd names to its
// services as DEVICE:INODE (systemd.exec(5), $JOURNAL_STREAM). go-systemd's function of
// this kind brings the scanning half of fmt into the program.
func endsInJournal(stream string) bool {
	var stat unix.Stat_t
	err := unix.Fstat(int(os.Stderr.Fd()), &stat)
	return err == nil && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// journalCore sends entries to systemd's journal: the line that people read, and
// each field by its name (systemd.journal-fields(7)).
type journalCore struct {
	zapcore.LevelEnabler
	line   zapcore.Encoder
	fields *zapcore.MapObjectEncoder
	// otherwise takes what the journal does not.
	otherwise zapcore.Core
}

// With implements zapcore.Core.
func (c journalCore) With(fields []zapcore.Field) zapcore.Core {
	all := zapcore.NewMapObjectEncoder()
	for name, value := range c.fields.Fields {
		all.Fields[name] = value
	}
	line := c.line.Clone()
	for _, f := range fields {
		f.AddTo(all)
		f.AddTo(line)
	}
	return journalCore{c.LevelEnabler, line, all, c.otherwise.With(fields)}
}

// Check implements zapcore.Core.
func (c journalCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c journalCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	all := c.With(fields).(journalCore).fields
	vars := map[string]string{"SYSLOG_IDENTIFIER": "devserver-agent"}
	for name, value := range all.Fields {
		vars["DEVSERVER_"+strings.ToUpper(name)] = fmt.Sprint(value)
	}
	line, err := c.line.EncodeEntry(entry, fields)
	if err == nil {
		err = journal.Send(strings.TrimSuffix(line.String(), "\n"), priority(entry.Level), vars)
		line.Free()
	}
	if err != nil {
		return c.otherwise.Write(entry, append(fields, zap.NamedError("journal", err)))
	}
	return nil
}

// Sync implements zapcore.Core.
func (c journalCore) Sync() error { return c.otherwise.Sync() }

// priority is what syslog(3) calls a level.
func priority(level zapcore.Level) journal.Priority {
	switch level {
	case zapcore.DebugLevel:
		return journal.PriDebug
	case zapcore.InfoLevel:
		return journal.PriInfo
	case zapcore.WarnLevel:
		return journal.PriWarning
	case zapcore.ErrorLevel:
		return journal.PriErr
	}
	return journal.PriCrit
}
