#include "worker/iiif/quote.h"

#include <string.h>

struct iiif_quote iiif_quote_make(const char *text, size_t length)
{
    struct iiif_quote quote = {0};
    size_t shown = length < IIIF_QUOTE_SHOWN_BYTES ? length : IIIF_QUOTE_SHOWN_BYTES;
    for (size_t i = 0; i < shown; i++)
        quote.text[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    if (shown < length)
        strcpy(quote.text + shown, "...");
    return quote;
}
