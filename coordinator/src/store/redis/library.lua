#!lua name=dpow_1
-- The ledger's verbs, version 1. What a function of this name does never changes: a change makes version 2 beside it.
--
-- Every function first reads and decides, and reads each key before it writes to any, so that a key of another type or a
-- broken invariant ends it while nothing is written. After the first write nothing can fail: a function that has begun runs
-- to its end. Amounts are whole millicredits below 2^53, which Lua's numbers keep exactly; times are compared as text where
-- they may be larger. What is moved is computed by the caller; here it is applied.
--
-- KEYS[1] is always the ledger's own description, ARGV[1] the token of whoever may write, ARGV[2] the last revision that it
-- has seen. An answer begins with the ledger's revision.

local MOST = 9007199254740991

-- Whole numbers as text: what Lua makes of them by itself is rounded to 14 digits.
local function whole(number)
  return string.format('%.0f', number)
end

local function broken(what)
  error(redis.error_reply('DPOWBROKEN ' .. what))
end

-- A whole number that the ledger keeps; nothing is kept of who has never had any.
local function kept(text)
  if not text then return 0 end
  local number = tonumber(text)
  if not number or number ~= math.floor(number) or math.abs(number) > MOST then
    broken('it keeps an amount that is none: ' .. text)
  end
  return number
end

-- Whether one time is before another, both as decimal text.
local function before(one, other)
  return #one < #other or (#one == #other and one < other)
end

-- Lets in whoever holds the token, unless the ledger is older than what he has seen of it.
local function enter(keys, args)
  local found = redis.call('HMGET', keys[1], 'token', 'revision')
  if found[1] ~= args[1] then
    error(redis.error_reply('DPOWFENCED another coordinator has taken over'))
  end
  local revision = kept(found[2])
  if revision < tonumber(args[2]) then
    error(redis.error_reply('DPOWLOST ' .. whole(revision)))
  end
  return revision
end

-- What a change adds to the description; returns the new revision.
local function changed(keys, revision, ...)
  redis.call('HSET', keys[1], 'revision', whole(revision + 1), ...)
  return revision + 1
end

local function add_service(keys, args)
  local revision = enter(keys, args)
  if redis.call('HEXISTS', keys[2], args[3]) == 0 then
    redis.call('HSET', keys[2], args[3], args[4])
    revision = changed(keys, revision)
  end
  return { revision, 'done' }
end

-- args: service, state, time, reason
local function set_service_state(keys, args)
  local revision = enter(keys, args)
  local record = redis.call('HGET', keys[2], args[3])
  if not record then return { revision, 'unknown_service' } end
  local at, state = string.match(record, '^(%d+) (%a+) ')
  if state ~= args[4] then
    local new = at .. ' ' .. args[4] .. ' ' .. args[5] .. ' ' .. args[6]
    redis.call('HSET', keys[2], args[3], new)
    revision = changed(keys, revision)
  end
  return { revision, 'done' }
end

-- A key as it is kept: service, MAC, times of issue, end and last use (or -), label.
local KEY = '^(%S+) (%S+) (%S+) (%S+) (%S+) (.*)$'

-- args: key, service, MAC, time of issue, end, label
local function add_key(keys, args)
  local revision = enter(keys, args)
  if redis.call('HEXISTS', keys[2], args[4]) == 0 then return { revision, 'unknown_service' } end
  local record = redis.call('HGET', keys[3], args[3])
  if record then
    local service, mac, _, _, _, label = string.match(record, KEY)
    local is_same = service == args[4] and mac == args[5] and label == args[8]
    return { revision, is_same and 'done' or 'mismatch' }
  end
  redis.call('HSET', keys[3], args[3], table.concat({ args[4], args[5], args[6], args[7], '-', args[8] }, ' '))
  return { changed(keys, revision), 'done' }
end

-- args: key, time
local function expire_key(keys, args)
  local revision = enter(keys, args)
  local record = redis.call('HGET', keys[2], args[3])
  if not record then return { revision, 'unknown_key' } end
  local service, mac, at, ends, used, label = string.match(record, KEY)
  if ends == '-' or before(args[4], ends) then
    redis.call('HSET', keys[2], args[3], table.concat({ service, mac, at, args[4], used, label }, ' '))
    revision = changed(keys, revision)
  end
  return { revision, 'done' }
end

