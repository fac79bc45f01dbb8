package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"longshore/internal/access"
	"longshore/internal/access/store"
	"longshore/internal/sealing"
)

// What apps take as it is, whatever a QR code says.
var codeOptions = totp.ValidateOpts{Period: 30, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

const (
	stepLength    = 30 * time.Second
	recoveryCodes = 10
	setupLife     = 10 * time.Minute
)

// A Setup is what an app needs to make codes.
type Setup struct {
	Secret string
	Image  image.Image // a QR code
}

// Codes reports whether codes of apps can be had.
func (p *People) Codes() bool { return p.sealer != nil }

// openCodes opens the secret of somebody's app.
func (p *People) openCodes(user, sealed string) (string, error) {
	secret, err := p.sealer.Open(user, sealed)
	if errors.Is(err, sealing.ErrKey) {
		return "", fmt.Errorf("%w that sealed the secret", ErrNoCodes)
	}
	return secret, err
}

// BeginCodes draws a secret for a person's app. It counts once a code of it was shown.
func (p *People) BeginCodes(ctx context.Context, s *access.Session, u *access.User) (*Setup, error) {
	if p.sealer == nil {
		return nil, ErrNoCodes
	}
	sealed, err := p.Store.Lent(ctx, "codes:"+s.ID)
	if err != nil {
		return nil, err
	}
	opts := totp.GenerateOpts{Issuer: "Longshore " + p.Public.Hostname(), AccountName: u.Email,
		SecretSize: 20}
	if sealed != "" { // the page was opened again
		secret, err := p.openCodes(u.ID, sealed)
		if err != nil {
			return nil, err
		}
		if opts.Secret, err = base32.StdEncoding.WithPadding(base32.NoPadding).
			DecodeString(secret); err != nil {
			return nil, err
		}
	}
	key, err := totp.Generate(opts)
	if err != nil {
		return nil, fmt.Errorf("draw a secret: %w", err)
	}
	picture, err := key.Image(200, 200)
	if err != nil {
		return nil, fmt.Errorf("draw a QR code: %w", err)
	}
	if sealed == "" {
		err = p.Store.Lend(ctx, "codes:"+s.ID, p.sealer.Seal(u.ID, key.Secret()), setupLife)
	}
	return &Setup{key.Secret(), picture}, err
}

// ConfirmCodes has a person's app count, once it has shown a code of it. It returns the new
// session's cookie, and codes for when the app is lost.
func (p *People) ConfirmCodes(ctx context.Context, c Client, s *access.Session,
	code string) (cookie string, recovery []string, err error) {
	if p.sealer == nil {
		return "", nil, ErrNoCodes
	}
	sealed, err := p.Store.Lent(ctx, "codes:"+s.ID)
	if err != nil {
		return "", nil, err
	}
	if sealed == "" {
		return "", nil, ErrOver
	}
	if wait, err := p.Store.Try(ctx, map[string]int{"codes:" + s.ID: freeCodes}); err != nil || wait > 0 {
		return "", nil, first(err, waits(wait))
	}
	if ok, err := p.fitsCode(ctx, s.User, sealed, code); err != nil || !ok {
		return "", nil, first(err, ErrWrong)
	}
	recovery, hashes := drawRecovery()
	cookie, err = p.change(ctx, c, s, "users.codes", func(u *access.User) error {
		u.TOTP, u.Recovery = sealed, hashes
		return nil
	})
	if err != nil {
		return "", nil, err
	}
	_, err = p.Store.Take(ctx, "codes:"+s.ID)
	return cookie, recovery, err
}

// first returns the first error that is one.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func waits(after time.Duration) error {
	if after <= 0 {
		return nil
	}
	return &WaitError{after}
}

// EndCodes has a person be asked for codes no more.
func (p *People) EndCodes(ctx context.Context, c Client, s *access.Session) (string, error) {
	return p.change(ctx, c, s, "users.codes.end", func(u *access.User) error {
		u.TOTP, u.Recovery = "", nil
		return nil
	})
}

