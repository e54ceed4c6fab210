#include "worker/image/source_kinds.h"

enum rc image_webp_source_open(const struct image_source_input *input, struct image_source **ret_source,
                               struct err *err)
{
    (void)input;
    (void)ret_source;
    return err_set(err, RC_UNSUPPORTED, "webp sources are not supported yet");
}