-- args: a key and a time, again and again
local function keys_used(keys, args)
  local revision = enter(keys, args)
  local records = {}
  for index = 3, #args, 2 do
    local key, time = args[index], args[index + 1]
    local record = records[key] or redis.call('HGET', keys[2], key)
    if record then
      local service, mac, at, ends, used, label = string.match(record, KEY)
      if used == '-' or before(used, time) then
        records[key] = table.concat({ service, mac, at, ends, time, label }, ' ')
      end
    end
  end
  if next(records) then
    for key, record in pairs(records) do redis.call('HSET', keys[2], key, record) end
    revision = changed(keys, revision)
  end
  return { revision, 'done' }
end

-- args: subject, record
local function ban_worker(keys, args)
  local revision = enter(keys, args)
  redis.call('HLEN', keys[2])
  redis.call('HSET', keys[2], args[3], args[4])
  return { changed(keys, revision), 'done' }
end

local function unban_worker(keys, args)
  local revision = enter(keys, args)
  if redis.call('HDEL', keys[2], args[3]) == 1 then revision = changed(keys, revision) end
  return { revision, 'done' }
end

-- Keeps a record of a service under a name.
--
-- args: service, name, record
local function keep_of_service(keys, args)
  local revision = enter(keys, args)
  if redis.call('HEXISTS', keys[2], args[3]) == 0 then return { revision, 'unknown_service' } end
  redis.call('HLEN', keys[3])
  redis.call('HSET', keys[3], args[4], args[5])
  return { changed(keys, revision), 'done' }
end

-- args: service, name
local function drop_of_service(keys, args)
  local revision = enter(keys, args)
  if redis.call('HEXISTS', keys[2], args[3]) == 0 then return { revision, 'unknown_service' } end
  if redis.call('HDEL', keys[3], args[4]) == 1 then revision = changed(keys, revision) end
  return { revision, 'done' }
end

