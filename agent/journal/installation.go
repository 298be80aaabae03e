package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"devserver-agent/protocol"
)

// Installation is the identity a state directory is born with.
type Installation struct {
	Schema    int    `json:"schema"`
	ID        string `json:"installation_id"`
	Machine   string `json:"machine,omitempty"`
	CreatedAt int64  `json:"created_at"`
}

// identify reads the installation, or makes it on the first start.
func (s *Store) identify() error {
	path := filepath.Join(s.opts.Dir, "installation.json")
	inst, err := readInstallation(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		inst = Installation{Schema: schema, ID: randomHex(), Machine: s.opts.Machine, CreatedAt: protocol.Millis(time.Now())}
		err = s.putInstallation(path, inst)
	case err != nil:
	case inst.Machine != "" && s.opts.Machine != "" && inst.Machine != s.opts.Machine:
		if !s.opts.Adopt {
			return fmt.Errorf("%w: %s", ErrOtherMachine, s.opts.Dir)
		}
		inst.Machine = s.opts.Machine
		err = s.putInstallation(path, inst)
	}
	s.installation = inst
	return err
}

func readInstallation(path string) (inst Installation, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return inst, err
	}
	if err := json.Unmarshal(data, &inst); err != nil || inst.ID == "" {
		return inst, fmt.Errorf("%s cannot be read: %w", path, errors.Join(err, ErrDamaged))
	}
	if inst.Schema > schema {
		return inst, fmt.Errorf("%w: its schema is %d, this agent knows %d", ErrSchema, inst.Schema, schema)
	}
	return inst, nil
}

func (s *Store) putInstallation(path string, inst Installation) error {
	data, err := json.MarshalIndent(inst, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'))
}

// Installation is who this agent is.
func (s *Store) Installation() Installation { return s.installation }

// ReadInstallation is who the agent of a state directory is. It only reads, so the
// directory may be in use. Errors: fs.ErrNotExist for one that is new, ErrSchema,
// ErrDamaged, or what the system said.
func ReadInstallation(stateDir string) (Installation, error) {
	return readInstallation(filepath.Join(stateDir, "installation.json"))
}
