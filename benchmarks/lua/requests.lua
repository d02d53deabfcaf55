-- Requests for wrk: `wrk -s requests.lua URL -- MODE COUNT THREADS VALUE_BYTES AUTHORIZATION`.
--   get, quorum   read /v2/keys/bench/get
--   put           set COUNT keys below /v2/keys/bench in turn
--   fill          set COUNT keys in 1000 directories, 100-byte values, once each, then stop
--   expiring      the same, with a TTL of VALUE_BYTES seconds
--   read, rewrite read or set one of the keys of `fill`, drawn at random
-- The result is one line of JSON after "RESULT ".  Latencies are counted by steps of 2 %.

local threads = {}
-- Sent after a thread's share, from the first key on again: for those in flight at its stop, and
-- for the very first request, which wrk only looks at.
local SPARE = 512

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

local function put(path, form)
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  return wrk.format("PUT", path, nil, form)
end

local function filled(key)
  return string.format("/v2/keys/fill/%03d/%d", key % 1000, key)
end

local function turns(count, value_bytes)
  local made, at = {}, 0
  for i = 0, count - 1 do
    made[i + 1] = put("/v2/keys/bench/" .. i, "value=" .. string.rep("v", value_bytes))
  end
  return function()
    at = at % count + 1
    return made[at]
  end
end

local function fill(count, thread_count, form)
  local at, is_full = number, false
  local last = count + SPARE * thread_count
  return function()
    local key = at % count
    at = at + thread_count
    if at > last and not is_full then
      is_full = true
      io.stderr:write("FULL\n") -- wrk itself sleeps until its time is over: see wrk.py
      wrk.thread:stop()
    end
    return put(filled(key), form)
  end
end

local function drawn(count, form)
  math.randomseed(number + 1)
  return function()
    local path = filled(math.random(0, count - 1))
    return form and put(path, form) or wrk.format("GET", path)
  end
end

function init(args)
  local mode, count, thread_count = args[1], tonumber(args[2]), tonumber(args[3])
  local size = tonumber(args[4])
  local form = "value=" .. string.rep("v", 100)
  if args[5] then
    wrk.headers["Authorization"] = args[5]
  end
  if mode == "get" or mode == "quorum" then
    local path = "/v2/keys/bench/get" .. (mode == "quorum" and "?quorum=true" or "")
    local only = wrk.format("GET", path)
    request = function() return only end
  elseif mode == "put" then
    request = turns(count, size)
  elseif mode == "read" then
    request = drawn(count, nil)
  elseif mode == "rewrite" then
    request = drawn(count, form)
  elseif mode == "expiring" then
    request = fill(count, thread_count, form .. "&ttl=" .. size)
  else
    request = fill(count, thread_count, form)
  end
end

function done(summary, latency, _)
  local errors = summary.errors
  local counts, steps = {}, {}
  for i = 1, #latency do
    local us, count = latency(i)
    local step = math.floor(math.log(math.max(us, 1)) / math.log(1.02))
    counts[step] = (counts[step] or 0) + count
  end
  for step, count in pairs(counts) do
    table.insert(steps, string.format('"%d": %d', step, count))
  end
  io.write(string.format(
    'RESULT {"requests": %d, "duration_us": %d, "max_us": %d, "errors": %d, "steps": {%s}}\n',
    summary.requests, summary.duration, latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    table.concat(steps, ", ")))
end
