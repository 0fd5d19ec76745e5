#!lua name=VERSION
-- Everything that must be atomic in Redis. All keys of a call carry the hash tag of one partition.
-- VERSION stands for the prefix of the service and a hash of this file, so that services and versions of the code
-- can run side by side.

-- What an entry holds that erases a user: until a generation has read it, it knows who that was.
local ERASES = '"type":"UserErased"'

-- The stream's door: entries and cursor move together, and only from the cursor the relay has read.
-- KEYS stream, cursor, erased   ARGV expected cursor, new cursor, entries...   -> 1 done, 0 the cursor is another
local function append(keys, args)
  if (redis.call('GET', keys[2]) or '') ~= args[1] then return 0 end
  for i = 3, #args do
    local id = redis.call('XADD', keys[1], '*', 'e', args[i])
    if string.find(args[i], ERASES, 1, true) then redis.call('SET', keys[3], id) end
  end
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

-- The pairs of a flat reply, by name.
local function named(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

-- Forget what every group has acknowledged, and nothing else.
local function trim(stream)
  local safe
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local info = named(group)
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

-- A new generation, whose group starts behind everything that is in the stream by now.
-- KEYS stream, cursor, generations, counters
-- ARGV generation, consumer, fingerprint if by hand, or '', fingerprint
-- -> 1 done, 0 no relay has begun the stream
local function build(keys, args)
  if redis.call('EXISTS', keys[2]) == 0 then return 0 end
  redis.call('XGROUP', 'CREATE', keys[1], args[1], '$', 'MKSTREAM')
  redis.call('XGROUP', 'CREATECONSUMER', keys[1], args[1], args[2])
  local before = named(redis.call('XINFO', 'STREAM', keys[1]))['entries-added']
  redis.call('HSET', keys[4], 'before', before, 'taken', 0, 'applied', 0, 'by-hand', args[3], 'code', args[4])
  redis.call('HSET', keys[3], args[1], 'live')
  return 1
end

local function gone()
  return redis.error_reply('GONE this generation of the read model is no longer kept')
end

-- Nobody is answered from this generation any more, and whoever works on it hears that it is gone.
local function void(generations, generation)
  redis.call('HSET', generations, generation, 'void')
  for field, name in pairs(named(redis.call('HGETALL', generations))) do
    if name == generation then redis.call('HDEL', generations, field) end
  end
  return gone()
end

-- Whether a generation is neither void nor removed. One whose counters were lost is void by this very look.
local function kept(generations, generation, counters)
  if redis.call('HGET', generations, generation) ~= 'live' then return false end
  if redis.pcall('HEXISTS', counters, 'before') == 1 then return true end
  void(generations, generation)
  return false
end

-- Unread entries are counted up to here: of a group that is further behind nobody can say what it has missed.
local MANY = 500

-- How many entries of the stream a generation has still to deal with, and how many it has missed, because they
-- were trimmed before it had read or applied them; nil if it has no group.
local function backlog(stream, generation, counters)
  if redis.call('EXISTS', stream) == 0 then return nil end
  local added = named(redis.call('XINFO', 'STREAM', stream))['entries-added']
  local before, taken = unpack(redis.call('HMGET', counters, 'before', 'taken'))
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = named(flat)
    if group.name == generation then
      local unread = #redis.call('XRANGE', stream, '(' .. group['last-delivered-id'], '+', 'COUNT', MANY)
      local left = group.pending + unread
      return left, unread < MANY and added - before - (taken or 0) - left or 0
    end
  end
end

-- The flip: from now on readers of this code version are answered from this generation. Only one that has
-- dealt with the whole stream may serve: it is at least as new as whatever served before, which is noted, so that
-- one can go back to it for as long as it is kept.
-- KEYS stream, generations, counters   ARGV generation, fingerprint   -> 1 done, 0 it is behind, or an error GONE
local function serve(keys, args)
  if not kept(keys[2], args[1], keys[3]) then return gone() end
  local left, missed = backlog(keys[1], args[1], keys[3])
  if not left or missed ~= 0 then return gone() end
  if left > 0 then return 0 end
  local before = redis.call('HGET', keys[2], 'serving:' .. args[2])
  if before ~= args[1] then
    redis.call('HSET', keys[3], 'instead-of', before or '')
    redis.call('HSET', keys[2], 'serving:' .. args[2], args[1])
  end
  return 1
end

-- How many members a key has; -1 if it is of a kind that has no members.
local function size(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'zset' then return redis.call('ZCARD', key) end
  if kind == 'hash' then return redis.call('HLEN', key) end
  if kind == 'set' then return redis.call('SCARD', key) end
  return kind == 'none' and 0 or -1
end

-- The keys that users share are watched: their sizes are kept, so that one that was lost, or has lost members,
-- is noticed before anything is built on it, and by `whole` when nothing happens.
local function as_recorded(counters, key)
  return size(key) == tonumber(redis.call('HGET', counters, 'size:' .. key) or 0)
end

-- Whether this generation is the one that serves, and nothing was lost: of the shared keys, nor of the stream
-- before it had been read. Without its group a generation goes on serving until another is built.
-- KEYS stream, generations, counters   ARGV generation, fingerprint   -> 1 all is well, or an error GONE
local function whole(keys, args)
  if not kept(keys[2], args[1], keys[3]) then return gone() end
  if redis.call('HGET', keys[2], 'serving:' .. args[2]) ~= args[1] then return gone() end
  for _, field in ipairs(redis.call('HKEYS', keys[3])) do
    local key = string.match(field, '^size:(.*)')
    if key and not as_recorded(keys[3], key) then return void(keys[2], args[1]) end
  end
  local left, missed = backlog(keys[1], args[1], keys[3])
  if left and missed == 0 then
    trim(keys[1]) -- whoever held back the stream may be gone since
    return 1
  end
  if left then redis.call('XGROUP', 'DESTROY', keys[1], args[1]) end
  return gone()
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

-- Another verb, for the fields of a hash that a version is about to change: a list keeps so many rows, each of the
-- version, what `always` said before it, and the name of each other field with what that said before it.
local function remember(list, hash, many, version, always, ...)
  local row = {version, redis.call('HGET', hash, always)}
  for _, field in ipairs({...}) do
    row[#row + 1] = field
    row[#row + 1] = redis.call('HGET', hash, field)
  end
  if redis.call('RPUSH', list, cjson.encode(row)) > tonumber(many) then
    redis.call('LTRIM', list, -many, -1)
  end
end

-- Deletes keys without blocking Redis for as long as it takes to free them: a user may have many orders.
local function delete(...) redis.call('UNLINK', ...) end

local VERBS = {DEL = delete, REINDEX = reindex, REMEMBER = remember}

local function run(command)
  local verb = VERBS[command[1]]
  if verb then
    verb(unpack(command, 2))
  else
    redis.call(unpack(command))
  end
end

-- Raised when a shared key is not as it was left.
local LOST = {}

-- The shared keys that a command is about to change are looked at, once in a call: then they are in `watched`.
local function watch(counters, watched, user, command)
  for i = 2, command[1] == 'REINDEX' and 3 or 2 do
    local key = command[i]
    if not watched[key] and not string.find(key, user, 1, true) then
      if not as_recorded(counters, key) then error(LOST) end
      watched[key] = true
    end
  end
end

-- What apply answers for an event. A hole is answered as -1 - (the version the user has).
local APPLIED, DUPLICATE, PARKED, POISON, DEFERRED = 1, 0, 2, 3, 4

-- An event whose predecessors are missing. The caller reads them from the log; but if they are more than `room`,
-- which all holes of a call share, it would keep other users waiting. Then the user is marked as lost, not shown
-- before this version, and made anew in slices, so that the entry is not needed any more.
local function hole(lost, call, user, key, version, have, hidden)
  if call.room and call.holes[user] == nil then
    call.room = call.room - (version - have - 1)
    call.holes[user] = call.room >= 0
  end
  if not call.room or call.holes[user] then return -1 - have end
  redis.call('HSET', key, 'until', math.max(hidden, version))
  redis.call('SADD', lost, user)
  return DEFERRED
end

-- The user is shown as it was before this event.
local function set_aside(parked, call, event, problem)
  local user, key, version, kind = unpack(event)
  if event[10] then
    -- Which of its events it was nobody can tell, so they must come one by one, and begin from nothing.
    if redis.call('TYPE', key).ok == 'hash' then
      call.applied = call.applied - tonumber(redis.call('HGET', key, 'version') or '0')
    end
    redis.call('DEL', key)
    return -1
  end
  call.any_aside = true -- so that this call asks of whoever comes next
  local reason = type(problem) == 'table' and problem.err or tostring(problem)
  redis.call('HSET', parked, user, cjson.encode({version = version, type = kind, reason = reason}))
  if redis.call('TYPE', key).ok == 'hash' then redis.call('HDEL', key, 'until') end
  return POISON
end

-- The version gate, for one event: user, gate key, version, type, channel or '', commands, reason or '', until, last,
-- whole.
-- A reason says that this event cannot be projected. A user who is made anew is not shown before the version
-- `until`, and counts as lost: so that it will be made anew again if nobody brings the rest.
-- The `last` event of a user, an erasure, needs none before it: also of whoever is set aside nothing is left.
-- Nor does one that is `whole`: its commands are those of all events before it, too, and begin from nothing.
local function gate(parked, counters, lost, call, event)
  local user, key, version, _, channel, commands, reason, till, last, whole = unpack(event)
  if call.any_aside and not last and redis.call('HEXISTS', parked, user) == 1 then return PARKED end
  local found = redis.call('HMGET', key, 'version', 'until')
  local have, hidden = tonumber(found[1] or '0'), math.max(tonumber(found[2] or '0'), till)
  if version <= have then return DUPLICATE end
  if version > have + 1 and not (last or whole) then return hole(lost, call, user, key, version, have, hidden) end
  if reason ~= '' then return set_aside(parked, call, event, reason) end
  for _, command in ipairs(commands) do watch(counters, call.watched, user, command) end
  for _, command in ipairs(commands) do
    local ok, problem = pcall(run, command)
    if not ok then
      -- What ran before the failing command stays, so the user is set aside at once, in this very call.
      return set_aside(parked, call, event, problem)
    end
  end
  redis.call('HSET', key, 'version', version)
  if hidden > version then
    redis.call('HSET', key, 'until', hidden)
    redis.call('SADD', lost, user)
  elseif hidden > 0 then
    redis.call('HDEL', key, 'until')
    redis.call('SREM', lost, user)
  end
  if last then redis.call('HDEL', parked, user) end
  call.applied = call.applied + version - have
  if channel ~= '' then redis.call('PUBLISH', channel, version) end
  return APPLIED
end

-- Events through the gate, in the order given; whatever needs no more attention is acknowledged and trimmed.
-- An entry that holds no event is false in its place.
-- KEYS stream, generations, parked, counters, lost
-- ARGV generation, msgpack [[entry id or '', event or false]...], how many missing events are filled at once, or none
-- -> one number for each event, or an error GONE when the generation is void or gone, by now or by this call
local function apply(keys, args)
  if not kept(keys[2], args[1], keys[4]) then return gone() end
  local answers, done = {}, {}
  -- What is the same for all events of a call is asked, and told, once.
  local any_aside = redis.call('HLEN', keys[3]) > 0
  local call = {any_aside = any_aside, watched = {}, applied = 0, holes = {}, room = tonumber(args[3])}
  for i, item in ipairs(cmsgpack.unpack(args[2])) do
    local ok, answer = true, DUPLICATE
    if item[2] then ok, answer = pcall(gate, keys[3], keys[4], keys[5], call, item[2]) end
    if answer == LOST then return void(keys[2], args[1]) end
    if not ok then
      -- A key of the gate itself is not what it should be.
      answer = set_aside(keys[3], call, item[2], answer)
    end
    answers[i] = answer
    if answers[i] >= 0 and item[1] ~= '' then done[#done + 1] = item[1] end
  end
  if call.applied ~= 0 then redis.call('HINCRBY', keys[4], 'applied', call.applied) end
  for key in pairs(call.watched) do redis.call('HSET', keys[4], 'size:' .. key, size(key)) end
  local taken = #done > 0 and redis.call('XACK', keys[1], args[1], unpack(done)) or 0
  if taken > 0 then
    redis.call('HINCRBY', keys[4], 'taken', taken)
    trim(keys[1])
  end
  return answers
end

-- The same for a scratch generation, which never serves: it has a register of its own in place of the partition's,
-- and all its keys expire. Of these the register is the first: as long as it is there, so is everything else.
-- KEYS stream, register, parked, counters, lost, then all that the events may write
-- ARGV generation, msgpack as above, milliseconds, 'begin' or ''   -> as above
local function scratch(keys, args)
  if args[4] ~= '' then
    redis.call('HSET', keys[2], args[1], 'live')
    redis.call('PEXPIRE', keys[2], args[3])
    redis.call('HSET', keys[4], 'before', 0)
  end
  local answers = apply(keys, {args[1], args[2]})
  for i = 3, #keys do redis.call('PEXPIRE', keys[i], args[3]) end
  return answers
end

local SCANS = {hash = 'HSCAN', zset = 'ZSCAN', set = 'SSCAN'}
local VALUES = {hash = 'HGET', zset = 'ZSCORE', set = 'SISMEMBER'}

-- Members of one key, from a cursor on, with their values; and where to go on, '0' at the end.
local function slice(key, kind, cursor, count)
  if kind == 'string' then return '0', {''}, {redis.call('GET', key)} end
  local names, values = {}, {}
  if kind == 'list' then
    local from = tonumber(cursor)
    values = redis.call('LRANGE', key, from, from + count - 1)
    for i = 1, #values do names[i] = string.format('%d', from + i - 1) end
    return #values == count and string.format('%d', from + count) or '0', names, values
  end
  if not SCANS[kind] then return '0', names, values end
  local found = redis.call(SCANS[kind], key, cursor, 'COUNT', count)
  local step = kind == 'set' and 1 or 2
  for i = 1, #found[2], step do
    names[#names + 1] = found[2][i]
    values[#values + 1] = step == 1 and 1 or found[2][i + 1]
  end
  return found[1], names, values
end

-- What a key of this kind holds under these names, which are a slice of another.
local function held(key, kind, names)
  if #names == 0 then return {} end
  if kind == 'string' then return {redis.call('GET', key)} end
  if kind == 'list' then return redis.call('LRANGE', key, names[1], names[#names]) end
  local values = {}
  for i, name in ipairs(names) do values[i] = redis.call(VALUES[kind], key, name) end
  return values
end

-- Slices of keys against their counterparts: of each pair, what the first holds and the second does not hold alike.
-- KEYS pairs   ARGV count, 'alike' or '', one cursor a pair
-- -> of each pair: next cursor, kind of the first, kind of the second, names that differ, names that are alike
local function differing(keys, args)
  local replies = {}
  for i = 1, #keys, 2 do
    local kind, other = redis.call('TYPE', keys[i]).ok, redis.call('TYPE', keys[i + 1]).ok
    local after, names, values, differ, alike = '0', {}, {}, {}, {}
    if kind ~= 'none' then
      after, names, values = slice(keys[i], kind, args[2 + (i + 1) / 2], tonumber(args[1]))
    end
    local theirs = kind == other and held(keys[i + 1], kind, names) or {}
    for j, name in ipairs(names) do
      local same = theirs[j] == values[j]
      local list = same and alike or differ
      if not same or args[2] ~= '' then list[#list + 1] = name end
    end
    replies[#replies + 1] = {after, kind, other, differ, alike}
  end
  return replies
end

-- A user is to be made anew from its first event: by whoever has all its events in hand, and so not if another
-- has come meanwhile. One who is set aside will be set aside again, by the same event.
-- KEYS user, parked   ARGV user, its last version   -> 1 forgotten, 0 it has come further
local function forget(keys, args)
  local known = redis.call('TYPE', keys[1]).ok == 'hash' and redis.call('HGET', keys[1], 'version')
  if tonumber(known or '0') > tonumber(args[2]) then return 0 end
  redis.call('UNLINK', keys[1])
  redis.call('HDEL', keys[2], args[1])
  return 1
end

-- A lost user has been made anew, unless more has been deferred meanwhile.
-- KEYS user, lost   ARGV user   -> 1 no longer lost, 0 still hidden until a version that is to come
local function found(keys, args)
  if redis.call('TYPE', keys[1]).ok == 'hash' and redis.call('HEXISTS', keys[1], 'until') == 1 then return 0 end
  redis.call('SREM', keys[2], args[1])
  return 1
end

-- Several questions that are answered as of one moment. One that cannot be answered has its error in its place.
-- KEYS all that are asked about   ARGV msgpack [[command, arguments...]...]   -> the replies in their order
local function look(_, args)
  local replies = {}
  for i, command in ipairs(cmsgpack.unpack(args[1])) do replies[i] = redis.pcall(unpack(command)) end
  return replies
end

-- Who works on a partition. It only spares others the same work; nothing rests on it.
-- KEYS owner   ARGV me, milliseconds   -> 1 mine, 0 somebody else's
local function lease(keys, args)
  local owner = redis.call('GET', keys[1])
  if owner and owner ~= args[1] then return 0 end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return 1
end

-- A word to all projectors. It only saves them time: who must not publish there is no worse off without.
local function tell(channel)
  redis.pcall('PUBLISH', channel, '')
end

-- Whoever waits for the partition is told at once, if there is a channel on which they wait.
-- KEYS owner   ARGV me, the channel of the projectors or nothing
local function release(keys, args)
  if redis.call('GET', keys[1]) == args[1] then
    redis.call('DEL', keys[1])
    if args[2] then tell(args[2]) end
  end
  return 1
end

-- The millisecond at which the oldest entry was appended that a generation has still to deal with; nil if none is.
local function oldest(stream, generation)
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = named(flat)
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

-- Of each group how many entries it keeps from being trimmed, and for how many seconds nothing has read for it.
-- Where Redis does not know how many are unread, these are all of the stream.
local function groups(stream)
  local found = {}
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group, idle = named(flat), nil
    for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group.name)) do
      idle = math.min(idle or math.huge, named(consumer).idle / 1000)
    end
    found[group.name] = {entries = group.pending + (group.lag or redis.call('XLEN', stream)), idle = idle}
  end
  return found
end

-- How a partition is doing, for whoever watches: it decides nothing, and writes nothing.
-- KEYS stream, cursor, generations, owner, (of the generation) counters, parked, lost   ARGV generation or ''
-- -> JSON
local function standing(keys, args)
  local stream, generation = keys[1], args[1]
  local found = {
    cursor = redis.call('GET', keys[2]) or nil,
    owner = redis.call('GET', keys[4]) or nil,
    generations = named(redis.call('HGETALL', keys[3])),
    entries = redis.call('XLEN', stream),
    applied = tonumber(redis.call('HGET', keys[5], 'applied') or 0),
    parked = redis.call('HLEN', keys[6]),
    lost = redis.call('SCARD', keys[7]),
  }
  if redis.call('EXISTS', stream) == 1 then
    found.behind = backlog(stream, generation, keys[5])
    found.groups = groups(stream)
    local since = oldest(stream, generation)
    local time = redis.call('TIME')
    if since then found.lag = math.max(0, time[1] + time[2] / 1000000 - since / 1000) end
  end
  return cjson.encode(found)
end

redis.register_function{function_name='standing_VERSION', callback=standing, flags={'no-writes'}}
-- Which processes are there, by Redis' own clock. One that the clock was set back from is not there either.
-- The others are told, on the channel of that name, when one comes or goes.
-- KEYS projectors   ARGV me, milliseconds   -> the names of all
local function join(keys, args)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', now)
  redis.call('ZREMRANGEBYSCORE', keys[1], '(' .. now + args[2], '+inf')
  local came = redis.call('ZADD', keys[1], now + args[2], args[1]) == 1
  redis.call('PEXPIRE', keys[1], args[2])
  if came then tell(keys[1]) end
  return redis.call('ZRANGE', keys[1], 0, -1)
end

-- KEYS projectors   ARGV me
local function leave(keys, args)
  local left = redis.call('ZREM', keys[1], args[1])
  tell(keys[1])
  return left
end

redis.register_function('append_VERSION', append)
redis.register_function('begin_VERSION', begin)
redis.register_function('build_VERSION', build)
redis.register_function('serve_VERSION', serve)
redis.register_function('whole_VERSION', whole)
redis.register_function('apply_VERSION', apply)
redis.register_function('forget_VERSION', forget)
redis.register_function('found_VERSION', found)
redis.register_function('scratch_VERSION', scratch)
redis.register_function({function_name = 'differing_VERSION', callback = differing, flags = {'no-writes'}})
redis.register_function({function_name = 'look_VERSION', callback = look, flags = {'no-writes'}})
redis.register_function('lease_VERSION', lease)
redis.register_function('release_VERSION', release)
redis.register_function('join_VERSION', join)
redis.register_function('leave_VERSION', leave)
