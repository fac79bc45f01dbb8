module log-levels

go 1.26.8