// drawRecovery draws codes of 80 random bits, and what is kept of them.
func drawRecovery() (codes, hashes []string) {
	for range recoveryCodes {
		b := make([]byte, 10)
		_, _ = rand.Read(b) // never fails
		code := strings.ToLower(base32.StdEncoding.EncodeToString(b))
		codes = append(codes, code[:4]+"-"+code[4:8]+"-"+code[8:12]+"-"+code[12:])
		hashes = append(hashes, access.Hash(code))
	}
	return codes, hashes
}

// fitsCode reports whether a code is of now, or of the step before or after, and takes it: no
// step is taken twice, by whatever process.
func (p *People) fitsCode(ctx context.Context, user, sealed, code string) (bool, error) {
	secret, err := p.openCodes(user, sealed)
	if err != nil {
		return false, err
	}
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(-stepLength), now.Add(stepLength)} {
		want, err := totp.GenerateCodeCustom(secret, at, codeOptions)
		if err != nil {
			return false, fmt.Errorf("reckon a code: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return p.Store.Step(ctx, user+":"+short(secret), at.Unix()/int64(stepLength/time.Second),
				time.Hour)
		}
	}
	return false, nil
}

// Second looks at the code of a login that is half done: the app's, or one for when it is lost.
// The error may be ErrWrong, or ErrOver: then it begins anew.
func (p *People) Second(ctx context.Context, c Client, name, code string) (Outcome, error) {
	at := "pending:" + short(name)
	text, err := p.Store.Lent(ctx, at)
	if err != nil {
		return Outcome{}, err
	}
	var half pending
	if text == "" || json.Unmarshal([]byte(text), &half) != nil {
		return Outcome{}, ErrOver
	}
	n, err := p.Store.Count(ctx, at, 2*pendingLife)
	if err != nil {
		return Outcome{}, err
	}
	if n > freeCodes { // so many tries are all that one password is good for
		_, err := p.Store.Take(ctx, at)
		return Outcome{}, first(err, ErrOver)
	}
	k, err := p.Store.User(ctx, half.User)
	if errors.Is(err, store.ErrNoUser) {
		return Outcome{}, ErrOver
	}
	if err != nil || k.Disabled || k.Password != half.Hash || k.TOTP == "" {
		return Outcome{}, first(err, ErrOver)
	}
	var old *access.Session
	if half.Old != "" {
		s, err := p.read(ctx, half.Old)
		if errors.Is(err, access.ErrUnknown) {
			return Outcome{}, ErrOver
		}
		if err != nil || s.User != k.ID {
			return Outcome{}, first(err, ErrOver)
		}
		old = &s
	}
	// Who passes the first proof as often as he likes, as by an issuer, begins as many logins: so
	// guesses count by the person too.
	codes := "code:" + k.ID
	if wait, err := p.Store.Try(ctx, map[string]int{codes: freeCodesOf}); err != nil || wait > 0 {
		return Outcome{}, first(err, waits(wait))
	}
	how, edit := howCode, (func(*access.User) error)(nil)
	ok, err := p.fitsCode(ctx, k.ID, k.TOTP, code)
	if err != nil {
		return Outcome{}, err
	}
	if hash := access.Hash(bareRecovery(code)); !ok && slices.Contains(k.Recovery, hash) {
		how, ok, edit = howRecovery, true, func(u *access.User) error {
			i := slices.Index(u.Recovery, hash)
			if i < 0 {
				return ErrWrong // used meanwhile
			}
			u.Recovery = slices.Delete(slices.Clone(u.Recovery), i, i+1)
			return nil
		}
	}
	if !ok {
		p.refused(c, k, "login.code")
		return Outcome{}, ErrWrong
	}
	if taken, err := p.Store.Take(ctx, at); err != nil || taken == "" {
		return Outcome{}, first(err, ErrOver)
	}
	if err := p.Store.Forgive(ctx, codes); err != nil {
		return Outcome{}, err
	}
	return p.complete(ctx, c, k, old, proof{how: append(half.How, how)}, edit)
}

// bareRecovery is a code for when the app is lost, however it is typed.
func bareRecovery(code string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(code)))
}
