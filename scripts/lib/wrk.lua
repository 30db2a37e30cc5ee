-- For wrk -s. Writes what a run has shown into the file that WRK_FIGURES names, as "name value" lines
-- with times in nanoseconds, and its latencies by percentile into WRK_HGRM: HdrHistogram's text, in
-- microseconds, which spop-bench plot reads.

-- Points for every halving of the distance to 100 %.
local ticks = 5

local function open(variable)
	return assert(io.open(assert(os.getenv(variable), variable .. " is not set"), "w"))
end

local function write_percentiles(latency)
	local out = open("WRK_HGRM")
	local total, below, due = 0, 0, 0
	for i = 1, #latency do
		local _, count = latency(i)
		total = total + tonumber(count)
	end
	for i = 1, #latency do
		local micros, count = latency(i)
		below = below + tonumber(count)
		local quantile = below / total
		if quantile >= due or i == #latency then
			out:write(string.format("%12.3f %14.12f %10d\n", tonumber(micros), quantile, below))
			due = quantile + (1 - quantile) / (2 * ticks)
		end
	end
	out:close()
end

function done(summary, latency)
	local out, errors = open("WRK_FIGURES"), summary.errors
	local function put(name, value) out:write(string.format("%s %.0f\n", name, tonumber(value))) end
	put("nanoseconds", summary.duration * 1000)
	put("responses", summary.requests)
	put("rate", tonumber(summary.requests) * 1e6 / tonumber(summary.duration))
	for _, percentile in ipairs({ 50, 90, 99, 99.9 }) do
		put("p" .. percentile, latency:percentile(percentile) * 1000)
	end
	put("max", latency.max * 1000)
	put("failed", errors.connect + errors.read + errors.write + errors.status + errors.timeout)
	out:close()
	write_percentiles(latency)
end
