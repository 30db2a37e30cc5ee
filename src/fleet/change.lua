-- Changes the log and the state of a fleet at once. docs/fleet.md describes the keys.
--
-- KEYS  log, decisions, expiry, points, lifted, epoch, nodes
-- ARGV  node, instance, how many expired entries to clear, then operations
-- All times are microseconds since 1970 by this server's clock.
local log, decisions, expiry, points, lifted, epoch, nodes = unpack(KEYS)
local SECOND, DAY = 1000000, 86400000000
local MIN_LOG, LOG_AGE = 100000, 7200000

local time = redis.call('TIME')
local now = time[1] * SECOND + time[2]
local function int(number) return string.format('%.0f', number) end

local mark = redis.call('GET', epoch)
if not mark then
  mark = int(now) .. '-' .. ARGV[2]
  redis.call('SET', epoch, mark)
end

local next_arg = 4
local function take()
  next_arg = next_arg + 1
  return ARGV[next_arg - 1]
end

local function lifted_at(value)
  return tonumber(redis.call('HGET', lifted, value) or 0)
end

-- A decision as the state has it: its text and created, if it is in force, and its id.
local function current(field, value)
  local text = redis.call('HGET', decisions, field)
  if not text then return nil end
  local ends, created, id = string.match(text, '^(%d+) (%d+) (%S+) ')
  if not ends then return nil end
  if tonumber(ends) <= now or tonumber(created) <= lifted_at(value) then return nil, 0, id end
  return text, tonumber(created), id
end

local function is_before(id, other)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)$')
  ms, seq, other_ms, other_seq = tonumber(ms), tonumber(seq), tonumber(other_ms), tonumber(other_seq)
  return ms < other_ms or (ms == other_ms and seq < other_seq)
end

local function store(field, created, ends, id, node, reason)
  redis.call('HSET', decisions, field, int(ends) .. ' ' .. int(created) .. ' ' .. id .. ' ' .. node .. ' ' .. reason)
  -- Cleared a while later: an earlier entry that is adopted late must not take its place.
  redis.call('ZADD', expiry, int(math.max(ends, now) + 60 * SECOND), field)
end

local function is_logged(id)
  return #redis.call('XRANGE', log, id, id) > 0
end

local has_changed = false
local run = {}

-- How a decision is written: by its age, its rest and the unban that it follows ("put": it is new, the
-- last writer wins), by its times ("again": only if the state has nothing as new), or by the id of its
-- entry ("adopt": it is in the log).
local function decide(how)
  local id = how == 'adopt' and take()
  local kind, value, origin = take(), take(), take()
  local created, ends = tonumber(take()), tonumber(take())
  local node, reason = take(), take()
  if how == 'put' then created, ends = math.max(now - created, tonumber(take()) + 1), now + ends end
  local field = kind .. ' ' .. value .. ' ' .. origin
  local text, old_created, old_id = current(field, value)
  -- A new one that is over already ends the one that it replaces.
  local is_over = ends <= now
  local is_refused = created <= lifted_at(value) or (is_over and (how ~= 'put' or not text))
  if text and how == 'again' then is_refused = is_refused or old_created >= created end
  if old_id and how == 'adopt' then is_refused = is_refused or not is_before(old_id, id) end
  if is_refused then return '=' .. (text or '') end
  -- Nodes that have missed an entry because the log was trimmed get another one.
  if id and not is_logged(id) then id = nil end
  if not id then
    id = redis.call('XADD', log, '*', 'type', kind, 'value', value,
      'for', string.format('%.3f', (ends - now) / SECOND), 'reason', reason, 'origin', origin,
      'node', node, 'created', int(created), 'until', int(ends))
  end
  store(field, created, ends, id, node, reason)
  has_changed = true
  return '+' .. id .. ' ' .. int(created) .. ' ' .. int(ends)
end

run.put = function() return decide('put') end
run.again = function() return decide('again') end
run.adopt = function() return decide('adopt') end

