#!lua name=VERSION
-- The functions that must be atomic in Redis. All keys of a call carry the hash tag of one partition.
-- Helpers come first, then the relay's stream, a generation from its creation to its check, single aggregates, leases.
-- inspection.lua continues this file: one library, whose functions are registered at the end of that file.
-- VERSION stands for the prefix of the service and a hash of the source, so that services and versions of the code
-- can run side by side.
--
-- Stored names that a reader of Redis sees:
--   generations   generation -> 'live' or 'void'; 'serving:<fingerprint>' -> the active generation
--   counters      'before': entries ever added to the stream when the generation was created; 'taken': entries
--                 acknowledged since; 'applied': events; 'size:<key>': members of a shared key; 'by-hand', 'code',
--                 'instead-of' (the previous active generation): see readside/generations/registry.py
--   a document     'version'; 'until': the aggregate is hidden from readers below this version
--   lost:<id>      what a hidden aggregate will have in sorted indexes when it is shown again

-- Marks stream entries that end an aggregate. A generation that has not applied them still holds personal data.
local ERASURE = '"final":true'

-- The most unread entries that are counted. How many entries a group further behind has missed is unknown.
local MAX_UNREAD = 500

-- The most entries that one call of apply removes for UNINDEX, some 10 ms.
local MAX_UNINDEXED = 1000

-- Returns a flat list of names and values as a table.
local function by_name(flat)
  local values = {}
  for i = 1, #flat, 2 do values[flat[i]] = flat[i + 1] end
  return values
end

-- Deletes keys without blocking Redis while their memory is freed: a key may have many members.
local function delete(...) redis.call('UNLINK', ...) end

-- Trims the stream of all entries that every group has acknowledged, and of no other.
local function trim(stream)
  local first -- the oldest entry that some group still needs
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = by_name(flat)
    local time, number
    if group.pending > 0 then
      time, number = string.match(redis.call('XPENDING', stream, group.name)[2], '(%d+)-(%d+)')
    else
      time, number = string.match(group['last-delivered-id'], '(%d+)-(%d+)')
      number = string.format('%.0f', tonumber(number) + 1)
    end
    local earlier = first and (tonumber(time) < first[1] or (tonumber(time) == first[1] and tonumber(number) < first[2]))
    if not first or earlier then first = {tonumber(time), tonumber(number), time .. '-' .. number} end
  end
  if first then redis.call('XTRIM', stream, 'MINID', first[3]) end
end

-- Returns the number of entries that a generation has still to apply, and the number that it missed because they
-- were trimmed before; nil if it has no group.
local function backlog(stream, generation, counters)
  if redis.call('EXISTS', stream) == 0 then return nil end
  local added = by_name(redis.call('XINFO', 'STREAM', stream))['entries-added']
  local added_at_start, acknowledged = unpack(redis.call('HMGET', counters, 'before', 'taken'))
  for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = by_name(flat)
    if group.name == generation then
      local unread = #redis.call('XRANGE', stream, '(' .. group['last-delivered-id'], '+', 'COUNT', MAX_UNREAD)
      local remaining = group.pending + unread
      return remaining, unread < MAX_UNREAD and added - added_at_start - (acknowledged or 0) - remaining or 0
    end
  end
end

local function gone()
  return redis.error_reply('GONE this generation of the read model is no longer kept')
end

-- Stops reads from this generation; every later call about it returns GONE.
local function invalidate(generations, generation)
  redis.call('HSET', generations, generation, 'void')
  for field, name in pairs(by_name(redis.call('HGETALL', generations))) do
    if name == generation then redis.call('HDEL', generations, field) end
  end
  return gone()
end

-- Returns whether a generation is neither void nor removed. If its counters were lost it is invalidated here.
local function is_valid(generations, generation, counters)
  if redis.call('HGET', generations, generation) ~= 'live' then return false end
  if redis.pcall('HEXISTS', counters, 'before') == 1 then return true end
  invalidate(generations, generation)
  return false
end

-- Returns the number of members of a key; -1 if it is of a type without members.
local function size(key)
  local kind = redis.call('TYPE', key).ok
  if kind == 'zset' then return redis.call('ZCARD', key) end
  if kind == 'hash' then return redis.call('HLEN', key) end
  if kind == 'set' then return redis.call('SCARD', key) end
  return kind == 'none' and 0 or -1
