// Package attack is what somebody tries who owns one host, the network, or nothing: by
// real clients, on a real broker that devserverctl fleet set up, with the streams that
// the control plane makes. Every attempt must come to nothing: the broker says no or
// is silent, and what others wrote is as it was.
package attack
