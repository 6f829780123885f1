package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// remote is how a command reaches a server.
type remote struct {
	URL    string        `help:"Address of the server." default:"http://127.0.0.1:6333" env:"SEXTANT_URL" name:"url"`
	APIKey string        `help:"Key of the server." env:"SEXTANT_API_KEY,QDRANT_API_KEY" name:"api-key"`
	Wait   time.Duration `help:"How long one request may take." default:"2m" name:"request-timeout"`
}

// answerError is an answer that is no success.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string {
	return fmt.Sprintf("the server answered %d: %s", e.status, e.text)
}

// call sends one request and puts the result of its answer into out. What may pass by itself is tried again for a while:
// a server that restarts, a rate limit.
func (r remote) call(ctx context.Context, method, path string, body []byte, out any) error {
	for try := 0; ; try++ {
		err := r.once(ctx, method, path, body, out)
		var answer *answerError
		passing := err != nil && (!errors.As(err, &answer) || answer.status == http.StatusTooManyRequests || answer.status == http.StatusServiceUnavailable)
		if !passing || try == 6 || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(250 * time.Millisecond << try):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r remote) once(ctx context.Context, method, path string, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(r.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if r.APIKey != "" {
		req.Header.Set("api-key", r.APIKey)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	var envelope struct {
		Result json.RawMessage `json:"result"`
		Status json.RawMessage `json:"status"`
	}
	err = json.Unmarshal(data, &envelope)
	if answer.StatusCode/100 != 2 {
		text := strings.TrimSpace(string(data))
		var status struct {
			Error string `json:"error"`
		}
		if err == nil && json.Unmarshal(envelope.Status, &status) == nil && status.Error != "" {
			text = status.Error
		}
		return &answerError{answer.StatusCode, text}
	}
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(envelope.Result, out)
}

func collectionPath(name string) string { return "/collections/" + url.PathEscape(name) }

// vectorNames are the dense vectors of a collection with their dimensions; "" is the unnamed one.
func (r remote) vectorNames(ctx context.Context, collection string) (dims map[string]int, found bool, err error) {
	var info struct {
		Config struct {
			Params struct {
				Vectors json.RawMessage `json:"vectors"`
			} `json:"params"`
		} `json:"config"`
	}
	err = r.call(ctx, http.MethodGet, collectionPath(collection), nil, &info)
	var answer *answerError
	if errors.As(err, &answer) && answer.status == http.StatusNotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	type params struct {
		Size int `json:"size"`
	}
	var one params
	if json.Unmarshal(info.Config.Params.Vectors, &one) == nil && one.Size > 0 {
		return map[string]int{"": one.Size}, true, nil
	}
	var all map[string]params
	if err := json.Unmarshal(info.Config.Params.Vectors, &all); err != nil {
		return nil, true, err
	}
	dims = map[string]int{}
	for name, p := range all {
		dims[name] = p.Size
	}
	return dims, true, nil
}

// appendFloats appends a vector as a JSON array.
func appendFloats(dst []byte, v []float32) []byte {
	dst = append(dst, '[')
	for i, x := range v {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, float64(x), 'g', -1, 32)
	}
	return append(dst, ']')
}
