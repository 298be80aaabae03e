package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"go.uber.org/zap"

	"devserver-agent/controlplane/access"
	"devserver-agent/controlplane/api"
	"devserver-agent/controlplane/broker"
	"devserver-agent/controlplane/certificate"
	"devserver-agent/controlplane/enrolment"
	"devserver-agent/protocol"
)

// openDoor reads who may come in. An address that other hosts reach takes users and
// TLS: without, anybody there could give orders to the fleet, or hear a token on its way.
func (c *ControlPlane) openDoor() (err error) {
	if c.opts.Users == "" || c.opts.CertFile == "" {
		_, _, err = broker.CheckLoopback(c.opts.Listen)
		if errors.Is(err, broker.ErrNotLoopback) {
			return fmt.Errorf("%w, or give --users, --tls-cert and --tls-key", err)
		}
	}
	if err == nil && c.opts.EnrolmentKey != "" {
		c.desk, err = enrolment.Open(c.opts.EnrolmentKey)
	}
	if err != nil || c.opts.Users == "" {
		return err
	}
	c.guard, err = access.Open(access.Options{
		File: c.opts.Users, MaxBody: api.MaxBody,
		Report: func(message string, problem error) { c.log.Error(message, zap.Error(problem)) },
	})
	return err
}

// enrol is how hosts are enrolled; nil: they are not.
func (c *ControlPlane) enrol() func(context.Context, protocol.Enrolment) (protocol.Enrolled, error) {
	if c.desk == nil {
		return nil
	}
	return func(ctx context.Context, asked protocol.Enrolment) (given protocol.Enrolled, err error) {
		err = c.broker.WhileConnected(ctx, func(ctx context.Context) (err error) {
			given, err = c.desk.Enrol(ctx, c.broker.JS, asked)
			return err
		})
		return given, err
	}
}

// listen takes the address.
func (c *ControlPlane) listen() (net.Listener, error) {
	if c.opts.CertFile == "" {
		return net.Listen("tcp", c.opts.Listen)
	}
	pair, err := certificate.Load(c.opts.CertFile, c.opts.KeyFile)
	if err != nil {
		return nil, err
	}
	pair.Report = func(problem error) {
		c.log.Error("the certificate of HTTP was changed and cannot be used; the one before stays in force", zap.Error(problem))
	}
	return tls.Listen("tcp", c.opts.Listen, pair.ServerConfig())
}

// URL is where HTTP listens.
func (c *ControlPlane) URL() string {
	if c.opts.CertFile != "" {
		return "https://" + c.Addr()
	}
	return "http://" + c.Addr()
}
