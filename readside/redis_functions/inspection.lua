-- Continues functions.lua with the functions that inspect a partition: they change no read model.

-- Reads several keys as of one moment. The reply to a command that fails is its error.
-- KEYS all that are read   ARGV msgpack [[command, arguments...]...]   -> the replies in their order
local function read_snapshot(_, args)
  local replies = {}
  for i, command in ipairs(cmsgpack.unpack(args[1])) do replies[i] = redis.pcall(unpack(command)) end
  return replies
end

-- Returns the millisecond at which the oldest entry was appended that a generation has still to apply; nil if none.
local function oldest_unapplied(stream, generation)
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = by_name(flat)
    if group.name == generation then
      local id = group.pending > 0 and redis.call('XPENDING', stream, generation)[2]
      if not id then
        local unread = redis.call('XRANGE', stream, '(' .. group['last-delivered-id'], '+', 'COUNT', 1)[1]
        id = unread and unread[1]
      end
      return id and tonumber(string.match(id, '^%d+'))
    end
  end
end

-- Returns for each group how many entries it protects from being trimmed, and the seconds since its last read.
-- Where Redis does not know how many are unread, that is the length of the stream.
local function group_status(stream)
  local groups = {}
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group, idle = by_name(flat), nil
    for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group.name)) do
      idle = math.min(idle or math.huge, by_name(consumer).idle / 1000)
    end
    groups[group.name] = {entries = group.pending + (group.lag or redis.call('XLEN', stream)), idle = idle}
  end
  return groups
end

-- Returns the status of a partition for operators.
-- KEYS stream, cursor, generations, lease, (of the generation) counters, parked, needs_resync
-- ARGV generation or ''   -> JSON
local function partition_status(keys, args)
  local stream, generation = keys[1], args[1]
  local status = {
    cursor = redis.call('GET', keys[2]) or nil,
    owner = redis.call('GET', keys[4]) or nil,
    generations = by_name(redis.call('HGETALL', keys[3])),
    entries = redis.call('XLEN', stream),
    applied = tonumber(redis.call('HGET', keys[5], 'applied') or 0),
    parked = redis.call('HLEN', keys[6]),
    lost = redis.call('SCARD', keys[7]),
  }
  if redis.call('EXISTS', stream) == 1 then
    status.behind = backlog(stream, generation, keys[5])
    status.groups = group_status(stream)
    local appended_at = oldest_unapplied(stream, generation)
    local time = redis.call('TIME')
    if appended_at then status.lag = math.max(0, time[1] + time[2] / 1000000 - appended_at / 1000) end
  end
  return cjson.encode(status)
end

-- Applies events to a scratch generation, which is never activated: it has its own register in place of the
-- partition's, and all its keys expire. The register expires first, so while it exists all other keys do.
-- KEYS stream, register, parked, counters, needs_resync, then all that the events may write
-- ARGV generation, msgpack as for apply, milliseconds, 'begin' or ''   -> as apply
local function apply_scratch(keys, args)
  if args[4] ~= '' then
    redis.call('HSET', keys[2], args[1], 'live')
    redis.call('PEXPIRE', keys[2], args[3])
    redis.call('HSET', keys[4], 'before', 0)
  end
  local outcomes = apply(keys, {args[1], args[2]})
  for i = 3, #keys do redis.call('PEXPIRE', keys[i], args[3]) end
  return outcomes
end

-- Copies keys as of one moment. The copies expire.
-- KEYS pairs: a key, its copy   ARGV milliseconds   -> the sizes
local function copy_keys(keys, args)
  local sizes = {}
  for i = 1, #keys, 2 do
    redis.call('COPY', keys[i], keys[i + 1])
    redis.call('PEXPIRE', keys[i + 1], args[1])
    sizes[#sizes + 1] = size(keys[i + 1])
  end
  return sizes
end

local SCANS = {hash = 'HSCAN', zset = 'ZSCAN', set = 'SSCAN'}
local READS = {hash = 'HGET', zset = 'ZSCORE', set = 'SISMEMBER'}

-- Returns a page of the members of a key: the next cursor, which is '0' at the end, the names and the values.
local function read_page(key, kind, cursor, count)
  if kind == 'string' then return '0', {''}, {redis.call('GET', key)} end
  local names, values = {}, {}
  if kind == 'list' then
    local from = tonumber(cursor)
    values = redis.call('LRANGE', key, from, from + count - 1)
    for i = 1, #values do names[i] = string.format('%d', from + i - 1) end
    return #values == count and string.format('%d', from + count) or '0', names, values
  end
  if not SCANS[kind] then return '0', names, values end
  local page = redis.call(SCANS[kind], key, cursor, 'COUNT', count)
  local step = kind == 'set' and 1 or 2
  for i = 1, #page[2], step do
    names[#names + 1] = page[2][i]
    values[#values + 1] = step == 1 and 1 or page[2][i + 1]
  end
  return page[1], names, values
end

-- Returns the values that a key of this type has under these names, which are a page of another key.
local function read_values(key, kind, names)
  if #names == 0 then return {} end
  if kind == 'string' then return {redis.call('GET', key)} end
  if kind == 'list' then return redis.call('LRANGE', key, names[1], names[#names]) end
  local values = {}
  for i, name in ipairs(names) do values[i] = redis.call(READS[kind], key, name) end
  return values
end

-- Compares a page of each first key with its second key: which members of the first does the second not have alike.
-- KEYS pairs   ARGV count, 'alike' or '', one cursor a pair
-- -> for each pair: next cursor, type of the first, type of the second, names that differ, names that are alike
local function compare_keys(keys, args)
  local replies = {}
  for i = 1, #keys, 2 do
    local kind, other_kind = redis.call('TYPE', keys[i]).ok, redis.call('TYPE', keys[i + 1]).ok
    local cursor, names, values, differ, alike = '0', {}, {}, {}, {}
    if kind ~= 'none' then
      cursor, names, values = read_page(keys[i], kind, args[2 + (i + 1) / 2], tonumber(args[1]))
    end
    local others = kind == other_kind and read_values(keys[i + 1], kind, names) or {}
    for j, name in ipairs(names) do
      local same = others[j] == values[j]
      local list = same and alike or differ
      if not same or args[2] ~= '' then list[#list + 1] = name end
    end
    replies[#replies + 1] = {cursor, kind, other_kind, differ, alike}
  end
  return replies
end

------------------------------------------------------------------------------- Registration of all functions

redis.register_function('append_VERSION', append)
redis.register_function('reset_stream_VERSION', reset_stream)
redis.register_function('create_generation_VERSION', create_generation)
redis.register_function('apply_VERSION', apply)
redis.register_function('activate_VERSION', activate)
redis.register_function('check_intact_VERSION', check_intact)
redis.register_function('reset_aggregate_VERSION', reset_aggregate)
redis.register_function('finish_resync_VERSION', finish_resync)
redis.register_function('lease_VERSION', lease)
redis.register_function('release_VERSION', release)
redis.register_function('join_projectors_VERSION', join_projectors)
redis.register_function('leave_projectors_VERSION', leave_projectors)
redis.register_function({function_name = 'read_snapshot_VERSION', callback = read_snapshot, flags = {'no-writes'}})
redis.register_function({function_name = 'partition_status_VERSION', callback = partition_status, flags = {'no-writes'}})
redis.register_function('apply_scratch_VERSION', apply_scratch)
redis.register_function('copy_keys_VERSION', copy_keys)
redis.register_function({function_name = 'compare_keys_VERSION', callback = compare_keys, flags = {'no-writes'}})
