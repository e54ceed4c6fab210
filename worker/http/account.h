/* What one exchange has cost: the server notes when it began, was answered and ended and how much was sent; whoever works on it
 * adds what the work was and where the time went. Told once, at its end, to http_server_options.ended().
 *
 * Lives in the exchange and has its owners in turn: the event thread, then the holder of a suspended exchange until it has
 * answered, then the event thread again. What a maker of a streamed answer learns after that it adds by
 * http_stream_account(). `class`, `protocol` and the stages are numbers of the server's user, 0 where nobody said. */
#ifndef WORKER_HTTP_ACCOUNT_H
#define WORKER_HTTP_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#define HTTP_ACCOUNT_STAGES 8u

struct http_account {
    int64_t begun_us;    /* monotonic: the request was complete */
    int64_t answered_us; /* its answer was made, or the first part of it; 0: never */
    int64_t ended_us;    /* the kernel had the last byte, or the connection ended */
    uint64_t sent_bytes; /* of the body */
    uint64_t read_bytes; /* of sources */
    uint64_t stage_us[HTTP_ACCOUNT_STAGES];
    unsigned status;
    uint64_t client; /* the user's: among whose requests in flight it counts; 0: nobody's */
    uint8_t class, protocol;
    bool whole; /* all of the answer was sent */
};

#endif
