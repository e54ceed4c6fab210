/* A converter may be in the hands of what broke it: a message of its that is let through can be worked with. */
#include "worker/converter.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct worker_conversion_message message;
    memset(&message, 0, sizeof message);
    /* The input's first bytes are the message's, its rest lies at the end of it; so short inputs reach everywhere. */
    size_t head = size < 64 ? size : 64, tail = size - head;
    if (tail > sizeof message - head)
        tail = sizeof message - head;
    if (size > 0) {
        memcpy(&message, data, head);
        memcpy((uint8_t *)&message + sizeof message - tail, data + head, tail);
    }
    if (!worker_converter_check(&message, size == 1 ? 1 : sizeof message))
        return 0;
    if (message.kind == WORKER_PROGRESS) {
        assert(message.rows_done <= message.size.height_px);
        return 0;
    }
    const struct ingest_result *result = &message.result;
    assert(strlen(message.message) < sizeof message.message && strlen(result->model) < sizeof result->model);
    assert(strlen(result->profile) < sizeof result->profile &&
           strlen(result->source_profile) < sizeof result->source_profile);
    for (unsigned i = 0; i < result->warning_count; i++)
        assert(strlen(result->warning[i]) < sizeof result->warning[i]);
    assert(result->big_tiff == true || result->big_tiff == false);
    return 0;
}