-- Contributions of an address: node, sum, time and id of each.
local function contributions(value)
  local all = {}
  for node, sum, at, id in string.gmatch(redis.call('HGET', points, value) or '', '(%S+) (%S+) (%S+) (%S+)') do
    all[#all + 1] = { node = node, sum = tonumber(sum), at = tonumber(at), id = id }
  end
  return all
end

local function store_contributions(value, all, ends)
  local parts = {}
  for _, part in ipairs(all) do
    parts[#parts + 1] = part.node .. ' ' .. string.format('%.6g', part.sum) .. ' ' .. int(part.at) .. ' ' .. part.id
  end
  if #parts == 0 then
    redis.call('HDEL', points, value)
    redis.call('ZREM', expiry, 'points ' .. value)
    return
  end
  redis.call('HSET', points, value, table.concat(parts, ' '))
  if ends then redis.call('ZADD', expiry, int(ends), 'points ' .. value) end
end

-- An unban: "at" is its age, or its time if it was made before; "entry" is its id if it was made by hand.
run.lift = function()
  local how, value, at, keep, entry = take(), take(), tonumber(take()), tonumber(take()), take()
  local count = tonumber(take())
  if how == 'age' then at = now - at end
  local is_known = at <= lifted_at(value)
  if not is_known then
    redis.call('HSET', lifted, value, int(at))
    redis.call('ZADD', expiry, int(math.max(keep, at + DAY)), 'lifted ' .. value)
  end
  for _ = 1, count do
    local field = take()
    local _, created = string.match(redis.call('HGET', decisions, field) or '', '^(%d+) (%d+) ')
    if created and tonumber(created) <= at then
      redis.call('HDEL', decisions, field)
      redis.call('ZREM', expiry, field)
    end
  end
  local left = {}
  for _, part in ipairs(contributions(value)) do
    if part.at > at then left[#left + 1] = part end
  end
  store_contributions(value, left)
  if is_known then return '=' .. int(at) end
  has_changed = true
  local id = '0-0'
  if entry == '' or not is_logged(entry) then
    id = redis.call('XADD', log, '*', 'type', 'unban', 'value', value, 'node', ARGV[1], 'created', int(at))
  end
  return '+' .. id .. ' ' .. int(at)
end

-- The sum of a node's own points of an address; only the newest counts, so it may be written again.
run.points = function()
  local value, node, sum, added, half_life, age = take(), take(), tonumber(take()), take(), tonumber(take()), tonumber(take())
  local at = now - age
  if at <= lifted_at(value) then return '=' end
  local all, own = contributions(value)
  for _, part in ipairs(all) do
    if part.node == node then own = part end
  end
  if own and own.at >= at then return '=' end
  if not own then
    own = { node = node }
    all[#all + 1] = own
  end
  own.sum, own.at = sum, at
  own.id = redis.call('XADD', log, '*', 'type', 'points', 'value', value, 'points', added,
    'node', node, 'sum', string.format('%.6g', sum), 'created', int(at))
  store_contributions(value, all, now + 10 * half_life)
  has_changed = true
  return '+' .. own.id .. ' ' .. int(at)
end

-- Points of an entry made by hand: they are the contribution of a node "-", each entry once.
run.adopt_points = function()
  local id, value, added, half_life, at = take(), take(), tonumber(take()), tonumber(take()), tonumber(take())
  if at <= lifted_at(value) then return '=' end
  local all, own = contributions(value)
  for _, part in ipairs(all) do
    if part.node == '-' then own = part end
  end
  if own and not is_before(own.id, id) then return '=' end
  if not own then
    own = { node = '-', sum = 0, at = at }
    all[#all + 1] = own
  end
  own.sum = own.sum * 2 ^ (-math.max(0, at - own.at) / half_life) + added
  own.at, own.id = math.max(own.at, at), id
  if not is_logged(id) then
    redis.call('XADD', log, '*', 'type', 'points', 'value', value, 'points', int(added),
      'node', '-', 'sum', string.format('%.6g', own.sum), 'created', int(own.at))
  end
  store_contributions(value, all, now + 10 * half_life)
  return '+' .. id .. ' ' .. int(at)
end

local outcomes = {}
while next_arg <= #ARGV do
  outcomes[#outcomes + 1] = run[take()]()
end

-- What is over, a bounded number at a time.
for _, field in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', int(now), 'LIMIT', 0, ARGV[3])) do
  redis.call('ZREM', expiry, field)
  local what, rest = string.match(field, '^(%S+) (.*)$')
  if what == 'lifted' then
    redis.call('HDEL', lifted, rest)
  elseif what == 'points' then
    redis.call('HDEL', points, rest)
  elseif what == 'node' then
    redis.call('HDEL', nodes, rest)
  else
    redis.call('HDEL', decisions, field)
  end
end

local length = redis.call('XLEN', log)
if length == 0 then
  -- So that every node has an entry that it has read last, and sees when it is gone.
  redis.call('XADD', log, '*', 'type', 'begin', 'node', ARGV[1], 'created', int(now))
elseif length > MIN_LOG then
  redis.call('XTRIM', log, 'MINID', '~', int(math.floor(now / 1000) - LOG_AGE), 'LIMIT', length - MIN_LOG)
end

-- When this node was seen, when it changed something, and by which process.
local _, changed, instance = string.match(redis.call('HGET', nodes, ARGV[1]) or '', '^(%d+) (%d+) (%S+)$')
if has_changed then changed = int(now) end
redis.call('HSET', nodes, ARGV[1], int(now) .. ' ' .. (changed or '0') .. ' ' .. ARGV[2])
redis.call('ZADD', expiry, int(now + 7 * DAY), 'node ' .. ARGV[1])

return { int(now), mark, instance or '', outcomes }
