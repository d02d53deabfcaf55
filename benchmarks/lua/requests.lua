-- Requests for wrk: `wrk -s requests.lua URL -- MODE COUNT THREADS`.
--   get, quorum   read /v2/keys/bench/get
--   put           set COUNT keys below /v2/keys/bench in turn, 256-byte values
--   fill          set COUNT keys in 1000 directories, 100-byte values, once each, then stop
-- The result is one line of JSON after "RESULT ".

local threads = {}
-- Sent after a thread's share, from the first key on again: for those in flight at its stop, and
-- for the very first request, which wrk only looks at.
local SPARE = 512

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

local function put(path, value)
  local headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }
  return wrk.format("PUT", path, headers, "value=" .. value)
end

local function turns(count)
  local made, at = {}, 0
  for i = 0, count - 1 do
    made[i + 1] = put("/v2/keys/bench/" .. i, string.rep("v", 256))
  end
  return function()
    at = at % count + 1
    return made[at]
  end
end

local function fill(count, thread_count)
  local at, is_full = number, false
  local value = string.rep("v", 100)
  local last = count + SPARE * thread_count
  return function()
    local key = at % count
    at = at + thread_count
    if at > last and not is_full then
      is_full = true
      io.stderr:write("FULL\n") -- wrk itself sleeps until its time is over: see wrk.py
      wrk.thread:stop()
    end
    return put(string.format("/v2/keys/fill/%03d/%d", key % 1000, key), value)
  end
end

function init(args)
  local mode, count = args[1], tonumber(args[2])
  if mode == "get" or mode == "quorum" then
    local path = "/v2/keys/bench/get" .. (mode == "quorum" and "?quorum=true" or "")
    local only = wrk.format("GET", path)
    request = function() return only end
  elseif mode == "put" then
    request = turns(count)
  else
    request = fill(count, tonumber(args[3]))
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "max_us": %d, "errors": %d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
