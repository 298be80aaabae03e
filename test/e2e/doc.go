// Package e2e proves the promise: a task that was accepted ends in exactly one
// verdict, its effects happen once, and nothing it said is lost.
//
// Everything in it is real: agents are processes (command agent, built with the
// race detector and fail points) on a folder of their own, and are killed; the
// broker is a NATS server with the control plane's streams, stopped and started on its store;
// the network between them is a proxy that is cut. In most tests the test plays
// the control plane, since it must be able to say what a real one never would;
// in those named TestSystem the control plane is a process too.
//
//	TestCrash...     one line of the crash order each, by a named fail point
//	TestState...     the state directory in every trouble
//	TestService...   what the daemon tells its service manager
//	TestSynced...    what is on the disk when a status is told or a step started
//	TestDelivery...  mailboxes that come twice, late, damaged, forged, too large
//	TestSchedules    random tasks and troubles from a seed; see scheduleCount
//	TestSystem...    from devserverctl to the tools of fake hosts and back
//	TestUpgrade...   the same lines and random troubles while hosts are upgraded,
//	                 where hosts, control plane and broker are processes too
//	TestContainer... the agent as a service, steps as units, in containers with a
//	                 real systemd that are restarted; scripts/e2e runs them
//	TestScripts      the agent's commands, testdata/script/*.txtar
//
// Environment: E2E_SCHEDULES (how many, default 16), E2E_UPGRADES (the same of
// upgrades, default 24), E2E_SEED (of the first one; the following ones count
// up), E2E_KEEP=1 (leave the folders). The gate runs more of them, scripts/nightly
// far more.
package e2e
