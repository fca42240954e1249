package evidence

import "runtime"

// inOrder does jobs 0 to count-1 on all cores, and hands over what came of them one after the other, in their order. A few are in
// flight at a time, so that memory stays bounded however many there are.
func inOrder[R any](count int, work func(job int) R, deliver func(R)) {
	type task struct {
		job  int
		done chan R
	}
	n := min(runtime.GOMAXPROCS(0), count)
	tasks, results := make(chan task), make(chan chan R, 2*n)
	go func() {
		defer close(results)
		defer close(tasks)
		for job := range count {
			t := task{job, make(chan R, 1)}
			results <- t.done
			tasks <- t
		}
	}()
	for range n {
		go func() {
			for t := range tasks {
				t.done <- work(t.job)
			}
		}()
	}
	for done := range results {
		deliver(<-done)
	}
}
