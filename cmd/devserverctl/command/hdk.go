package command

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"devserver-agent/cmd/devserverctl/objects"
	"devserver-agent/executors/hdk/repository"
	"devserver-agent/protocol"
)

func (s *session) hdkCommand() *cobra.Command {
	hdk := &cobra.Command{
		Use: "hdk", Short: "Prepare the HDK packages that HDK_UPGRADE installs",
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	hdk.AddCommand(s.hdkIndexCommand(), hdkPushCommand())
	return hdk
}

func (s *session) hdkIndexCommand() *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use: "index DIR", Short: "Write the index.json of a folder of HDK packages",
		Long: `Write the index.json of a folder of HDK packages, so that agents can use the
folder as hdk.repository, directly or behind a web server.

What a package is comes from what is in it: kind, chip, architecture, version and, of
a .run, the ranges in which driver and firmware go together. Nothing is run and
nothing is unpacked to the disk. Each file is compared with the sizes and checksums
that it carries, and sizes and SHA-256 are computed. A name as Huawei gives it
(Ascend-hdk-..., Atlas-A3-hdk-...) must agree with the content; another name does not
matter where the content says enough. An rpm or deb is listed without ranges. An
image for MCUs (hpm, or Huawei's zip) is known by its name; it is listed with every
driver of its chip, and jobs name it in mcu_version.

Packages in one subfolder belong together. Elsewhere a driver gets the firmware that
it was published with, or, where that is not known, every firmware that may run with
it: jobs then say firmware_version. An index lists 10,000 packages at most, each once
for every release that it is in, so many releases need a subfolder each.

A file that is left out - damaged, a bundle to be unpacked, a patch, a link, a file of
another kind - is noted on standard error with the reason and what to do; the last
line there counts what is listed and what is not.

With --sign the index is signed too, into index.signed.json, for agents whose
hdk.index_keys names the key: they take no other index then. The key is Ed25519 in
PEM, as "openssl genpkey -algorithm ed25519" makes it. Without --sign an
index.signed.json that is there stays as it is.

It exits with 1 when the disk does not take the index, and with 2 when the command
line, the key or the folder is wrong. A folder in which nothing can be listed is, and
an index.json that is there is not changed.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			info, err := os.Stat(given[0])
			if err != nil {
				return usage(err)
			}
			if !info.IsDir() {
				return usage(fmt.Errorf("%s is not a folder", given[0]))
			}
			var key ed25519.PrivateKey
			if keyFile != "" { // before anything is written
				if key, err = readSigningKey(keyFile); err != nil {
					return usage(fmt.Errorf("--sign: %s %w", keyFile, err))
				}
			}
			index, notes, err := repository.Scan(cmd.Context(), given[0])
			if err != nil {
				return fmt.Errorf("no index was written: %w", err)
			}
			for _, note := range notes {
				fmt.Fprintln(cmd.ErrOrStderr(), "note:", note)
			}
			if len(index.Releases) == 0 {
				return fmt.Errorf("no index was written: nothing in %s can be listed (%s left out); an index.json that is there was not changed. Put the packages of a driver and its firmware there", given[0], count(repository.LeftOut(notes), "file"))
			}
			raw, err := json.MarshalIndent(index, "", "  ")
			if err != nil {
				return err
			}
			raw = append(raw, '\n')
			if err := repository.WriteIndex(given[0], raw); err != nil {
				return notWritten(cmd.ErrOrStderr(), fmt.Errorf("no index was written: %w", err))
			}
			if err := signIndex(cmd.ErrOrStderr(), given[0], key, raw); err != nil {
				return notWritten(cmd.ErrOrStderr(), err)
			}
			fmt.Fprintln(cmd.ErrOrStderr(), indexCount(index, repository.LeftOut(notes)))
			if s.json {
				return printJSON(cmd.OutOrStdout(), raw)
			}
			return printIndex(cmd.OutOrStdout(), index)
		},
	}
	cmd.Flags().StringVar(&keyFile, "sign", "", "file with the private key to sign the index with")
	return cmd
}

// indexCount says in one line how much an index lists, and how much it does not.
func indexCount(index repository.Index, leftOut int) string {
	files := map[string]bool{}
	for _, r := range index.Releases {
		for _, p := range r.Packages {
			files[p.File] = true
		}
	}
	return fmt.Sprintf("%s in %s; %s left out", count(len(files), "package"), count(len(index.Releases), "release"), count(leftOut, "file"))
}

func count(n int, one string) string {
	if n != 1 {
		one += "s"
	}
	return fmt.Sprintf("%d %s", n, one)
}

// maxKeyFile is the size in bytes of the largest file that is read as a private key,
// which has some hundred.
const maxKeyFile = 64 << 10

// readSigningKey reads a private key from a regular file. It does not wait for what
// stands in its place.
func readSigningKey(path string) (ed25519.PrivateKey, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", causeOf(err))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", causeOf(err))
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file; put the key into one")
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", causeOf(err))
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("is larger than %d bytes, so it is not a key", maxKeyFile)
	}
	return protocol.ParsePrivateKey(text)
}

// causeOf is an error without the path, which the sentence around it has.
func causeOf(err error) error {
	var where *fs.PathError
	if errors.As(err, &where) {
		return where.Err
	}
	return err
}

// notWritten ends the command: what the system refused to write is a failure, and an
// index that no agent takes is a mistake in what was asked.
func notWritten(out io.Writer, err error) error {
	var refused syscall.Errno
	if !errors.As(err, &refused) {
		return err
	}
	fmt.Fprintf(out, "devserverctl: %v\n", err)
	return errFailed
}

// signIndex writes the signed index and says which key agents have to know. Without a
// key it says of a signed index that is there that it is not of this index.
func signIndex(out io.Writer, dir string, key ed25519.PrivateKey, index []byte) error {
	if key == nil {
		if _, err := os.Lstat(filepath.Join(dir, repository.SignedIndexFile)); err == nil {
			fmt.Fprintf(out, "note: %s is of a former index; agents with hdk.index_keys use that one: sign again with --sign\n", repository.SignedIndexFile)
		}
		return nil
	}
	signed, err := repository.SignIndex(key, index)
	if err == nil {
		err = repository.WriteSignedIndex(dir, signed)
	}
	if err != nil {
		return fmt.Errorf("%s was written and %s was not, so agents with hdk.index_keys use a former one or none; sign again with --sign: %w",
			repository.IndexFile, repository.SignedIndexFile, err)
	}
	_, err = fmt.Fprintf(out, "note: signed; hdk.index_keys of the agents: [\"%s\"]\n", protocol.KeyOf(key))
	return err
}

func hdkPushCommand() *cobra.Command {
	var to objects.Broker
	cmd := &cobra.Command{
		Use: "push DIR BUCKET", Short: "Put a folder of HDK packages into a JetStream object store",
		Long: `Put a folder of HDK packages and its index into a JetStream object store, for
agents whose hdk.repository is object://BUCKET. What is there already is not sent
again; the index goes last. This command speaks to the broker, with the
credentials of somebody who may write there, and not to the control plane.`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			return objects.Push(cmd.Context(), to, given[1], os.DirFS(given[0]), func(name string, sent bool) {
				state := "is there"
				if sent {
					state = "sent"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", name, state)
			})
		},
	}
	brokerFlags(cmd, &to)
	return cmd
}

func printIndex(out io.Writer, index repository.Index) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RELEASE\tCHIP\tARCH\tKIND\tVERSION\tREQUIRES\tFILE")
	for _, r := range index.Releases {
		for _, p := range r.Packages {
			requires := p.Requires
			if requires == "" {
				requires = "-"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Version, p.Chip, p.Arch, p.Kind, p.Version, requires, p.File)
		}
	}
	return table.Flush()
}
