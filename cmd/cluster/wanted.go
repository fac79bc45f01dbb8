package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"longshore/internal/httpapi"
)

// maxScale bounds what is read of an answer.
const maxScale = 64 << 10

// wanted asks the web processes of this cluster how many workers are wanted.
func (o *options) wanted(port int) func(context.Context) (int, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // each time any web answers
	return func(ctx context.Context) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet,
			fmt.Sprintf("http://127.0.0.1:%d%s", port, httpapi.PathScale), nil)
		if err != nil {
			return 0, err
		}
		token := o.config.Token.Reveal()
		if file := o.config.TokenFile; token == "" && file != "" {
			text, err := os.ReadFile(file)
			if err != nil {
				return 0, err
			}
			token = strings.TrimSpace(string(text))
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return 0, fmt.Errorf("%s: %s", httpapi.PathScale, resp.Status)
		}
		var s httpapi.Scale
		if err := json.NewDecoder(io.LimitReader(resp.Body, maxScale)).Decode(&s); err != nil {
			return 0, fmt.Errorf("%s: %w", httpapi.PathScale, err)
		}
		return s.All.Wanted, nil
	}
}
