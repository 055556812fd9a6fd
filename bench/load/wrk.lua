-- Presents random tokens, a tenth of them bad, as questions.ts does. GOOD and BAD name files of tokens of LENGTH bytes
-- each; BEFORE and AFTER are the request around the token.
local before, after = os.getenv("BEFORE"), os.getenv("AFTER")
local length = tonumber(os.getenv("LENGTH"))

local function read(name)
  local file = assert(io.open(os.getenv(name), "rb"))
  local bytes = file:read("*a")
  file:close()
  return bytes
end

function init()
  good, bad = read("GOOD"), read("BAD")
  math.randomseed(os.time())
end

function request()
  local tokens = math.random() < 0.1 and bad or good
  local start = math.random(0, #tokens / length - 1) * length
  return before .. tokens:sub(start + 1, start + length) .. after
end

function done(summary)
  local errors = summary.errors
  local wrong = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  print(string.format('{"answers":%d,"seconds":%f,"wrong":%d}', summary.requests, summary.duration / 1e6, wrong))
end
