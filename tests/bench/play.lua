-- wrk script: plays a list of requests, one part of it for each thread, and prints one line of figures.
-- Arguments: LIST PREFIX THREADS; a line of LIST is "class<TAB>path".

local threads = 0

function setup(thread)
    thread:set("part", threads)
    threads = threads + 1
end

local requests, at = {}, 0

function init(args)
    local number, parts = 0, tonumber(args[3])
    for line in io.lines(args[1]) do
        if number % parts == part then
            requests[#requests + 1] = wrk.format("GET", args[2] .. line:match("\t(.*)$"))
        end
        number = number + 1
    end
end

function request()
    at = at % #requests + 1
    return requests[at]
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        'RESULT {"answers": %d, "seconds": %.6f, "bytes": %d, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f, ' ..
        '"status_errors": %d, "other_errors": %d}\n',
        summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50) / 1e3,
        latency:percentile(99) / 1e3, latency.max / 1e3, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
