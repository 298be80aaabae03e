package repository

import (
	"errors"
	"fmt"
	"os"
	"path"
)

// WriteIndex puts an index.json into a folder, whole or not at all. One that ParseIndex
// would refuse is not written.
func WriteIndex(dir string, data []byte) error {
	if _, err := ParseIndex(data); err != nil {
		return fmt.Errorf("no agent would take this index: %w; make several repositories of the folder", err)
	}
	return writeFile(dir, IndexFile, data)
}

// WriteSignedIndex puts a signed index into a folder, whole or not at all.
func WriteSignedIndex(dir string, data []byte) error { return writeFile(dir, SignedIndexFile, data) }

// indexTemp begins the name of an index that is being written.
const indexTemp = ".index-"

func writeFile(dir, name string, data []byte) error {
	temp, err := os.CreateTemp(dir, indexTemp+"*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Chmod(0o644), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path.Join(dir, name))
}