-- Movements from their text: kind, debit, credit and amount of each.
local function movements_of(text)
  local movements, total, earned = {}, 0, 0
  for kind, debit, credit, amount in string.gmatch(text, '(%S+) (%S+) (%S+) (%d+)') do
    movements[#movements + 1] = { kind = kind, debit = debit, credit = credit, amount = kept(amount) }
    total = total + kept(amount)
    if kind == 'earning' then earned = earned + kept(amount) end
  end
  return movements, total, earned
end

-- What movements would make of the balances.
local function planned(parties, movements)
  local balances = {}
  local function move(party, amount)
    if not balances[party] then balances[party] = kept(redis.call('HGET', parties, party)) end
    balances[party] = balances[party] + amount
  end
  for _, movement in ipairs(movements) do
    move(movement.debit, -movement.amount)
    move(movement.credit, movement.amount)
  end
  for party, balance in pairs(balances) do
    if math.abs(balance) > MOST or (balance < 0 and party ~= 'issuance') then
      broken(party .. ' would come to ' .. whole(balance) .. ' mc')
    end
  end
  return balances
end

-- The length of a stream, which has to be what the description says: entries have numbers without gaps.
local function length(keys, stream, name)
  local found, said = redis.call('XLEN', stream), kept(redis.call('HGET', keys[1], name))
  if found ~= said then
    broken('there are ' .. whole(found) .. ' ' .. name .. ', but it has written ' .. whole(said))
  end
  return found
end

-- Writes movements and the balances that they lead to; returns the new length of the journal.
local function post(parties, journal, entries, transfer, at, movements, balances)
  for index, movement in ipairs(movements) do
    entries = entries + 1
    redis.call('XADD', journal, whole(entries) .. '-0', 'transfer', transfer, 'position', whole(index - 1),
      'kind', movement.kind, 'debit', movement.debit, 'credit', movement.credit,
      'amount', whole(movement.amount), 'at', at)
  end
  for party, balance in pairs(balances) do redis.call('HSET', parties, party, whole(balance)) end
  return entries
end

-- args: transfer, service, party, amount, time
local function grant(keys, args)
  local _, services, parties, grants, holds, settled, journal = unpack(keys)
  local revision = enter(keys, args)
  local transfer, service, party, amount, at = unpack(args, 3)
  if redis.call('HEXISTS', services, service) == 0 then return { revision, 'unknown_service' } end
  local earlier = redis.call('HGET', grants, transfer)
  if earlier then return { revision, earlier == party .. ' ' .. amount and 'done' or 'mismatch' } end
  if redis.call('HEXISTS', holds, transfer) == 1 or redis.call('HEXISTS', settled, transfer) == 1 then
    return { revision, 'mismatch' }
  end
  local issued = -kept(redis.call('HGET', parties, 'issuance'))
  if tonumber(amount) < 1 or tonumber(amount) + issued > MOST then return { revision, 'out_of_range' } end
  local movements = { { kind = 'grant', debit = 'issuance', credit = party, amount = kept(amount) } }
  local balances = planned(parties, movements)
  local entries = length(keys, journal, 'entries')
  entries = post(parties, journal, entries, transfer, at, movements, balances)
  redis.call('HSET', grants, transfer, party .. ' ' .. amount)
  return { changed(keys, revision, 'entries', whole(entries)), 'done' }
end

-- A hold as it is kept: service, granted and paid part, end, purse (or -).
local HOLD = '^(%S+) (%d+) (%d+) (%d+) (%S+)$'

-- What a service has of one kind of credits, and what of it is held.
local function bucket(parties, held, name)
  local has, holds = kept(redis.call('HGET', parties, name)), kept(redis.call('HGET', held, name))
  if has < holds or holds < 0 then
    broken(whole(holds) .. ' mc of ' .. name .. ' are held, but it has ' .. whole(has))
  end
  return has, holds
end

-- args: hold, service, amount, end, purse or -
local function hold(keys, args)
  local _, services, parties, held, holds, due, settled, grants = unpack(keys)
  local revision = enter(keys, args)
  local id, service, amount, ends, purse = unpack(args, 3)
  local record = redis.call('HGET', holds, id)
  if record then
    local owner, granted, paid = string.match(record, HOLD)
    if owner == service and kept(granted) + kept(paid) == tonumber(amount) then
      return { revision, 'held', kept(granted), kept(paid) }
    end
    return { revision, 'mismatch' }
  end
  if redis.call('HEXISTS', settled, id) == 1 or redis.call('HEXISTS', grants, id) == 1 then
    return { revision, 'mismatch' }
  end
  if redis.call('HEXISTS', services, service) == 0 then return { revision, 'hold_refused', 0 } end
  local granted_held, paid_held, granted, paid
  granted, granted_held = bucket(parties, held, 'granted:' .. service)
  paid, paid_held = bucket(parties, held, 'paid:' .. service)
  local from_granted = math.min(tonumber(amount), granted - granted_held)
  local from_paid = tonumber(amount) - from_granted
  if from_paid > paid - paid_held then
    return { revision, 'hold_refused', granted - granted_held + paid - paid_held }
  end
  redis.call('ZSCORE', due, id)
  local record = { service, whole(from_granted), whole(from_paid), ends, purse }
  redis.call('HSET', holds, id, table.concat(record, ' '))
  redis.call('ZADD', due, ends, id)
  redis.call('HSET', held, 'granted:' .. service, whole(granted_held + from_granted),
    'paid:' .. service, whole(paid_held + from_paid))
  return { changed(keys, revision), 'held', from_granted, from_paid }
end

-- The fields of an entry of a stream, as a table.
local function entry(stream, number)
  local found = redis.call('XRANGE', stream, number .. '-0', number .. '-0')
  if not found[1] then broken('entry ' .. number .. ' of ' .. stream .. ' is missing') end
  local fields = {}
  for index = 1, #found[1][2], 2 do fields[found[1][2][index]] = found[1][2][index + 1] end
  return fields
end

-- What decides what a settlement moves, in the order of the arguments behind the hold's id.
local TERMS = { 'service', 'root', 'nonce', 'difficulty', 'threshold', 'worker', 'payee' }

-- The answer that was given before.
local function settled_before(revision, settlement, args)
  for index, name in ipairs(TERMS) do
    if settlement[name] ~= args[index + 3] then return { revision, 'mismatch' } end
  end
  return { revision, 'settled', kept(settlement.charged), kept(settlement.balance), kept(settlement.earned) }
end

-- Whether an earlier settlement for the root makes this one free. Its work meets the threshold when its difficulty, a fixed
-- number of hexadecimal digits, is not less.
local function is_repeat(record, threshold, at, window)
  for difficulty, earlier in string.gmatch(record or '', '%d+:(%x+):(%d+)') do
    if difficulty >= threshold and tonumber(at) - tonumber(earlier) < window then return true end
  end
  return false
end

-- What has been spent of a purse once this is added, as it is kept: day, amount. Of days that are over nothing more is kept.
local function spending(spent, purse, day, charged)
  local kept_day, amount = string.match(redis.call('HGET', spent, purse) or '0 0', '^(%d+) (%d+)$')
  if not amount then broken('it does not keep what was spent of ' .. purse) end
  if kept(kept_day) > day then return nil end
  return whole(day) .. ' ' .. whole(charged + (kept(kept_day) == day and kept(amount) or 0))
end

-- args: hold, the terms, time, window of free repeats, parts of the hold that the movements are computed for, movements if
-- this is the first payment for the work, and if it is a later one, day
local function settle(keys, args)
  local meta, parties, held, holds, due, settled, settlements, roots, works, journal, spent = unpack(keys)
  local revision = enter(keys, args)
  local id, service, root, nonce, difficulty, threshold, _, _, at, window = unpack(args, 3)
  local known = redis.call('HGET', settled, id)
  if known then return settled_before(revision, entry(settlements, known), args) end
  local record = redis.call('HGET', holds, id)
  if not record then return { revision, 'hold_gone' } end
  local owner, granted, paid, _, purse = string.match(record, HOLD)
  if owner ~= service then return { revision, 'mismatch' } end
  if granted ~= args[13] or paid ~= args[14] then return { revision, 'parts', kept(granted), kept(paid) } end
  granted, paid = kept(granted), kept(paid)

  local repeats = redis.call('HGET', roots, service .. ':' .. root)
  local work, charged, earned, movements = root .. ':' .. nonce, 0, 0, {}
  local is_free = is_repeat(repeats, threshold, at, tonumber(window))
  local is_first = redis.call('HEXISTS', works, work) == 0
  if not is_free then
    movements, charged, earned = movements_of(is_first and args[15] or args[16])
    if charged ~= granted + paid then broken('a settlement would not move what it charges') end
  end
  local balances = planned(parties, movements)
  local has_granted, granted_held = bucket(parties, held, 'granted:' .. service)
  local has_paid, paid_held = bucket(parties, held, 'paid:' .. service)
  has_granted = balances['granted:' .. service] or has_granted
  has_paid = balances['paid:' .. service] or has_paid
  granted_held, paid_held = granted_held - granted, paid_held - paid
  if granted_held < 0 or paid_held < 0 or granted_held > has_granted or paid_held > has_paid then
    broken('more of ' .. service .. ' would be held than it has')
  end
  redis.call('ZSCORE', due, id)
  local entries, number = length(keys, journal, 'entries'), length(keys, settlements, 'settlements') + 1
  local latest = redis.call('HGET', meta, 'latest') or '0'
  if before(latest, at) then latest = at end
  local balance = has_granted - granted_held + has_paid - paid_held
  local spends = spending(spent, purse, tonumber(args[17]), charged)

  entries = post(parties, journal, entries, id, at, movements, balances)
  redis.call('XADD', settlements, whole(number) .. '-0', 'hold', id, 'service', service, 'root', root, 'nonce', nonce,
    'difficulty', difficulty, 'threshold', threshold, 'worker', args[9], 'payee', args[10], 'at', at,
    'charged', whole(charged), 'balance', whole(balance), 'earned', whole(earned), 'latest', latest)
  redis.call('HSET', settled, id, whole(number))
  local repeated = whole(number) .. ':' .. difficulty .. ':' .. at
  redis.call('HSET', roots, service .. ':' .. root, repeats and repeats .. ' ' .. repeated or repeated)
  if is_first and charged > 0 then redis.call('HSET', works, work, whole(number)) end
  if purse ~= '-' and charged > 0 and spends then redis.call('HSET', spent, purse, spends) end
  redis.call('HDEL', holds, id)
  redis.call('ZREM', due, id)
  redis.call('HSET', held, 'granted:' .. service, whole(granted_held), 'paid:' .. service, whole(paid_held))
  revision = changed(keys, revision, 'entries', whole(entries), 'settlements', whole(number), 'latest', latest)
  return { revision, 'settled', charged, balance, earned }
end

-- Gives holds back; whoever calls has entered.
local function close(keys, revision, ids)
  local _, held, holds, due = unpack(keys)
  local sums, closed = {}, {}
  for _, id in ipairs(ids) do
    local record = redis.call('HGET', holds, id)
    if record then
      local service, granted, paid = string.match(record, HOLD)
      for name, part in pairs({ ['granted:' .. service] = granted, ['paid:' .. service] = paid }) do
        sums[name] = (sums[name] or kept(redis.call('HGET', held, name))) - kept(part)
        if sums[name] < 0 then broken('less of ' .. name .. ' is held than its open holds come to') end
      end
      closed[#closed + 1] = id
    end
    redis.call('ZSCORE', due, id)
  end
  if #closed == 0 then return revision, closed end
  for _, id in ipairs(closed) do
    redis.call('HDEL', holds, id)
    redis.call('ZREM', due, id)
  end
  for name, sum in pairs(sums) do redis.call('HSET', held, name, whole(sum)) end
  return changed(keys, revision), closed
end

-- args: hold
local function release(keys, args)
  local revision = close(keys, enter(keys, args), { args[3] })
  return { revision, 'released' }
end

-- Microseconds since 1970, by this server's clock.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- args: time, how long the caller keeps the ledger to itself if it does not come again, in microseconds
local function expire(keys, args)
  local revision = enter(keys, args)
  local open, due = redis.call('HLEN', keys[3]), redis.call('ZCARD', keys[4])
  if open ~= due then broken(whole(open) .. ' holds are open, but ' .. whole(due) .. ' have an end') end
  local closed
  revision, closed = close(keys, revision, redis.call('ZRANGEBYSCORE', keys[4], '-inf', args[3]))
  redis.call('HSET', keys[1], 'lease', whole(now() + tonumber(args[4])))
  return { revision, 'expired', closed }
end

-- Takes the ledger over, and makes it if nothing is there.
--
-- args: new token, owner, network, id of the ledger that is expected or an empty text, id for a new ledger, how long the owner
-- keeps it to itself, whether open holds are released. Nobody has to be let in.
local function attach(keys, args)
  local meta, holds, held, due = unpack(keys)
  local token, owner, network, expected, new, lease, releases = unpack(args)
  local found = redis.call('HMGET', meta, 'format', 'network', 'ledger', 'owner', 'lease', 'revision', 'copying')
  local is_new = not found[1]
  if is_new then
    if redis.call('EXISTS', unpack(keys)) > 0 then return { 'foreign' } end
    if expected ~= '' then return { 'missing' } end
    found = { '1', network, new, owner, '0', '0' }
  end
  if found[1] ~= '1' then return { 'format', found[1] } end
  if found[2] ~= network then return { 'network', found[2] } end
  if expected ~= '' and found[3] ~= expected then return { 'other', found[3] } end
  if found[7] then return { 'copying' } end
  local left = kept(found[5]) - now()
  if found[4] ~= owner and left > 0 then return { 'busy', whole(math.ceil(left / 1000000)) } end
  local released = redis.call('HLEN', holds)
  redis.call('HLEN', held)
  redis.call('ZCARD', due)
  if is_new then
    redis.call('HSET', meta, 'format', '1', 'network', network, 'ledger', new, 'revision', '0', 'entries', '0',
      'settlements', '0', 'latest', '0')
  end
  local seen = kept(found[6])
  local revision = seen
  redis.call('HSET', meta, 'owner', owner, 'token', token, 'lease', whole(now() + tonumber(lease)))
  if releases == '1' and released > 0 then
    redis.call('DEL', holds, held, due)
    revision = changed(keys, revision)
  end
  return { 'attached', found[3], seen, revision }
end

-- args: service. Whoever looks need not be let in.
local function balance(keys, args)
  local _, services, parties, held = unpack(keys)
  if redis.call('HEXISTS', services, args[1]) == 0 then return {} end
  local granted, granted_held = bucket(parties, held, 'granted:' .. args[1])
  local paid, paid_held = bucket(parties, held, 'paid:' .. args[1])
  return { granted - granted_held, paid - paid_held, granted_held + paid_held }
end

-- All that changes, as of one moment. What is only ever added to is told by its length.
local function moment(keys)
  local meta, services, parties, held, holds, settled, settlements, works, grants, journal = unpack(keys)
  return { redis.call('HGETALL', meta), redis.call('HKEYS', services), redis.call('HGETALL', parties),
    redis.call('HGETALL', held), redis.call('HVALS', holds),
    redis.call('HLEN', settled), redis.call('XLEN', settlements), redis.call('HLEN', works),
    redis.call('HLEN', grants), redis.call('XLEN', journal) }
end

redis.register_function('dpow_1_add_service', add_service)
redis.register_function('dpow_1_set_service_state', set_service_state)
redis.register_function('dpow_1_add_key', add_key)
redis.register_function('dpow_1_expire_key', expire_key)
redis.register_function('dpow_1_keys_used', keys_used)
redis.register_function('dpow_1_ban_worker', ban_worker)
redis.register_function('dpow_1_unban_worker', unban_worker)
redis.register_function('dpow_1_keep_of_service', keep_of_service)
redis.register_function('dpow_1_drop_of_service', drop_of_service)
redis.register_function('dpow_1_grant', grant)
redis.register_function('dpow_1_hold', hold)
redis.register_function('dpow_1_settle', settle)
redis.register_function('dpow_1_release', release)
redis.register_function('dpow_1_expire', expire)
redis.register_function('dpow_1_attach', attach)
redis.register_function{ function_name = 'dpow_1_balance', callback = balance, flags = { 'no-writes' } }
redis.register_function{ function_name = 'dpow_1_moment', callback = moment, flags = { 'no-writes' } }
