package bench

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A cost is what a number of jobs took. CPU time says more than the wall clock
// on a machine that others use too.
type cost struct {
	jobs           float64
	wall           time.Duration
	process, redis time.Duration // CPU time
}

// startCost begins to measure this process and a Redis.
func startCost(b *testing.B, rdb redis.UniversalClient) (end func(jobs int) cost) {
	began, process, server := time.Now(), processCPU(b), redisCPU(b, rdb)
	return func(jobs int) cost {
		return cost{float64(jobs), time.Since(began), processCPU(b) - process, redisCPU(b, rdb) - server}
	}
}

func processCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func redisCPU(b *testing.B, rdb redis.UniversalClient) time.Duration {
	var sum float64
	for line := range strings.Lines(rdb.Info(context.Background(), "cpu").Val()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "used_cpu_user" || name == "used_cpu_sys" {
			var seconds float64
			if _, err := fmt.Sscan(value, &seconds); err != nil {
				b.Fatal(err)
			}
			sum += seconds
		}
	}
	return time.Duration(sum * 1e9)
}

type costs []cost

// rate is jobs a second, the median.
func (c costs) rate() float64 {
	return c.median(func(c cost) float64 { return c.jobs / c.wall.Seconds() })
}

func (c costs) median(f func(cost) float64) float64 {
	var v []float64
	for _, one := range c {
		v = append(v, f(one))
	}
	return median(v)
}

func (c costs) report(b *testing.B, name string) {
	b.ReportMetric(c.rate(), name+"_jobs/s")
	b.ReportMetric(c.median(func(c cost) float64 { return float64(c.process.Microseconds()) / c.jobs }),
		name+"_process_µs/job")
	b.ReportMetric(c.median(func(c cost) float64 { return float64(c.redis.Microseconds()) / c.jobs }),
		name+"_redis_µs/job")
}
