package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a request can fail with. A *Refusal from a peer unwraps to one of those
// that have a code; the others are found out on this side.
var (
	// ErrMalformed: one side broke the rules of the protocol.
	ErrMalformed = errors.New("the message breaks the rules of the protocol")
	// ErrDenied: the peer does not do this for us.
	ErrDenied = errors.New("not permitted")
	// ErrNotFound: the peer does not hold it for this owner.
	ErrNotFound = errors.New("not held here")
	// ErrFull: the peer has no space left that it gives.
	ErrFull = errors.New("no space left on this node")
	// ErrQuota: this owner's allowance at the peer is used up.
	ErrQuota = errors.New("the allowance of this owner is used up")
	// ErrTooLarge: over a limit of the protocol or of the peer.
	ErrTooLarge = errors.New("too large")
	// ErrBusy: too much under way for this owner; later it may work.
	ErrBusy = errors.New("busy, try again later")
	// ErrWrongHash: the bytes that the peer received are not those named.
	ErrWrongHash = errors.New("the bytes do not match their hash")
	// ErrStale: the peer keeps something newer, or a conflicting one.
	ErrStale = errors.New("this node keeps something newer")
	// ErrFailed: the peer could not do it, for a reason in its own log.
	ErrFailed = errors.New("the node could not do it; its log says why")
	// ErrTicket: the ticket is used, expired or unknown.
	ErrTicket = errors.New("the ticket was used already, has expired or is unknown")
	// ErrUnsupported: the peer does not know this request.
	ErrUnsupported = errors.New("this node does not know the request")

	// ErrWrongBytes: what the peer returned fails its proof. It lies or its
	// disk rots; nothing of it was believed.
	ErrWrongBytes = errors.New("the peer returned wrong bytes")
	// ErrUnreachable: no stream to the peer, or it broke; nothing is known
	// about whether the request was carried out.
	ErrUnreachable = errors.New("the peer cannot be reached")
	// ErrClosed: the Client or Server was closed.
	ErrClosed = errors.New("closed")
)

// Codes of replies, as in PROTOCOL.md.
const (
	codeYes         = 0
	codeGoOn        = 1
	codeMalformed   = 2
	codeDenied      = 3
	codeNotFound    = 4
	codeFull        = 5
	codeQuota       = 6
	codeTooLarge    = 7
	codeBusy        = 8
	codeWrongHash   = 9
	codeStale       = 10
	codeFailed      = 11
	codeTicket      = 12
	codeUnsupported = 13
)

// byCode holds the error of each code of a refusal.
var byCode = [...]error{
	codeMalformed: ErrMalformed, codeDenied: ErrDenied, codeNotFound: ErrNotFound,
	codeFull: ErrFull, codeQuota: ErrQuota, codeTooLarge: ErrTooLarge, codeBusy: ErrBusy,
	codeWrongHash: ErrWrongHash, codeStale: ErrStale, codeFailed: ErrFailed,
	codeTicket: ErrTicket, codeUnsupported: ErrUnsupported,
}

// A Refusal is a peer's no: errors.Is finds the exported error of its code.
type Refusal struct {
	Code     uint64 // as on the wire; unknown ones count as "failed"
	Sentence string // the peer's words, cleaned of control characters; may be empty
}

func (r *Refusal) Error() string {
	if r.Sentence != "" {
		return r.Sentence
	}
	return r.Unwrap().Error()
}

// Unwrap returns the exported error of the code.
func (r *Refusal) Unwrap() error {
	if r.Code < uint64(len(byCode)) && byCode[r.Code] != nil {
		return byCode[r.Code]
	}
	return ErrFailed
}

// refuse is a server's own no with words that may be shown to the peer.
func refuse(kind error, format string, args ...any) *Refusal {
	return &Refusal{Code: codeOf(kind), Sentence: fmt.Sprintf(format, args...)}
}

// codeOf finds the code of an error; what is none of ours is "failed", so that
// no text of this node's insides leaves it.
func codeOf(err error) uint64 {
	for code, kind := range byCode {
		if kind != nil && errors.Is(err, kind) {
			return uint64(code)
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return codeBusy
	}
	return codeFailed
}

// asRefusal turns what a handler returned into what the peer is told.
func asRefusal(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	r = &Refusal{Code: codeOf(err)}
	r.Sentence = r.Unwrap().Error()
	return r
}

// clean makes foreign text safe to print: valid UTF-8, no control or format
// characters (a terminal would obey them), and at most max bytes.
func clean(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
	for len(s) > max {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}