end

-- The sizes of keys that aggregates share are recorded, so that the loss of such a key, or of members, is detected
-- before a command builds on it, and by check_intact when no event arrives.
local function has_recorded_size(counters, key)
  return size(key) == tonumber(redis.call('HGET', counters, 'size:' .. key) or 0)
end

-- Tells all projectors that something changed. This only saves time: without the permission to publish they poll.
local function notify(channel)
  redis.pcall('PUBLISH', channel, '')
end

---------------------------------------------------------------------------------------------------- The stream

-- Appends entries and moves the cursor, but only from the cursor that the relay has read.
-- KEYS stream, cursor, erased   ARGV expected cursor, new cursor, entries...   -> 1, or 0 if the cursor is another
local function append(keys, args)
  if (redis.call('GET', keys[2]) or '') ~= args[1] then return 0 end
  for i = 3, #args do
    local id = redis.call('XADD', keys[1], '*', 'e', args[i])
    if string.find(args[i], ERASURE, 1, true) then redis.call('SET', keys[3], id) end
  end
  redis.call('SET', keys[2], args[2])
  return 1
end

-- Replaces the stream by an empty one that starts at the new cursor. All generations of the old stream become void.
-- KEYS stream, cursor, generations   ARGV expected cursor or '', new cursor   -> 1, or 0 if the cursor is another
local function reset_stream(keys, args)
  if (redis.call('GET', keys[2]) or '') ~= args[1] then return 0 end
  delete(keys[1])
  for field in pairs(by_name(redis.call('HGETALL', keys[3]))) do
    if string.sub(field, 1, 8) == 'serving:' then
      redis.call('HDEL', keys[3], field)
    else
      redis.call('HSET', keys[3], field, 'void')
    end
  end
  redis.call('SET', keys[2], args[2])
  return 1
end

------------------------------------------------------------------------------------------ Creating a generation

-- Creates a generation whose group starts after all entries that are in the stream now.
-- KEYS stream, cursor, generations, counters
-- ARGV generation, consumer, fingerprint if created manually or '', fingerprint   -> 1, or 0 if there is no stream yet
local function create_generation(keys, args)
  if redis.call('EXISTS', keys[2]) == 0 then return 0 end
  redis.call('XGROUP', 'CREATE', keys[1], args[1], '$', 'MKSTREAM')
  redis.call('XGROUP', 'CREATECONSUMER', keys[1], args[1], args[2])
  local added = by_name(redis.call('XINFO', 'STREAM', keys[1]))['entries-added']
  redis.call('HSET', keys[4], 'before', added, 'taken', 0, 'applied', 0, 'by-hand', args[3], 'code', args[4])
  redis.call('HSET', keys[3], args[1], 'live')
  return 1
end

------------------------------------------------------------------------------------------------ Applying events

-- Replaces the key of a member in a sorted set of "key, tab, member". A tab is lower than all printable characters, so
-- the members are in the order of their keys; and one cannot displace another: an aggregate that is replayed passes
-- through keys that other aggregates have taken since.
local function replace_key(index, member, old, new)
  if old then redis.call('ZREM', index, old .. '\t' .. member) end
  if new then redis.call('ZADD', index, 0, new .. '\t' .. member) end
end

-- Returns a command for projections: `member` gets the index key of the value `new`, or none if that is '', in place of
-- its old one. `reverse` maps a member to its value.
local function reindexing(key_of)
  return function(index, reverse, member, new)
    local old = redis.call('HGET', reverse, member)
    replace_key(index, member, old and key_of(old), new ~= '' and key_of(new))
    if new == '' then redis.call('HDEL', reverse, member) else redis.call('HSET', reverse, member, new) end
  end
end

