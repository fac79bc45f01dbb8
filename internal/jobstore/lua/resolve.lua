-- resolve: tells a job how one ended that it is after.
return each(3, function(id, before, letter)
  resolve(id, before, letter)
  return { 'ok' }
end)
