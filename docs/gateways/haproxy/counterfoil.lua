-- Calls Counterfoil for each request and keeps the answer in variables of the transaction.
local gateway = os.getenv('COUNTERFOIL_CREDENTIAL')
-- Header fields in which users present tokens; add those of VERIFY_HEADERS in lower case.
local presented = { 'authorization' }
local identity = { 'id', 'subject', 'organization', 'scope', 'type', 'name', 'expires-at' }

-- HAProxy counts the values of a header field from 0.
local function values(headers, name)
  local list = {}
  for i = 0, #(headers[name] or {}) do list[#list + 1] = headers[name] and headers[name][i] end
  return list
end

core.register_action('verify', { 'http-req' }, function(txn, url)
  local headers = txn.http:req_get_headers()
  local ask = {
    ['x-counterfoil-gateway'] = { gateway },
    ['x-forwarded-for'] = { txn.f:src() },
    ['x-original-uri'] = { txn.f:url() },
  }
  for _, name in ipairs(presented) do
    local list = values(headers, name)
    if #list > 0 then ask[name] = list end
  end
  local answer = core.httpclient():get({ url = url, headers = ask, timeout = 5000 })
  txn:set_var('txn.verify_status', tonumber(answer and answer.status) or 0)
  local told = answer and answer.headers or {}
  txn:set_var('txn.verify_challenge', values(told, 'www-authenticate')[1] or 'Bearer')
  for _, name in ipairs(identity) do
    txn:set_var('txn.token_' .. name:gsub('-', '_'), values(told, 'x-token-' .. name)[1] or '')
  end
end, 1)