-- Returns a text for a 64-bit number, a decimal string, such that the texts sort as the numbers do: scores of a sorted
-- set are exact to 2^53 only. Of two negative numbers the one with the higher digits is lower.
local function number_key(number)
  local minus, digits = string.match(number, '(-?)(%d+)')
  digits = string.rep('0', 19 - #digits) .. digits
  if minus == '' then return digits end
  return minus .. string.gsub(digits, '%d', function(digit) return 9 - digit end)
end

-- REINDEX, for values that are their own keys, and REINDEX_NUMBER.
local reindex, reindex_number = reindexing(function(key) return key end), reindexing(number_key)

-- REINDEX_MORE, a command for projections: adds an amount to the number of a member, which is 0 if it has none.
local function reindex_more(index, reverse, member, amount)
  local old = redis.call('HGET', reverse, member)
  redis.call('HINCRBY', reverse, member, amount) -- its reply is a number of Lua, so inexact
  replace_key(index, member, old and number_key(old), number_key(redis.call('HGET', reverse, member)))
end

-- UNINDEX, a command for projections: removes the entries that a member has in the sorted set `index`, which are
-- "name score member" for each "name ..." in the sorted set `owned`, and removes that. Returns whether some are left,
-- because the call has removed enough.
local function unindex(call, index, owned, member)
  local flat = redis.call('ZPOPMIN', owned, call.unindexable)
  for i = 1, #flat, 2 do
    redis.call('ZREM', index, string.match(flat[i], '^[^ ]*') .. ' ' .. flat[i + 1] .. ' ' .. member)
  end
  call.unindexable = call.unindexable - #flat / 2
  return redis.call('EXISTS', owned) == 1
end

-- HISTORY_PUSH, a command for projections that are about to change fields of a hash: appends a row to a list that
-- keeps the last `length` rows. A row is the version, the value of `always`, and the name and value of each other
-- field, all as they were before that version.
local function history_push(list, hash, length, version, always, ...)
  local row = {version, redis.call('HGET', hash, always)}
  for _, field in ipairs({...}) do
    row[#row + 1] = field
    row[#row + 1] = redis.call('HGET', hash, field)
  end
  if redis.call('RPUSH', list, cjson.encode(row)) > tonumber(length) then
    redis.call('LTRIM', list, -length, -1)
  end
end

-- Returns what a member contributes to groups, as a list of {amount, group}, and the text that is stored: a line
-- "amount group" for each. Amounts are decimal strings, which HINCRBY adds: numbers of Lua are exact to 2^53 only.
local function contributions(members, member)
  local list, text = {}, redis.call('HGET', members, member) or ''
  for amount, group in string.gmatch(text, '([^ \n]+) ([^\n]*)') do list[#list + 1] = {amount, group} end
  return list, text
end

-- Changes the sums of groups by amounts, all of them or none. Without a group whose sum is 0, the sums depend on the
-- contributions alone.
local function change_sums(sums, changes)
  local function change(amount, group)
    if redis.call('HINCRBY', sums, group, amount) == 0 then redis.call('HDEL', sums, group) end
  end
  local function negated(amount) return string.match(amount, '^-(.*)') or amount == '0' and amount or '-' .. amount end
  for i, one in ipairs(changes) do
    local amount, group, sign = unpack(one)
    local ok, problem = pcall(change, sign and negated(amount) or amount, group)
    if not ok then
      for j = i - 1, 1, -1 do
        amount, group, sign = unpack(changes[j])
        change(sign and amount or negated(amount), group)
      end
      error(problem)
    end
  end
end

-- CONTRIBUTE, a command for projections: in the hash `sums` (group -> sum) the member contributes an amount to one
-- group, in place of all that it contributed before; nothing if the amount is 0. `members` maps a member to what it
-- contributes.
local function contribute(sums, members, member, group, amount)
  local before, text = contributions(members, member)
  local after = amount == '0' and '' or amount .. ' ' .. group
  if text == after then return end
  if string.find(group, '\n', 1, true) then error({err = 'a group with a line break'}) end
  local changes = {}
  for i, one in ipairs(before) do changes[i] = {one[1], one[2], true} end
  if after ~= '' then changes[#changes + 1] = {amount, group} end
  change_sums(sums, changes)
  if after == '' then redis.call('HDEL', members, member) else redis.call('HSET', members, member, after) end
end

-- CONTRIBUTE_MORE, a command for projections: adds an amount to what a member contributes to one group.
local function contribute_more(sums, members, member, group, amount)
  local before, text = contributions(members, member)
  if string.find(group, '\n', 1, true) then error({err = 'a group with a line break'}) end
  local lines, own = {}, '0'
  for _, one in ipairs(before) do
    if one[2] == group then own = one[1] else lines[#lines + 1] = one[1] .. ' ' .. one[2] end
  end
  -- The field is the counter that adds the two amounts.
  redis.call('HSET', members, member, own)
  local ok, problem = pcall(redis.call, 'HINCRBY', members, member, amount)
  own = redis.call('HGET', members, member)
  if ok then ok, problem = pcall(change_sums, sums, {{amount, group}}) end
  if ok and own ~= '0' then lines[#lines + 1] = own .. ' ' .. group end
  table.sort(lines) -- so that the text does not depend on the way to it either
  local after = ok and table.concat(lines, '\n') or text
  if after == '' then redis.call('HDEL', members, member) else redis.call('HSET', members, member, after) end
  if not ok then error(problem) end
end

local OWN_COMMANDS = {
  DEL = delete, REINDEX = reindex, REINDEX_NUMBER = reindex_number, REINDEX_MORE = reindex_more,
  HISTORY_PUSH = history_push, CONTRIBUTE = contribute, CONTRIBUTE_MORE = contribute_more,
}

-- Commands that change two keys, which aggregates share.
local ON_PAIRS = {
  REINDEX = true, REINDEX_NUMBER = true, REINDEX_MORE = true, CONTRIBUTE = true, CONTRIBUTE_MORE = true,
}

-- Stores what a REINDEX command would change, in the hash `held`: the command that is due, its keys and member -> the
-- new value. So an aggregate keeps its places in sorted indexes while a replay passes through those that it had.
local function hold(held, command)
  local verb, index, reverse, member, value = unpack(command)
  local is_sum = verb == 'REINDEX_MORE'
  local field = cjson.encode({is_sum and 'REINDEX_NUMBER' or verb, index, reverse, member})
  local before = is_sum and (redis.call('HGET', held, field) or redis.call('HGET', reverse, member) or '')
  redis.call('HSET', held, field, before == '' and '0' or before or value)
  if is_sum then redis.call('HINCRBY', held, field, value) end
end

-- Returns whether the command has left a part of its work to another call.
local function run(call, command)
  if command[1] == 'UNINDEX' then return unindex(call, unpack(command, 2, 4)) end
  local is_held = call.held and string.sub(command[1], 1, 7) == 'REINDEX'
  local own = OWN_COMMANDS[command[1]]
  if is_held then
    hold(call.held, command)
  elseif own then
    own(unpack(command, 2))
  else
    redis.call(unpack(command))
  end
end

-- Raised when a shared key does not have its recorded size.
local LOST_MEMBERS = {}

-- Checks the shared keys that a command is about to change, once in a call: after that they are in `watched`.
local function watch(counters, watched, aggregate, command)
  for i = 2, ON_PAIRS[command[1]] and 3 or 2 do
    local key = command[i]
    if not watched[key] and not string.find(key, aggregate, 1, true) then
      if not has_recorded_size(counters, key) then error(LOST_MEMBERS) end
      watched[key] = true
    end
  end
end

-- Returns whether the call declares the hash `held` and all keys that its commands change, which are those of earlier
-- events too. Redis Cluster decides by the declared keys where a call can run.
local function declares_held(call, held)
  if not call.declared then
    call.declared = {}
    for _, key in ipairs(call.keys) do call.declared[key] = true end
  end
  if call.declares[held] == nil then
    local complete = call.declared[held]
    for _, field in ipairs(complete and redis.call('HKEYS', held) or {}) do
      local command = cjson.decode(field)
      complete = complete and call.declared[command[2]] and call.declared[command[3]]
    end
    call.declares[held] = complete or false -- what this call adds are keys of its own events
  end
  return call.declares[held]
end

-- Carries out the commands that were held while the aggregate was hidden, if it was. They are removed first: if one
-- fails the aggregate is parked, and its resync begins with the first event.
local function apply_held(call, aggregate)
  local held = call.held
  if not held then return end
  local values = by_name(redis.call('HGETALL', held))
  call.held = nil
  delete(held)
  for field, value in pairs(values) do
    local command = cjson.decode(field)
    watch(call.counters, call.watched, aggregate, command)
    OWN_COMMANDS[command[1]](command[2], command[3], command[4], value)
  end
end

-- The outcomes of an event. A gap is -1 - (the version of the aggregate).
local APPLIED, DUPLICATE, PARKED, POISON, DEFERRED, UNFINISHED = 1, 0, 2, 3, 4, 5

-- Leaves an event to the resync of its aggregate, which is hidden below `visible_from` until then.
local function defer(needs_resync, aggregate, document, visible_from)
  redis.call('HSET', document, 'until', visible_from)
  redis.call('SADD', needs_resync, aggregate)
  return DEFERRED
end

-- Returns whether a sorted set was lost whose entries UNINDEX is to remove: a field of the document counts its members.
local function has_lost_entries(document, commands)
  for _, command in ipairs(commands) do
    if command[1] == 'UNINDEX' then
      local count = redis.call('HGET', document, command[5])
      if size(command[3]) ~= tonumber(count or 0) then return true end
    end
  end
end

-- Handles an event whose predecessors are missing. The caller reads them from the log. If they are more than
-- `max_missing`, which all gaps of a call share, that would delay other aggregates. Then the aggregate is hidden below this
-- version and resynced in slices, so that the entry is not needed any more.
local function report_gap(needs_resync, call, aggregate, document, version, current, visible_from)
  if call.max_missing and call.gaps[aggregate] == nil then
    call.max_missing = call.max_missing - (version - current - 1)
    call.gaps[aggregate] = call.max_missing >= 0
  end
  if not call.max_missing or call.gaps[aggregate] then return -1 - current end
  return defer(needs_resync, aggregate, document, math.max(visible_from, version))
end

-- Parks the aggregate, which is shown as before this event.
local function park(parked, call, event, problem)
  local aggregate, document, version, kind = unpack(event)
  if event[10] then
    -- Which of the folded events failed is unknown, so they must be applied one by one, from the first.
    if redis.call('TYPE', document).ok == 'hash' then
      call.applied = call.applied - tonumber(redis.call('HGET', document, 'version') or '0')
    end
    delete(document)
    return -1
  end
  apply_held(call, aggregate)
  call.any_parked = true
  local reason = type(problem) == 'table' and problem.err or tostring(problem)
  redis.call('HSET', parked, aggregate, cjson.encode({version = version, type = kind, reason = reason}))
  if redis.call('TYPE', document).ok == 'hash' then redis.call('HDEL', document, 'until') end
  return POISON
end

-- The version gate: applies one event only if it is the next version of its aggregate.
-- `event`: aggregate, aggregate hash, version, type, channel or '', commands, reason or '', visible_from, is_final, folded
--   reason: the projection failed, so the aggregate is parked.
--   visible_from: while an aggregate is resynced it is hidden below this version and stays in needs_resync, so that the
--     resync starts again if this one is not finished.
--   is_final (an erasure) and folded (the commands of all events up to this one, from nothing): the event needs no
--     predecessor, except while a resync is refilling the keys whose entries a final event takes out of an index, or
--     has to refill them first. While such entries are left, a final event counts as not applied, and the aggregate is
--     hidden until then. A final event also removes the entry of a parked aggregate.
--   An event of a hidden aggregate is reported as a gap, without a write, if the call does not declare the keys that
--     the held commands change: the caller cannot know them for each event of the stream.
local function apply_event(parked, counters, needs_resync, call, event)
  local aggregate, document, version, _, channel, commands, reason, hidden_until, is_final, folded = unpack(event)
  call.held = nil
  if call.any_parked and not is_final and redis.call('HEXISTS', parked, aggregate) == 1 then return PARKED end
  local stored = redis.call('HMGET', document, 'version', 'until')
  local current, visible_from = tonumber(stored[1] or '0'), math.max(tonumber(stored[2] or '0'), hidden_until)
  if version <= current then return DUPLICATE end
  if is_final and version > current + 1 and visible_from > 0 and hidden_until == 0 then
    return defer(needs_resync, aggregate, document, math.max(visible_from, version)) -- the resync comes to it
  end
  if is_final and current > 0 and visible_from == 0 and has_lost_entries(document, commands)
    and redis.call('HEXISTS', parked, aggregate) == 0 then
    delete(document) -- so that the resync begins with the first event
    return defer(needs_resync, aggregate, document, version)
  end
  if version > current + 1 and not (is_final or folded) then
    return report_gap(needs_resync, call, aggregate, document, version, current, visible_from)
  end
  if visible_from > 0 then
    local held = needs_resync .. ':' .. aggregate
    if is_final then
      delete(held)
    elseif declares_held(call, held) then
      call.held = held
    else
      return -1 - current
    end
  end
  if reason ~= '' then return park(parked, call, event, reason) end
  for _, command in ipairs(commands) do watch(counters, call.watched, aggregate, command) end
  local unfinished = false
  for _, command in ipairs(commands) do
    local ok, result = pcall(run, call, command)
    if not ok then
      -- The commands before the failing one stay, so the aggregate is parked in this very call.
      return park(parked, call, event, result)
    end
    unfinished = unfinished or result
  end
  if unfinished then version, visible_from = version - 1, math.max(visible_from, version) end
  if visible_from <= version then apply_held(call, aggregate) end -- before the version: it may fail
  redis.call('HSET', document, 'version', version)
  if visible_from > version then
    redis.call('HSET', document, 'until', visible_from)
    redis.call('SADD', needs_resync, aggregate)
  elseif visible_from > 0 then
    redis.call('HDEL', document, 'until')
    redis.call('SREM', needs_resync, aggregate)
  end
  if is_final then redis.call('HDEL', parked, aggregate) end
  call.applied = call.applied + version - current
  if channel ~= '' then redis.call('PUBLISH', channel, version) end
  return unfinished and UNFINISHED or APPLIED
end

-- Applies events in the given order; acknowledges and trims the entries that need no further attention.
-- KEYS stream, generations, parked, counters, needs_resync, then all that the events write; for a hidden aggregate also
--   lost:<id>, and the keys in its commands
-- ARGV generation, msgpack [[entry id or '', event or false if the entry holds none]...],
--   how many missing events the caller reads from the log, or '' for no limit
-- -> one outcome for each event, or an error GONE if the generation is void or removed, also by this call
local function apply(keys, args)
  local stream, generations, parked, counters, needs_resync = keys[1], keys[2], keys[3], keys[4], keys[5]
  local generation = args[1]
  if not is_valid(generations, generation, counters) then return gone() end
  local outcomes, done = {}, {}
  -- What all events of a call share is read, and written, once.
  local any_parked = redis.call('HLEN', parked) > 0
  local call = {
    counters = counters, any_parked = any_parked, watched = {}, applied = 0, gaps = {},
    max_missing = tonumber(args[3]), unindexable = MAX_UNINDEXED, keys = keys, declares = {},
  }
  for i, item in ipairs(cmsgpack.unpack(args[2])) do
    local entry, event = unpack(item)
    local ok, outcome = true, DUPLICATE
    if event then ok, outcome = pcall(apply_event, parked, counters, needs_resync, call, event) end
    if not ok and outcome ~= LOST_MEMBERS then -- the aggregate's hash, for instance, is no hash
      ok, outcome = pcall(park, parked, call, event, outcome)
    end
    if outcome == LOST_MEMBERS then return invalidate(generations, generation) end
    outcomes[i] = outcome
    if outcome >= 0 and entry ~= '' then done[#done + 1] = entry end
  end
  if call.applied ~= 0 then redis.call('HINCRBY', counters, 'applied', call.applied) end
  for key in pairs(call.watched) do redis.call('HSET', counters, 'size:' .. key, size(key)) end
  local acknowledged = #done > 0 and redis.call('XACK', stream, generation, unpack(done)) or 0
  if acknowledged > 0 then
    redis.call('HINCRBY', counters, 'taken', acknowledged)
    trim(stream)
  end
  return outcomes
end

---------------------------------------------------------------------------- Activating and checking a generation

-- Makes this generation the one that readers of this fingerprint use. Only a generation that has applied the whole
-- stream may be activated: then it is at least as new as the previous one, which is recorded for a rollback.
-- KEYS stream, generations, counters   ARGV generation, fingerprint   -> 1, or 0 if entries are left, or an error GONE
local function activate(keys, args)
  if not is_valid(keys[2], args[1], keys[3]) then return gone() end
  local remaining, missed = backlog(keys[1], args[1], keys[3])
  if not remaining or missed ~= 0 then return gone() end
  if remaining > 0 then return 0 end
  local previous = redis.call('HGET', keys[2], 'serving:' .. args[2])
  if previous ~= args[1] then
    redis.call('HSET', keys[3], 'instead-of', previous or '')
    redis.call('HSET', keys[2], 'serving:' .. args[2], args[1])
  end
  return 1
end

-- Checks that this generation is active, and that no shared key and no unread entry was lost. A generation without
-- its group stays active until another is built.
-- KEYS stream, generations, counters, then the shared keys   ARGV generation, fingerprint
-- -> nothing; or all shared keys, if the call does not have them all and is to be repeated with them; or an error GONE
local function check_intact(keys, args)
  if not is_valid(keys[2], args[1], keys[3]) then return gone() end
  if redis.call('HGET', keys[2], 'serving:' .. args[2]) ~= args[1] then return gone() end
  local declared, shared, complete = {}, {}, true
  for i = 4, #keys do declared[keys[i]] = true end
  for _, field in ipairs(redis.call('HKEYS', keys[3])) do
    local key = string.match(field, '^size:(.*)')
    shared[#shared + 1] = key
    complete = complete and (not key or declared[key])
  end
  if not complete then return shared end
  for _, key in ipairs(shared) do
    if not has_recorded_size(keys[3], key) then return invalidate(keys[2], args[1]) end
  end
  local remaining, missed = backlog(keys[1], args[1], keys[3])
  if remaining and missed == 0 then
    trim(keys[1]) -- the group that held back the stream may have been removed since
    return {}
  end
  if remaining then redis.call('XGROUP', 'DESTROY', keys[1], args[1]) end
  return gone()
end

---------------------------------------------------------------------------------------------- Resyncing one aggregate

-- Resets an aggregate for a replay from its first event. Refused if Redis has a newer version than the caller has loaded.
-- A parked aggregate will be parked again, by the same event.
-- KEYS aggregate hash, parked   ARGV aggregate, its last version   -> 1, or 0 if refused
local function reset_aggregate(keys, args)
  local current = redis.call('TYPE', keys[1]).ok == 'hash' and redis.call('HGET', keys[1], 'version')
  if tonumber(current or '0') > tonumber(args[2]) then return 0 end
  delete(keys[1])
  redis.call('HDEL', keys[2], args[1])
  return 1
end

-- Ends the resync of an aggregate, unless more events were deferred meanwhile.
-- KEYS aggregate hash, needs_resync   ARGV aggregate   -> 1, or 0 if the aggregate is hidden below a version that is yet to come
local function finish_resync(keys, args)
  if redis.call('TYPE', keys[1]).ok == 'hash' and redis.call('HEXISTS', keys[1], 'until') == 1 then return 0 end
  redis.call('SREM', keys[2], args[1])
  return 1
end

-------------------------------------------------------------------------------- Sharing partitions between projectors

-- Acquires or renews the lease of a partition. It only avoids duplicate work; safety does not rest on it.
-- KEYS lease   ARGV holder, milliseconds   -> 1, or 0 if it has another holder
local function lease(keys, args)
  local holder = redis.call('GET', keys[1])
  if holder and holder ~= args[1] then return 0 end
  redis.call('SET', keys[1], args[1], 'PX', args[2])
  return 1
end

-- Releases a lease and notifies the projectors that wait for it, if there are any.
-- KEYS lease   ARGV holder, the channel of the projectors or nothing
local function release(keys, args)
  if redis.call('GET', keys[1]) == args[1] then
    redis.call('DEL', keys[1])
    if args[2] then notify(args[2]) end
  end
  return 1
end

-- Renews the membership of a projector process, by the clock of Redis. Members that expired are removed, and also
-- those that expire too late because the clock was set back. The channel of the same name announces new members.
-- KEYS projectors   ARGV member, milliseconds   -> the names of all members
local function join_projectors(keys, args)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', now)
  redis.call('ZREMRANGEBYSCORE', keys[1], '(' .. now + args[2], '+inf')
  local is_new = redis.call('ZADD', keys[1], now + args[2], args[1]) == 1
  redis.call('PEXPIRE', keys[1], args[2])
  if is_new then notify(keys[1]) end
  return redis.call('ZRANGE', keys[1], 0, -1)
end

-- KEYS projectors   ARGV member
local function leave_projectors(keys, args)
  local removed = redis.call('ZREM', keys[1], args[1])
  notify(keys[1])
  return removed
end
