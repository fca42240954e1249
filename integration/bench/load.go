package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A connection speaks HTTP/1.1 over one kept-alive TCP connection, with as little between as possible: the client runs on
// the cores that are measured.
type connection struct {
	net.Conn
	r *bufio.Reader
}

func dial(addr string) (*connection, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &connection{c, bufio.NewReaderSize(c, 64<<10)}, nil
}

// post sends a request and returns the answer's body; any status but 200 and 201 is an error.
func (c *connection) post(path, contentType, token string, body []byte) ([]byte, error) {
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: %s\r\nAuthorization: Bearer %s\r\nPrefer: return=minimal\r\nContent-Length: %d\r\n\r\n",
		path, contentType, token, len(body))
	if _, err := (&net.Buffers{[]byte(head), body}).WriteTo(c); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, answer)
	}
	return answer, err
}

// rate runs one function on each of n workers, over and over for a time, and returns how many units they did a second. Each
// call returns the units that it did. The first tenth does not count.
func rate(ctx context.Context, n int, d time.Duration, worker func(i int) (func() (int, error), error)) (float64, error) {
	calls := make([]func() (int, error), n)
	for i := range calls {
		var err error
		if calls[i], err = worker(i); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	from, until := start.Add(d/10), start.Add(d)
	counts, errs := make([]int, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				units, err := calls[i]()
				if err != nil {
					errs[i] = err
					return
				}
				now := time.Now()
				if now.After(until) {
					return
				}
				if now.After(from) {
					counts[i] += units
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, c := range counts {
		total += c
	}
	return float64(total) / until.Sub(from).Seconds(), errors.Join(errs...)
}

// paced sends at a fixed rate, on as many workers as it takes, and returns latencies measured from when each was due.
func paced(ctx context.Context, perSecond, n int, d time.Duration, worker func(i int) (func() (int, error), error)) ([]time.Duration, error) {
	const workers = 64
	due := make(chan time.Time, n)
	latencies, errs := make([][]time.Duration, workers), make([]error, workers)
	var wg sync.WaitGroup
	for i := range workers {
		call, err := worker(i)
		if err != nil {
			return nil, err
		}
		wg.Go(func() {
			for t := range due {
				if _, err := call(); err != nil {
					errs[i] = err
					return
				}
				latencies[i] = append(latencies[i], time.Since(t))
			}
		})
	}
	step := time.Second / time.Duration(perSecond)
	for next, end := time.Now(), time.Now().Add(d); next.Before(end) && ctx.Err() == nil; next = next.Add(step) {
		time.Sleep(time.Until(next)) // pacing is the point here
		due <- next
	}
	close(due)
	wg.Wait()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	return all, errors.Join(errs...)
}

func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }
