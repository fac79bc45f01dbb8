# frozen_string_literal: true

require "longshore/errors"
require "longshore/transport"
require "longshore/files"
require "longshore/client"
