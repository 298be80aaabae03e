package command

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"devserver-agent/controlplane/access"
)

// userCommand keeps the file of --users.
func userCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Say who may ask this control plane for what", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	file := cmd.PersistentFlags().String("users", "", "the file of --users (required)")
	if err := cmd.MarkPersistentFlagRequired("users"); err != nil {
		panic(err) // the flag is defined above
	}
	cmd.AddCommand(userAdd(file), userRemove(file))
	return cmd
}

func userAdd(file *string) *cobra.Command {
	var role string
	var projects []string
	var sign, asJSON bool
	cmd := &cobra.Command{
		Use: "add NAME --users FILE --role ROLE --project ID", Short: "Give a user a token, or an access key, and print it once", Args: cobra.ExactArgs(1),
		Long: `Give a user a token, or with --access-key a pair of keys to sign requests with, as
Huawei's SDK does. They are printed now and never again. A reader sees, an operator
also creates, pauses, cancels and deletes jobs, a keeper also stops the fleet and gives
hosts up. A control plane that runs takes the file as it then is with the next request.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			parsed, err := access.ParseRole(role)
			if err != nil {
				return fmt.Errorf("--role: %w", err)
			}
			given, err := access.Add(*file, access.User{Name: args[0], Role: parsed, Projects: projects}, sign)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			switch {
			case asJSON:
				return json.NewEncoder(out).Encode(given)
			case sign:
				_, err = fmt.Fprintf(out, "access key: %s\nsecret key: %s\n", given.AccessKey, given.SecretKey)
			default:
				_, err = fmt.Fprintln(out, given.Token)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&role, "role", "reader", "reader, operator or keeper")
	f.StringArrayVar(&projects, "project", []string{"default"}, "project id, may be given several times; * is all")
	f.BoolVar(&sign, "access-key", false, "an access key and its secret instead of a token")
	f.BoolVar(&asJSON, "json", false, "print JSON, for programs")
	return cmd
}

func userRemove(file *string) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME --users FILE", Short: "Take all tokens and access keys of a user away", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := access.Remove(*file, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s has no access any more (%d taken away)\n", args[0], n)
			return err
		},
	}
}
