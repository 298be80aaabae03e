package repository

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Bounds of a zip with an image.
const (
	maxZipped  = 32       // files
	maxZipFile = 64 << 20 // bytes of one of them
)

// Unzip takes an image and what lies beside it (its signature, a revocation
// list) out of the zip that Huawei gives, into dir, and returns the image's path.
// Folders in the zip are left out. There must be one image.
//
// Each file is written whole or not at all, and one that was there stays readable
// to who has it open, so it may be done again at any time.
func Unzip(file, dir string) (image string, err error) {
	archive, err := zip.OpenReader(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	defer archive.Close()
	if len(archive.File) > maxZipped {
		return "", fmt.Errorf("%s has more than %d files", filepath.Base(file), maxZipped)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	for _, f := range archive.File {
		name := path.Base(f.Name)
		if !f.Mode().IsRegular() || !filePattern.MatchString(name) {
			continue
		}
		if err := extract(f, filepath.Join(dir, name)); err != nil {
			return "", fmt.Errorf("%s: %s: %w", filepath.Base(file), name, err)
		}
		if strings.EqualFold(path.Ext(name), ".hpm") {
			if image != "" {
				return "", fmt.Errorf("%s has two images", filepath.Base(file))
			}
			image = filepath.Join(dir, name)
		}
	}
	if image == "" {
		return "", fmt.Errorf("%s has no image (.hpm)", filepath.Base(file))
	}
	return image, nil
}

func extract(f *zip.File, to string) error {
	content, err := f.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	temp, err := os.CreateTemp(filepath.Dir(to), ".unzip-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	n, err := io.Copy(temp, io.LimitReader(content, maxZipFile+1))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if n > maxZipFile {
		return fmt.Errorf("is larger than %d bytes", maxZipFile)
	}
	return os.Rename(temp.Name(), to)
}
