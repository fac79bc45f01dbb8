# frozen_string_literal: true

Gem::Specification.new do |s|
  s.name = "longshore"
  s.version = "0.9.0"
  s.summary = "Submit, upload and follow jobs of Longshore"
  s.authors = ["The Longshore authors"]
  s.license = "MIT"
  s.required_ruby_version = ">= 3.0"
  s.files = Dir.chdir(__dir__) { Dir["lib/**/*.rb", "sig/**/*.rbs", "README.md"] }
end
