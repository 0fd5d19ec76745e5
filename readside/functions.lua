#!lua name=tandem_VERSION
-- Everything that must be atomic in Redis. All keys of a call carry the hash tag of one partition.
-- Names end in a hash of this file, so that two versions of the code can run side by side.

-- The stream's door: entries and cursor move together, and only from the cursor the relay has read.
-- KEYS stream, cursor   ARGV expected cursor, new cursor, entries...   -> 1 done, 0 the cursor is another
local function append(keys, args)
  if (redis.call('GET', keys[2]) or '') ~= args[1] then return 0 end
  for i = 3, #args do redis.call('XADD', keys[1], '*', 'e', args[i]) end
  redis.call('SET', keys[2], args[2])
  return 1
end

-- An empty stream that starts at this cursor. Every generation that lived on the old stream is void.
-- KEYS stream, cursor, generations   ARGV expected cursor or '', new cursor   -> 1 done, 0 somebody else did
local function begin(keys, args)
  if (redis.call('GET', keys[2]) or '') ~= args[1] then return 0 end
  redis.call('DEL', keys[1])
  local fields = redis.call('HGETALL', keys[3])
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 8) == 'serving:' then
      redis.call('HDEL', keys[3], fields[i])
    else
      redis.call('HSET', keys[3], fields[i], 'void')
    end
  end
  redis.call('SET', keys[2], args[2])
  return 1
end

-- A new generation, whose group starts behind everything that is in the stream by now.
-- KEYS stream, cursor, generations   ARGV generation, consumer   -> 1 done, 0 no relay has begun the stream
local function build(keys, args)
  if redis.call('EXISTS', keys[2]) == 0 then return 0 end
  redis.call('XGROUP', 'CREATE', keys[1], args[1], '$', 'MKSTREAM')
  redis.call('XGROUP', 'CREATECONSUMER', keys[1], args[1], args[2])
  redis.call('HSET', keys[3], args[1], 'live')
  return 1
end

-- The flip: from now on readers of this code version are answered from this generation.
-- KEYS generations   ARGV generation, fingerprint   -> 1 done, 0 the generation is void or gone
local function serve(keys, args)
  if redis.call('HGET', keys[1], args[1]) ~= 'live' then return 0 end
  redis.call('HSET', keys[1], 'serving:' .. args[2], args[1])
  return 1
end

-- A verb that projections may use beside Redis commands: member has the index key `new`, and no other.
-- `index` is a sorted set of "key member", so that nobody's entry can push out another's: whoever is
-- projected anew passes through keys that others have taken since. member -> key is kept in `reverse`.
local function reindex(index, reverse, member, new)
  local old = redis.call('HGET', reverse, member)
  if old then redis.call('ZREM', index, old .. ' ' .. member) end
  if new == '' then
    redis.call('HDEL', reverse, member)
  else
    redis.call('ZADD', index, 0, new .. ' ' .. member)
    redis.call('HSET', reverse, member, new)
  end
end

local function run(command)
  if command[1] == 'REINDEX' then
    reindex(unpack(command, 2))
  else
    redis.call(unpack(command))
  end
end

-- What apply answers for an event. A hole is answered as -1 - (the version the user has).
local APPLIED, DUPLICATE, PARKED, POISON = 1, 0, 2, 3

local function set_aside(parked, user, version, kind, reason)
  redis.call('HSET', parked, user, cjson.encode({version = version, type = kind, reason = reason}))
  return POISON
end

-- The version gate, for one event: user, gate key, version, type, channel or '', commands, reason or ''.
-- A reason says that this event cannot be projected.
local function gate(parked, counters, event)
  local user, key, version, kind, channel, commands, reason = unpack(event)
  if redis.call('HEXISTS', parked, user) == 1 then return PARKED end
  local have = tonumber(redis.call('HGET', key, 'version') or '0')
  if version <= have then return DUPLICATE end
  if version > have + 1 then return -1 - have end
  if reason ~= '' then return set_aside(parked, user, version, kind, reason) end
  for _, command in ipairs(commands) do
    local ok, problem = pcall(run, command)
    if not ok then
      -- What ran before the failing command stays, so the user is set aside at once, in this very call.
      return set_aside(parked, user, version, kind, type(problem) == 'table' and problem.err or tostring(problem))
    end
  end
  redis.call('HSET', key, 'version', version)
  redis.call('HINCRBY', counters, 'applied', 1)
  if channel ~= '' then redis.call('PUBLISH', channel, version) end
  return APPLIED
end

-- Forget what every group has acknowledged, and nothing else.
local function trim(stream)
  local safe
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local info = {}
    for i = 1, #group, 2 do info[group[i]] = group[i + 1] end
    local time, number
    if info.pending > 0 then
      time, number = string.match(redis.call('XPENDING', stream, info.name)[2], '(%d+)-(%d+)')
    else
      time, number = string.match(info['last-delivered-id'], '(%d+)-(%d+)')
      number = string.format('%.0f', tonumber(number) + 1)
    end
    local before = safe and (tonumber(time) < safe[1] or (tonumber(time) == safe[1] and tonumber(number) < safe[2]))
    if not safe or before then safe = {tonumber(time), tonumber(number), time .. '-' .. number} end
  end
  if safe then redis.call('XTRIM', stream, 'MINID', safe[3]) end
end

-- Events through the gate, in the order given; whatever needs no more attention is acknowledged and trimmed.
-- KEYS stream, generations, parked, counters   ARGV generation, msgpack [[entry id or '', event]...]
-- -> one number for each event, or an error GONE when the generation is void or gone
local function apply(keys, args)
  if redis.call('HGET', keys[2], args[1]) ~= 'live' then
    return redis.error_reply('GONE this generation of the read model is no longer kept')
  end
  local answers, done = {}, {}
  for i, item in ipairs(cmsgpack.unpack(args[2])) do
    local ok, answer = pcall(gate, keys[3], keys[4], item[2])
    if not ok then
      -- A key of the gate itself is not what it should be.
      answer = set_aside(keys[3], item[2][1], item[2][3], item[2][4], type(answer) == 'table' and answer.err or tostring(answer))
    end
    answers[i] = answer
    if answers[i] >= 0 and item[1] ~= '' then done[#done + 1] = item[1] end
  end
  if #done > 0 and redis.call('XACK', keys[1], args[1], unpack(done)) > 0 then trim(keys[1]) end
  return answers
end

-- Who works on a partition. It only spares others the same work; nothing rests on it.
-- KEYS owner   ARGV me, milliseconds   -> 1 mine, 0 somebody else's
local function lease(keys, args)
  local owner = redis.call('GET', keys[1])
  if owner and owner ~= args[1] then return 0 end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return 1
end

-- KEYS owner   ARGV me
local function release(keys, args)
  if redis.call('GET', keys[1]) == args[1] then redis.call('DEL', keys[1]) end
  return 1
end

redis.register_function('append_VERSION', append)
redis.register_function('begin_VERSION', begin)
redis.register_function('build_VERSION', build)
redis.register_function('serve_VERSION', serve)
redis.register_function('apply_VERSION', apply)
redis.register_function('lease_VERSION', lease)
redis.register_function('release_VERSION', release)
