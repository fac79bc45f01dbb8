module function

go 1.26.8
