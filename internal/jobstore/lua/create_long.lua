-- create_long: the long way of creation, for many jobs. Texts a job: those of create (make.lua).
return each(21, create)
