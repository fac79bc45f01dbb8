-- start: a worker takes the job that its ticket names. The same fence again is
-- the same start and renews its lease.
return each(5, start)
