package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"longshore/answer"
	"longshore/internal/httpapi"
)

// Access data as the server tells of it.
type (
	// An APIKey is what is known of a key; Key, the key itself, is told once.
	APIKey = answer.APIKey
	// A NewKey is what a key is to be.
	NewKey = answer.NewKey
	// A Rate is how many requests a key may make.
	Rate = answer.Rate
	// A Token is one for a page in a browser.
	Token = answer.Token
	// A NewToken is what a page's token is to be good for.
	NewToken = answer.NewToken
	// A SubmitGrant is what a page may submit.
	SubmitGrant = answer.SubmitGrant
)

// Keys returns the API keys of the installation, the oldest first.
func (c *Client) Keys(ctx context.Context) ([]APIKey, error) {
	var list httpapi.KeyList
	if _, err := c.exchange(ctx, get(httpapi.PathKeys, nil), &list); err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	return list.Keys, nil
}

// CreateKey makes an API key; what it returns holds the key itself, which is told only now.
func (c *Client) CreateKey(ctx context.Context, k NewKey) (made APIKey, err error) {
	if err := c.post(ctx, httpapi.PathKeys, k, &made); err != nil {
		return made, fmt.Errorf("create a key: %w", err)
	}
	return made, nil
}

// RotateKey gives a key another secret, and returns it; the one before stays good for keep, a
// duration as 24h, or ends at once ("").
func (c *Client) RotateKey(ctx context.Context, id, keep string) (rotated APIKey, err error) {
	body := struct {
		Keep string `json:"keep,omitempty"`
	}{keep}
	if err := c.post(ctx, keyPath(id)+"/rotate", body, &rotated); err != nil {
		return rotated, fmt.Errorf("rotate key %s: %w", id, err)
	}
	return rotated, nil
}

// DeleteKey deletes a key. It, and what it made, counts no more within seconds.
func (c *Client) DeleteKey(ctx context.Context, id string) error {
	if err := c.remove(ctx, keyPath(id)); err != nil {
		return fmt.Errorf("delete key %s: %w", id, err)
	}
	return nil
}

// CreateToken makes a token for a page in a browser.
func (c *Client) CreateToken(ctx context.Context, t NewToken) (made Token, err error) {
	if err := c.post(ctx, httpapi.PathTokens, t, &made); err != nil {
		return made, fmt.Errorf("create a token: %w", err)
	}
	return made, nil
}

// RevokeToken has a page's token count no more, within seconds.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	if err := c.remove(ctx, httpapi.PathTokens+"/"+url.PathEscape(id)); err != nil {
		return fmt.Errorf("revoke token %s: %w", id, err)
	}
	return nil
}

func keyPath(id string) string { return httpapi.PathKeys + "/" + url.PathEscape(id) }

// post sends JSON once and reads JSON: a repeat would make another key.
func (c *Client) post(ctx context.Context, path string, body, out any) error {
	call, err := call{method: http.MethodPost, path: path, limit: answerTimeout}.withJSON(body)
	if err != nil {
		return err
	}
	_, err = c.exchangeOnce(ctx, call, out)
	return err
}

// put sends JSON, again where an answer is lost, and reads JSON.
func (c *Client) put(ctx context.Context, path string, body, out any) error {
	call, err := call{method: http.MethodPut, path: path, safe: true}.withJSON(body)
	if err != nil {
		return err
	}
	_, err = c.exchange(ctx, call, out)
	return err
}

func (c *Client) remove(ctx context.Context, path string) error {
	_, done, err := c.send(ctx, call{method: http.MethodDelete, path: path})
	if err != nil {
		return err
	}
	done()
	return nil
}
