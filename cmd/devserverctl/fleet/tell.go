package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
)

// claimsSubject takes a new statement of an account; every broker of a cluster hears it
// (https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/jwt/resolver).
const claimsSubject = "$SYS.REQ.CLAIMS.UPDATE"

// Tell gives the brokers, and the leaf nodes, the newest statement of the agents'
// account. They cut off at once whom it has revoked. urls are the brokers; none: those of
// the fleet.
func (f *Fleet) Tell(ctx context.Context, urls ...string) error {
	if len(urls) == 0 {
		for _, b := range f.register.Brokers {
			urls = append(urls, b.URL())
		}
	}
	err := f.tell(ctx, agentsAccount+".jwt", urls...)
	for _, b := range f.register.Leaves {
		if leafErr := f.tell(ctx, leafStatement, b.URL()); leafErr != nil {
			err = errors.Join(err, fmt.Errorf("leaf node %s: %w", b.Name, leafErr))
		}
	}
	return err
}

func (f *Fleet) tell(ctx context.Context, statementFile string, urls ...string) error {
	statement, err := os.ReadFile(f.Path("jwt", statementFile))
	if err != nil {
		return err
	}
	conn, err := nats.Connect(strings.Join(urls, ","), nats.Name("devserverctl"), nats.UserCredentials(f.Path(systemFile)), nats.RootCAs(f.CA()), f.certificate())
	if err != nil {
		return fmt.Errorf("connect to the brokers: %w", err)
	}
	defer conn.Close()
	reply, err := conn.RequestWithContext(ctx, claimsSubject, statement)
	if err != nil {
		return fmt.Errorf("tell the brokers: %w", err)
	}
	var answer struct {
		Data  struct{ Code int }
		Error struct{ Description string }
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("the broker's answer: %w", err)
	}
	if answer.Data.Code != 200 {
		return errors.New("the broker refuses the statement: " + answer.Error.Description)
	}
	return nil
}

// certificate is what brokers that ask for one are shown.
func (f *Fleet) certificate() nats.Option {
	if !f.register.Mutual {
		return func(*nats.Options) error { return nil }
	}
	b := f.register.Brokers[0].Name
	return nats.ClientCert(f.Path("brokers", b, "server.pem"), f.Path("brokers", b, "server.key"))
}
