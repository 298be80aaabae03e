package protocol

// EnrolmentsBucket has who enrolled with a one-time token, by the token's id.
const EnrolmentsBucket = "DEVSERVER_ENROLMENTS"

// A token for enrolment is a JWT of NATS's generic kind, signed with the fleet's
// enrolment key: its name is the server's id, it expires, and it carries this claim.
const (
	EnrolmentClaim = "devserver"
	EnrolmentToken = "enrolment.v1"
)

// Enrolment is what a host asks for with a token, and what is kept of it.
type Enrolment struct {
	Token     string `json:"token,omitempty"` // of the request only
	ServerID  string `json:"server_id"`
	PublicKey string `json:"public_key"` // of the host's NATS user (nkeys, U...)
	At        int64  `json:"at,omitempty"`
}

// Enrolled is the answer.
type Enrolled struct {
	ServerID  string `json:"server_id"`
	Statement string `json:"statement"` // the user's JWT
}
