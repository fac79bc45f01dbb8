package client

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"longshore/answer"
	"longshore/internal/httpapi"
	"longshore/job"
)

// What schedules are, and what becomes of them.
type (
	// A Schedule makes a job at each of its ticks.
	Schedule = answer.Schedule
	// A ScheduleSpec says when jobs are made, and what they are.
	ScheduleSpec = answer.ScheduleSpec
	// A NamedSchedule is one of a ScheduleSource.
	NamedSchedule = answer.NamedSchedule
	// A ScheduleSource is a list of schedules that come from one place.
	ScheduleSource = answer.ScheduleSource
	// ScheduleApplied is what became of such a list.
	ScheduleApplied = answer.ScheduleApplied
)

// Schedules lists the schedules, of one source or, for "", all.
func (c *Client) Schedules(ctx context.Context, source string) ([]Schedule, error) {
	list, err := ask[answer.ScheduleList](ctx, c, "list schedules", httpapi.PathSchedules, values("source",
		source))
	return list.Schedules, err
}

// Schedule returns one, with its newest jobs.
func (c *Client) Schedule(ctx context.Context, name string) (Schedule, error) {
	return ask[Schedule](ctx, c, "schedule "+name, httpapi.SchedulePath(name), nil)
}

// PutSchedule makes or changes a schedule. One that says the same already stays as it is, so it may be
// called at each start.
func (c *Client) PutSchedule(ctx context.Context, name string, spec ScheduleSpec) (s Schedule, err error) {
	if err := c.put(ctx, httpapi.SchedulePath(name), spec, &s); err != nil {
		return s, fmt.Errorf("put schedule %s: %w", name, err)
	}
	return s, nil
}

// ApplySchedules makes the schedules of a source what a list says.
func (c *Client) ApplySchedules(ctx context.Context, list ScheduleSource) (done ScheduleApplied, err error) {
	if list.Schedules == nil {
		list.Schedules = []NamedSchedule{}
	}
	if err := c.post(ctx, httpapi.PathSchedules, list, &done); err != nil {
		return done, fmt.Errorf("apply schedules of %s: %w", list.Source, err)
	}
	return done, nil
}

// DeleteSchedule removes a schedule; its jobs stay.
func (c *Client) DeleteSchedule(ctx context.Context, name string) error {
	if err := c.remove(ctx, httpapi.SchedulePath(name)); err != nil {
		return fmt.Errorf("delete schedule %s: %w", name, err)
	}
	return nil
}

// PauseSchedule holds a schedule's ticks back until ResumeSchedule. Why is for others to read.
func (c *Client) PauseSchedule(ctx context.Context, name, why string) (s Schedule, err error) {
	body := map[string]string{"why": why}
	if err := c.post(ctx, httpapi.SchedulePath(name)+"/pause", body, &s); err != nil {
		return s, fmt.Errorf("pause schedule %s: %w", name, err)
	}
	return s, nil
}

// ResumeSchedule ends a pause. What passed meanwhile is not made up for.
func (c *Client) ResumeSchedule(ctx context.Context, name string) (s Schedule, err error) {
	if err := c.post(ctx, httpapi.SchedulePath(name)+"/resume", struct{}{}, &s); err != nil {
		return s, fmt.Errorf("resume schedule %s: %w", name, err)
	}
	return s, nil
}

// TriggerSchedule makes a job of a schedule now. The client draws a key, so that its own repeats make no
// second one.
func (c *Client) TriggerSchedule(ctx context.Context, name string) (snap job.Snapshot, err error) {
	_, err = c.exchange(ctx, call{method: http.MethodPost, path: httpapi.SchedulePath(name) + "/trigger",
		safe:   true,
		header: http.Header{httpapi.HeaderIdempotencyKey: {string(job.NewID(time.Now()))}}}, &snap)
	if err != nil {
		return snap, fmt.Errorf("trigger schedule %s: %w", name, err)
	}
	return snap, nil
}
